"""What makes an annotation file in YouTube-VIS form unusable: the one place that decides it.

Loading (training, inference), evaluation and `vistrials data check` all go by it: the former two refuse a file at its
first fault, the latter lists all of them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Raw

from vistrials.errors import shortened
from vistrials.formats.findings import Finding, error, warning
from vistrials.formats.mask_cures import likely_cure
from vistrials.formats.rle import MAX_PIXELS
from vistrials.formats.safe_names import leads_out
from vistrials.formats.values import as_whole, hint_of_text, is_bbox, is_finite_number, is_whole, kind_of

Record = dict[str, Any]

NO_ANNOTATIONS = (
    "no annotations (official validation sets have none); score on a part of train: `vistrials data split TRAIN.json`"
)

ID_0 = "annotation id 0, whose track the official program counts as missed even where it is found"


_WHOLE_NUMBERS = {
    "videos": ("id", "width", "height", "length"),
    "categories": ("id",),
    "annotations": ("id", "video_id", "category_id", "iscrowd"),
}


def with_whole_numbers(document: Any) -> Any:
    """A parsed annotation file with whole numbers where somebody wrote 12.0 for an id, a size or a length.

    The document itself where there is nothing to change; it is never changed.
    """
    if not isinstance(document, dict):
        return document
    changed = {}
    for key, fields in _WHOLE_NUMBERS.items():
        listed = document.get(key)
        if isinstance(listed, list) and any(_has_floats(record, fields) for record in listed):
            changed[key] = [_in_whole_numbers(record, fields) for record in listed]
    return {**document, **changed} if changed else document


def _has_floats(record: Any, fields: tuple[str, ...]) -> bool:
    return isinstance(record, dict) and any(type(record.get(field)) is float for field in fields)


def _in_whole_numbers(record: Any, fields: tuple[str, ...]) -> Any:
    if not _has_floats(record, fields):
        return record
    return {**record, **{field: as_whole(record[field]) for field in fields if field in record}}


def find_faults(document: Any, *, needs_annotations: bool = True, needs_frames: bool = True) -> Iterator[Finding]:
    """Look for what makes a parsed annotation file unusable; warnings are about what is merely left out.

    Args:
        document: {"videos", "categories", "annotations"}. Segmentations that are still JSON text (`msgspec.Raw`) are
            not looked into, nor are masks decoded (see `mask_faults`).
        needs_annotations: False also accepts a file without tracks.
        needs_frames: False also accepts videos that give their length instead of file names.

    Yields:
        Findings in file order: categories, videos, annotations.
    """
    if not isinstance(document, dict):
        found = f"expected an object with videos, categories and annotations, found {kind_of(document)}"
        yield error("not a YouTube-VIS file", "", found)
        return
    categories: dict[int, Record] = {}
    yield from _list_with_ids(document, "categories", "category", categories)
    for category_id, category in categories.items():
        if "name" not in category:
            yield warning("category without a name", f"category {category_id}", "no name; its id stands for it")
    videos: dict[int, Record] = {}
    yield from _list_with_ids(document, "videos", "video", videos)
    for video in videos.values():
        yield from _video_faults(video, needs_frames)
    if not document.get("annotations") and not needs_annotations:
        return
    tracks: dict[int, Record] = {}
    yield from _list_with_ids(document, "annotations", "annotation", tracks)
    if 0 in tracks:
        yield warning(ID_0, name_track(tracks[0]), "number annotations from 1")
    for track in tracks.values():
        yield from _track_faults(track, videos, categories)


def records(document: Any, key: str) -> list[Record]:
    """The entries of a top-level list that are objects with an id of their own; of equal ids the first."""
    listed = document.get(key) if isinstance(document, dict) else None
    found: dict[int, Record] = {}
    for record in listed if isinstance(listed, list) else []:
        if isinstance(record, dict) and is_whole(record.get("id")):
            found.setdefault(record["id"], record)
    return list(found.values())


def num_frames_of(video: Record) -> int | None:
    """Number of frames of a video's record; None where it does not say."""
    names, length = video.get("file_names"), video.get("length")
    if isinstance(names, list) and names:
        return len(names)
    return length if is_whole(length) and length > 0 else None


def size_of(video: Record) -> tuple[int, int] | None:
    """Height and width of a video's record in pixels; None where they are none."""
    sides = video.get("height"), video.get("width")
    return sides if all(is_whole(side) and side > 0 for side in sides) else None  # type: ignore[return-value]


def is_absent(segmentation: Any) -> bool:
    """Whether a frame's segmentation says that the object is not there: null, or empty as in the official program."""
    return segmentation is None or (isinstance(segmentation, list | dict) and not segmentation)


def name_track(track: Record) -> str:
    """How messages name an annotation."""
    video = f" (video {shortened(track['video_id'])})" if "video_id" in track else ""
    return f"annotation {track['id']}{video}"


def _list_with_ids(document: Record, key: str, what: str, found: dict[int, Record]) -> Iterator[Finding]:
    """Faults of a top-level list and of its entries' ids; fills `found` with those that have one of their own."""
    if key == "annotations" and document.get(key) is None:
        yield error("no annotations", "", NO_ANNOTATIONS)
        return
    if key not in document:
        yield error("missing top-level key", "", f"key {key!r} is missing; expected a file in YouTube-VIS form")
        return
    if not isinstance(document[key], list):
        yield error("top-level key is no list", "", f"{key} is {kind_of(document[key])}; expected a list")
        return
    if not document[key] and key != "annotations":
        yield error("empty list", "", f"{key} is empty; expected at least one {what}")
    for position, record in enumerate(document[key]):
        where = f"{key}[{position}]"
        if not isinstance(record, dict):
            yield error("entry is no object", where, f"found {kind_of(record)}; expected an object")
        elif "id" not in record:
            yield error("missing key", where, f"key 'id' is missing; found {', '.join(map(repr, record)) or 'no keys'}")
        elif not is_whole(record["id"]):
            what = f"id is {shortened(record['id'])}; expected a whole number{hint_of_text(record['id'])}"
            yield error("id is no whole number", where, what)
        elif record["id"] in found:
            yield error(f"duplicate {what} id", where, f"{what} id {record['id']} occurs more than once")
        else:
            found[record["id"]] = record


