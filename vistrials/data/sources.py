"""Where the annotation file and the frames of a split lie."""

from pathlib import Path
from typing import NamedTuple

from vistrials.errors import DataError, SpecError
from vistrials.specs.data import DataSpec, FileSource, SyntheticSource


class ResolvedSplit(NamedTuple):
    """Files of one split."""

    annotations: Path
    frames_dir: Path


def resolve_split(data: DataSpec, split: str) -> ResolvedSplit:
    """Find a split's annotation file and frame folder; the synthetic set is drawn first where it is missing.

    Args:
        data: the data spec.
        split: train, minival or occlusion of the synthetic set; train or valid of files.

    Raises:
        SpecError: the source has no split of this name, or no root folder is set.
        DataError: none of the candidates below the root exists.
    """
    if isinstance(data.source, SyntheticSource):
        return _resolve_synthetic(data.source, split)
    return _resolve_files(data.source, split)


def _resolve_synthetic(source: SyntheticSource, split: str) -> ResolvedSplit:
    # Only whoever uses the embedded data pays for importing its generator.
    from vistrials.data.synthetic import SPLITS, SyntheticSizes, ensure_synthetic

    _check_split(split, SPLITS, "synthetic")
    sizes = SyntheticSizes(source.train, source.minival, source.occlusion)
    root = ensure_synthetic(sizes, source.seed)
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
        raise DataError(
            f"{root}: no such folder (data.source.root); say where the data set lies with --data DIR"
        )
    annotations, frames = candidates[split]
    return ResolvedSplit(
        _first_existing(root, annotations, f"annotation file of split {split}", f"{split}_annotations"),
        _first_existing(root, frames, f"frame folder of split {split}", f"{split}_frames"),
    )


def _check_split(split: str, splits: tuple[str, ...], kind: str) -> None:
    if split not in splits:
        raise SpecError(f"data of kind {kind} have no split {split!r}; expected one of {', '.join(splits)}")


def _first_existing(root: Path, candidates: tuple[str, ...], what: str, field: str) -> Path:
    is_right_kind = Path.is_dir if field.endswith("_frames") else Path.is_file
    for candidate in candidates:
        if is_right_kind(root / candidate):
            return root / candidate
    raise DataError(
        f"{root}: no {what}; looked for {', '.join(candidates)}; "
        f"put it there or name it in data.source.{field}"
    )
