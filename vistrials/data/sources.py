"""Where the annotation file and the frames of a split lie."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vistrials.data.frame_files import FrameFinder
from vistrials.errors import DataError, SpecError
from vistrials.formats.annotations import load_video_set
from vistrials.formats.json_file import load_json
from vistrials.specs.data import DataSpec, FileSource, SyntheticSource

Progress = Callable[[int, int], None]

_NUM_SHOWN = 3


class ResolvedSplit(NamedTuple):
    """Files of one split."""

    annotations: Path
    frames_dir: Path


def resolve_split(data: DataSpec, split: str, progress: Progress | None = None) -> ResolvedSplit:
    """Find a split's annotation file and frame folder; the synthetic set is drawn first where it is missing.

    Args:
        data: the data spec.
        split: train, minival, occlusion, gaps or crossing of the synthetic set; train or valid of files.
        progress: called as progress(videos done, videos in all) while it is drawn.

    Raises:
        SpecError: the source has no split of this name, or no root folder is set.
        DataError: none of the candidates below the root exists.
    """
    if isinstance(data.source, SyntheticSource):
        return _resolve_synthetic(data.source, split, progress)
    return _resolve_files(data.source, split)


def training_categories(data: DataSpec) -> list[str]:
    """Names of the categories of a data set's training split, in the order of their labels.

    Raises:
        DataError, SpecError: the data are not there or broken.
    """
    split = resolve_split(data, "train")
    return [category.name for category in load_video_set(split.annotations, split.frames_dir).categories]


def _resolve_synthetic(source: SyntheticSource, split: str, progress: Progress | None) -> ResolvedSplit:
    # Only whoever uses the embedded data pays for importing its generator.
    from vistrials.data.synthetic.dataset import SPLITS, SyntheticSizes, ensure_synthetic

    _check_split(split, SPLITS, "synthetic")
    sizes = SyntheticSizes(**source.sizes)
    root = ensure_synthetic(split, sizes, source.seed, progress)
    return ResolvedSplit(root / f"{split}.json", root / "JPEGImages")


def _resolve_files(source: FileSource, split: str) -> ResolvedSplit:
    candidates = {
        "train": (source.train_annotations, source.train_frames),
        "valid": (source.valid_annotations, source.valid_frames),
    }
    _check_split(split, tuple(candidates), "files")
    if source.root is None:
        raise SpecError("data.source.root is not set: say where the data set lies with --data DIR")
    root = Path(source.root).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (data.source.root); say where the data set lies with --data DIR")
    annotations, frames = candidates[split]
    files = [root / name for name in annotations if (root / name).is_file()]
    folders = [root / name for name in frames if (root / name).is_dir()]
    for found, names, what in ((files, annotations, "annotations"), (folders, frames, "frames")):
        if not found:
            raise DataError(
                f"{root}: no {what} of split {split}; looked for {', '.join(names)}; "
                f"put them there or name them in data.source.{split}_{what}"
                f"{', for `data check` with --frames' if what == 'frames' else _hint(source, root, split)}"
                f"{_what_is_there(root, what)}"
            )
    return ResolvedSplit(files[0], _folder_of_frames(files[0], folders))


def _hint(source: FileSource, root: Path, split: str) -> str:
    """The official validation sets come without annotations, so a part of train has to serve."""
    train = next((root / name for name in source.train_annotations if (root / name).is_file()), None)
    if split == "train" or train is None:
        return ""
    return f", or make them from those of train: `vistrials data split {train}`"


def _what_is_there(root: Path, what: str) -> str:
    """What a folder holds of the kind that was looked for."""
    if what == "frames":
        found = sorted(path.name for path in root.iterdir() if path.is_dir())
    else:
        found = sorted(str(path.relative_to(root)) for path in (*root.glob("*.json*"), *root.glob("*/*.json*")))
    if not found:
        return ""
    return f"; there is {', '.join(found[:_NUM_SHOWN])}{', ..' if found[_NUM_SHOWN:] else ''}"


def _folder_of_frames(annotations: Path, folders: list[Path]) -> Path:
    """The first folder that holds the first frame: minival, a part of train, has its frames in train's."""
    folders = [folder for folder in folders if not any(folder in other.parents for other in folders)]
    if len(folders) == 1:
        return folders[0]
    try:
        first_frame = load_json(annotations)["videos"][0]["file_names"][0]
        return next((folder for folder in folders if FrameFinder(folder).find(first_frame).missing is None), folders[0])
    except (LookupError, TypeError, AttributeError):
        return folders[0]  # the loader will say what is wrong with the file


def _check_split(split: str, splits: tuple[str, ...], kind: str) -> None:
    if split not in splits:
        raise SpecError(f"data of kind {kind} have no split {split!r}; expected one of {', '.join(splits)}")
