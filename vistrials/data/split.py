"""A deterministic split of training videos, since the official validation sets have no public annotations."""

import json
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vistrials.errors import DataError
from vistrials.formats.annotation_faults import with_whole_numbers
from vistrials.formats.annotations import build_video_set
from vistrials.formats.files import check_output, refuse_to_replace
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.specs.data import FileSource

NUM_TRIES = 16


def split_annotations(
    train_json: Path, fraction: float = 0.1, seed: int = 0, out_dir: Path | None = None, *, replace: bool = False
) -> tuple[Path, Path]:
    """Split an annotation file by video and write minitrain.json and minival.json; ids stay as they are.

    Args:
        train_json: .json or .json.gz in YouTube-VIS form.
        fraction: part of the videos that goes to minival, as far as possible within each category too.
        seed: another seed, another split.
        out_dir: where to write; by default beside the input.
        replace: replace files of these names that are there already.

    Returns:
        Paths of minitrain.json and minival.json.

    Raises:
        DataError: broken annotations, fewer than two videos, a fraction outside (0, 1), an output that
            would replace the input, or one that is there already.
    """
    folder = Path(out_dir) if out_dir is not None else Path(train_json).parent
    outputs = folder / "minitrain.json", folder / "minival.json"
    for output in outputs:
        if output.resolve() == Path(train_json).resolve():
            raise DataError(f"{train_json}: the split would replace it; choose another output folder")
        check_output(output, replace=True)
    if not replace:
        refuse_to_replace(outputs, "name another folder with --out")
    document = with_whole_numbers(load_json(train_json))
    build_video_set(document, Path(), str(train_json))
    categories_of: dict[int, set[int]] = {video["id"]: set() for video in document["videos"]}
    for track in document["annotations"]:
        categories_of[track["video_id"]].add(track["category_id"])
    minival = choose_minival(categories_of, fraction, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_json_atomic(outputs[0], _restricted(document, categories_of.keys() - minival))
    save_json_atomic(outputs[1], _restricted(document, minival))
    return outputs


def describe_use(minitrain: Path, minival: Path) -> list[str]:
    """Say which annotation files runs use now that a split is written.

    Args:
        minitrain: a file that `split_annotations` wrote.
        minival: the other one.

    Returns:
        A line for each folder that finds the two files and frames when `--data` names it; where none does, one that
        says how to name the files.
    """
    source = FileSource()
    minitrain, minival = minitrain.resolve(), minival.resolve()
    roots = [
        root
        for name in source.train_annotations
        for root in minitrain.parents
        if root / name == minitrain and any((root / frames).is_dir() for frames in source.train_frames)
    ]
    if not roots:
        train, valid = (json.dumps([str(path)]) for path in (minitrain, minival))
        return [
            f"{minitrain.parent}: no frames there, so runs do not find the two files by themselves; name them with "
            f"--set 'data.source.train_annotations={train}' --set 'data.source.valid_annotations={valid}'"
        ]
    return [
        f"runs with --data {root} from now on train on {_choice(root, source.train_annotations)} "
        f"and score on {_choice(root, source.valid_annotations)}"
        for root in roots
    ]


def describe_unused(annotations: Path) -> str | None:
    """A line where runs that get the folder of an annotation file by --data take another one in its place.

    Args:
        annotations: a file in that folder, just written.
    """
    source, root = FileSource(), annotations.parent
    for candidates, use in ((source.train_annotations, "train on"), (source.valid_annotations, "score on")):
        taken = next((name for name in candidates if (root / name).is_file()), annotations.name)
        if annotations.name in candidates and taken != annotations.name:
            return f"runs with --data {root} go on to {use} {taken}, not {annotations.name}, while it is there"
    return None


def _choice(root: Path, candidates: Sequence[str]) -> str:
    chosen, *others = (name for name in candidates if (root / name).is_file())
    return f"{chosen} (not {', '.join(others)})" if others else chosen


def choose_minival(categories_of: dict[int, set[int]], fraction: float, seed: int) -> set[int]:
    """Choose the videos of minival.

    The rarest category first, each gets its part of the videos; the choice depends on ids alone, not on their
    order. Of several such choices the one is taken that leaves the fewest categories on one side only, then
    the one nearest to the wanted number of videos.

    Args:
        categories_of: video id -> ids of the categories in it.
        fraction: part of the videos, in (0, 1).
        seed: of the choice.

    Returns:
        Video ids; neither none nor all. Categories of two or more videos are on both sides if that was found.

    Raises:
        DataError: fewer than two videos, or a fraction outside (0, 1).
    """
    if not 0 < fraction < 1:
        raise DataError(f"split: fraction is {fraction}; expected a number between 0 and 1")
    if len(categories_of) < 2:
        raise DataError(f"split: expected at least 2 videos, found {len(categories_of)}")
    videos_of: dict[int, set[int]] = {}
    for video, categories in categories_of.items():
        for category in categories:
            videos_of.setdefault(category, set()).add(video)
    wanted = _part(len(categories_of), fraction)

    def cost(minival: set[int]) -> tuple[int, int]:
        one_sided = sum(len(videos) > 1 and len(videos & minival) in (0, len(videos)) for videos in videos_of.values())
        return one_sided, abs(len(minival) - wanted)

    orders = (_shuffled(categories_of, seed, attempt) for attempt in range(NUM_TRIES))
    return min((_choose_greedily(order, videos_of, fraction, wanted) for order in orders), key=cost)


def _choose_greedily(order: Sequence[int], videos_of: dict[int, set[int]], fraction: float, wanted: int) -> set[int]:
    minival: set[int] = set()

    def leaves_some(taken: set[int]) -> bool:
        """Whether train keeps a video, and one of every category that has two."""
        return len(taken) < len(order) and not any(len(videos) > 1 and videos <= taken for videos in videos_of.values())

    def keeps_some(taken: set[int]) -> bool:
        """Whether minival keeps a video, and one of every category that it has and that has two."""
        return bool(taken) and not any(
            len(videos) > 1 and minival & videos and not taken & videos for videos in videos_of.values()
        )

    for category in sorted(videos_of, key=lambda category: (len(videos_of[category]), category)):
        videos = videos_of[category]
        target = _part(len(videos), fraction) if len(videos) > 1 else 0
        for video in order:
            if len(minival & videos) >= target:
                break
            if video in videos and leaves_some(minival | {video}):
                minival.add(video)
    for video in order:
        if len(minival) < wanted and leaves_some(minival | {video}):
            minival.add(video)
    for video in order:
        if len(minival) > wanted and video in minival and keeps_some(minival - {video}):
            minival.remove(video)
    return minival


def _part(count: int, fraction: float) -> int:
    """A fraction of a count, rounded half up, but at least 1 and not all."""
    return min(max(1, int(count * fraction + 0.5)), count - 1)


def _shuffled(ids: Iterable[int], seed: int, attempt: int) -> list[int]:
    # By hash, so that neither the file's order nor other videos decide on which side a video is.
    return sorted(ids, key=lambda i: (blake2b(f"{seed} {attempt} {i}".encode()).digest(), i))


def _restricted(document: dict[str, Any], video_ids: Collection[int]) -> dict[str, Any]:
    return {
        **document,
        "videos": [video for video in document["videos"] if video["id"] in video_ids],
        "annotations": [track for track in document["annotations"] if track["video_id"] in video_ids],
    }
