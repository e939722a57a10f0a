"""Annotation files in YouTube-VIS form (2019, 2021, OVIS) -> VideoSet. Masks stay encoded until asked for."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError, shortened
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import decode, to_rle
from vistrials.structures.video import AnnotatedTrack, Category, Video, VideoSet

PER_FRAME_KEYS = ("bboxes", "areas", "segmentations")
LARGEST_NUMBER = 1e12  # of a box or an area; also keeps integers of hundreds of digits from float arithmetic


def load_video_set(annotations: Path, frames_dir: Path, require_annotations: bool = True) -> VideoSet:
    """Load an annotation file.

    Args:
        annotations: .json or .json.gz in YouTube-VIS form.
        frames_dir: folder that the file names of the videos start from (not looked at here).
        require_annotations: False also accepts the official validation sets, which come without tracks.

    Returns:
        Videos, categories and tracks in file order; segmentations as the file has them.

    Raises:
        DataError: the file or its structure is broken; the message names the video, annotation or category.
    """
    return build_video_set(load_json(annotations), frames_dir, str(annotations), require_annotations)


def build_video_set(document: Any, frames_dir: Path, source: str, require_annotations: bool = True) -> VideoSet:
    """Turn a parsed annotation file into records; as `load_video_set`, with `source` to name in errors."""
    if not isinstance(document, dict):
        raise DataError(f"{source}: expected an object with videos and categories, found {_kind(document)}")
    categories = _read_categories(_list_of_objects(document, "categories", source), source)
    video_records = _list_of_objects(document, "videos", source)
    records: list[dict[str, Any]] = []
    if document.get("annotations"):
        records = _list_of_objects(document, "annotations", source)
    elif require_annotations:
        raise DataError(
            f"{source}: no annotations (official validation sets have none); "
            "score on a part of train: `vistrials data split TRAIN.json`"
        )
    lengths = _read_lengths(video_records, source)
    tracks = _read_tracks(records, lengths, {category.id for category in categories}, source)
    videos = tuple(_read_video(record, tuple(tracks.get(record["id"], ())), source) for record in video_records)
    return VideoSet(categories, videos, Path(frames_dir))


def decode_mask(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Decode one segmentation of any encoding.

    Args:
        segmentation: compressed or uncompressed RLE, or polygons.
        height, width: of the video, in pixels.

    Returns:
        uint8 [height, width] of 0 and 1.

    Raises:
        DataError: it is no mask, or one of another size.
    """
    mask = decode(to_rle(segmentation, height, width))
    if mask.shape != (height, width):
        rows, columns = mask.shape
        raise DataError(f"a mask of {rows} x {columns} pixels (height x width); the video has {height} x {width}")
    return mask


def _read_categories(records: list[dict[str, Any]], source: str) -> tuple[Category, ...]:
    for position, record in enumerate(records):
        _require(record, ("id", "name"), f"{source}: category number {position + 1}")
    _refuse_repeats(records, "category", source)
    if not records:
        raise DataError(f"{source}: categories is empty; expected at least one")
    return tuple(Category(record["id"], str(record["name"])) for record in records)


def _read_lengths(records: list[dict[str, Any]], source: str) -> dict[int, int]:
    """Video id -> number of frames."""
    for position, record in enumerate(records):
        _require(record, ("id", "file_names", "width", "height"), f"{source}: video number {position + 1}")
    _refuse_repeats(records, "video", source)
    if not records:
        raise DataError(f"{source}: videos is empty; expected at least one")
    lengths = {}
    for record in records:
        names, where = record["file_names"], f"{source}: video {record['id']}"
        if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
            raise DataError(f"{where}: file_names must list one file name per frame")
        if record.get("length", len(names)) != len(names):
            raise DataError(f"{where}: length is {record['length']} but file_names has {len(names)} entries")
        lengths[record["id"]] = len(names)
    return lengths


def _read_video(record: dict[str, Any], tracks: tuple[AnnotatedTrack, ...], source: str) -> Video:
    for key in ("height", "width"):
        if not is_whole(record[key]) or record[key] < 1:
            raise DataError(f"{source}: video {record['id']}: {key} is {record[key]!r}; expected a number of pixels")
    return Video(record["id"], record["height"], record["width"], tuple(record["file_names"]), tracks)


def _read_tracks(
    records: list[dict[str, Any]], lengths: dict[int, int], category_ids: set[int], source: str
) -> dict[int, list[AnnotatedTrack]]:
    """Video id -> its tracks."""
    for position, record in enumerate(records):
        where = f"{source}: annotation number {position + 1}"
        _require(record, ("id", "video_id", "category_id", *PER_FRAME_KEYS), where)
    _refuse_repeats(records, "annotation", source)
    tracks: dict[int, list[AnnotatedTrack]] = {}
    for record in records:
        video_id, where = (
            record["video_id"],
            f"{source}: annotation {record['id']} (video {record['video_id']})",
        )
        if not is_whole(video_id) or video_id not in lengths:
            raise DataError(f"{where}: video_id {video_id!r} is not among the videos")
        category_id = record["category_id"]
        if not is_whole(category_id) or category_id not in category_ids:
            raise DataError(f"{where}: category_id {category_id!r} is not among the categories")
        for key in PER_FRAME_KEYS:
            _check_list(record[key], key, lengths[video_id], where)
        tracks.setdefault(video_id, []).append(
            AnnotatedTrack(
                record["id"],
                category_id,
                record.get("iscrowd", 0) == 1,
                record["bboxes"],
                record["areas"],
                record["segmentations"],
            )
        )
    return tracks


def _check_list(values: Any, key: str, length: int, where: str) -> None:
    if not isinstance(values, list):
        raise DataError(f"{where}: {key} is {_kind(values)}; expected a list with one entry per frame")
    if len(values) != length:
        raise DataError(f"{where}: {key} has {len(values)} entries; expected {length}, one per frame")
    is_valid, expected = _ENTRIES[key]
    for frame, value in enumerate(values):
        if value is not None and not is_valid(value):
            raise DataError(f"{where}: {key}[{frame}] is {shortened(value)}; expected {expected} or null")


def is_bbox(value: Any) -> TypeGuard[list[float]]:
    """Whether a value is a list of four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_finite_number, value))


def is_finite_number(value: Any) -> TypeGuard[float]:
    """Whether a value is an int or float that is neither NaN nor infinite nor beyond any size or position."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


_ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bboxes": (is_bbox, "[x, y, w, h]"),
    "areas": (is_finite_number, "a number of pixels"),
    "segmentations": (lambda value: isinstance(value, dict | list), "a run-length mask or polygons"),
}


def _list_of_objects(document: dict[str, Any], key: str, source: str) -> list[dict[str, Any]]:
    if key not in document:
        raise DataError(f"{source}: key {key!r} is missing; expected a file in YouTube-VIS form")
    records = document[key]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError(f"{source}: {key} is {_kind(records)}; expected a list of objects")
    return records


def _require(record: dict[str, Any], keys: Iterable[str], where: str) -> None:
    for key in keys:
        if key not in record:
            name = f" (id {record['id']!r})" if "id" in record else ""
            raise DataError(f"{where}{name}: key {key!r} is missing")
    if not is_whole(record["id"]):
        raise DataError(f"{where}: id is {record['id']!r}; expected a whole number")


def _refuse_repeats(records: list[dict[str, Any]], what: str, source: str) -> None:
    seen: set[int] = set()
    for record in records:
        if record["id"] in seen:
            raise DataError(f"{source}: {what} id {record['id']} occurs more than once; ids must differ")
        seen.add(record["id"])


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value is an int (True and False are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