def _video_faults(video: Record, needs_frames: bool) -> Iterator[Finding]:
    where = f"video {video['id']}"
    for key in ("height", "width"):
        if key not in video:
            yield error("missing key", where, f"key {key!r} is missing")
        elif not (is_whole(video[key]) and video[key] >= 1):
            what = f"{key} is {shortened(video[key])}; expected pixels, 1 or more{hint_of_text(video[key])}"
            yield error("impossible video size", where, what)
    size = size_of(video)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        what = f"{shortened(size[0])} x {shortened(size[1])} pixels; expected at most {MAX_PIXELS}"
        yield error("impossible video size", where, what)
    names, length = video.get("file_names"), video.get("length")
    if names is not None or needs_frames:
        if "file_names" not in video:
            yield error("missing key", where, "key 'file_names' is missing")
        elif not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            yield error(
                "file_names is no list of names", where, f"file_names is {shortened(names)}; expected a name per frame"
            )
        elif (outside := next((name for name in names if leads_out(name)), None)) is not None:
            what = (
                f"file_names holds {shortened(outside)}; expected paths below the folder of frames, without `..`; "
                "a link in that folder may lead to another one"
            )
            yield error("frame name leads out of the folder", where, what)
        elif length is not None and length != len(names):
            yield error(
                "length and file_names disagree",
                where,
                f"length is {shortened(length)} but file_names has {len(names)} entries{hint_of_text(length)}",
            )
    elif length is not None and not (is_whole(length) and length >= 0):
        yield error("impossible video length", where, f"length is {shortened(length)}; expected a number of frames")


def _track_faults(track: Record, videos: dict[int, Record], categories: dict[int, Record]) -> Iterator[Finding]:
    where = name_track(track)
    for key, known in (("video_id", videos), ("category_id", categories)):
        if key not in track:
            yield error("missing key", where, f"key {key!r} is missing")
        elif not is_whole(track[key]) or track[key] not in known:
            listed = "videos" if key == "video_id" else "categories"
            what = f"{key} {shortened(track[key])} is not among the {listed}{hint_of_text(track[key])}"
            yield error(f"unknown {key}", where, what)
    if track.get("iscrowd") not in (None, 0, 1):
        # The official program takes any other value for true, loaders of training data for false.
        yield error("iscrowd is neither 0 nor 1", where, f"iscrowd is {shortened(track['iscrowd'])}; expected 0 or 1")
    video_id = track.get("video_id")
    video = videos.get(video_id) if is_whole(video_id) else None
    num_frames = None if video is None else num_frames_of(video)
    if "segmentations" not in track:
        yield error("missing key", where, "key 'segmentations' is missing")
    for key in ("bboxes", "areas", "segmentations"):
        # Boxes and areas follow from the masks where a file leaves them out.
        if track.get(key) is not None or (key == "segmentations" and key in track):
            yield from _list_faults(track[key], key, num_frames, where)
    if isinstance(track.get("segmentations"), list):
        size = None if video is None else size_of(video)
        yield from _segmentation_faults(track["segmentations"], where, *(size or (None, None)))


def _list_faults(values: Any, key: str, num_frames: int | None, where: str) -> Iterator[Finding]:
    if isinstance(values, Raw):
        return  # not parsed yet
    if not isinstance(values, list):
        yield error("per-frame key is no list", where, f"{key} is {kind_of(values)}; expected a list, one per frame")
        return
    if num_frames is not None and len(values) != num_frames:
        yield error(
            "list length differs from video length",
            where,
            f"{key} has {len(values)} entries; expected {num_frames}, one per frame",
        )
    if key in _ENTRIES:
        yield from _ENTRIES[key](values, where)


def _bbox_faults(values: Iterable[Any], where: str) -> Iterator[Finding]:
    for frame, value in enumerate(values):
        if value is None:
            continue
        if not is_bbox(value):
            what = f"bboxes[{frame}] is {shortened(value)}; expected [x, y, w, h] or null"
            if isinstance(value, list) and any(map(hint_of_text, value)):
                what += "; write the numbers without quotes"
            yield error("bbox is not four finite numbers", where, what)
        elif value[2] < 0 or value[3] < 0:
            yield error("negative box size", where, f"bboxes[{frame}] is {value}; expected w and h of 0 or more")


def _area_faults(values: Iterable[Any], where: str) -> Iterator[Finding]:
    for frame, value in enumerate(values):
        if value is None:
            continue
        if not is_finite_number(value):
            what = f"areas[{frame}] is {shortened(value)}; expected a number of pixels or null{hint_of_text(value)}"
            yield error("area is no finite number", where, what)
        elif value < 0:
            yield error("negative area", where, f"areas[{frame}] is {value}; expected pixels, or null where absent")


def _segmentation_faults(values: Iterable[Any], where: str, height: int | None, width: int | None) -> Iterator[Finding]:
    for frame, value in enumerate(values):
        if value is not None and not isinstance(value, dict | list):
            what = f"segmentations[{frame}] is {shortened(value)}; expected a run-length mask, polygons or null"
            what += likely_cure(value, height, width)
            yield error("segmentation of unknown form", where, what)


_ENTRIES = {"bboxes": _bbox_faults, "areas": _area_faults}
