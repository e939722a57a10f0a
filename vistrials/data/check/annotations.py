"""The structure of an annotation file: keys, ids, references, lengths and per-frame values."""

from collections.abc import Iterable
from typing import Any

from vistrials.data.check.masks import check_masks
from vistrials.data.check.report import Findings
from vistrials.errors import shortened
from vistrials.formats.annotations import PER_FRAME_KEYS, is_bbox, is_finite_number, is_whole

Record = dict[str, Any]

BOX_OUTSIDE_TOLERANCE_PX = 0.5


def check_annotations(document: Any, require_annotations: bool, findings: Findings) -> tuple[list[Record], int]:
    """Check a parsed annotation file.

    Args:
        document: the parsed file.
        require_annotations: False accepts a file without tracks.
        findings: where faults go.

    Returns:
        The videos whose own record is sound, and the number of masks looked at.
    """
    if not isinstance(document, dict):
        findings.error("not a YouTube-VIS file", f"the top level is a {type(document).__name__}, not an object")
        return [], 0
    categories = _with_own_ids(_top_level(document, "categories", findings), "category", findings)
    for category in categories:
        if "name" not in category:
            findings.error("missing key", f"category {category['id']}: name")
    videos = _with_own_ids(_top_level(document, "videos", findings), "video", findings)
    sound_videos = [video for video in videos if _is_sound_video(video, findings)]
    if not require_annotations and not document.get("annotations"):
        return sound_videos, 0
    tracks = _with_own_ids(_top_level(document, "annotations", findings), "annotation", findings)
    num_masks = _check_tracks(tracks, videos, sound_videos, categories, findings)
    if tracks:
        _note_unused(tracks, videos, categories, findings)
    return sound_videos, num_masks


def _top_level(document: Record, key: str, findings: Findings) -> list[Any]:
    if key not in document:
        findings.error("missing top-level key", key)
        return []
    records = document[key]
    if not isinstance(records, list):
        findings.error("top-level key is no list", f"{key} is {shortened(records)}")
        return []
    if not records:
        findings.error("empty list", key)
    return records


def _with_own_ids(records: Iterable[Any], what: str, findings: Findings) -> list[Record]:
    """The records that are objects with an id not seen before."""
    kept: dict[int, Record] = {}
    for position, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            findings.error("entry is no object", f"{what} number {position} is {shortened(record)}")
        elif "id" not in record:
            findings.error("missing key", f"{what} number {position}: id")
        elif not is_whole(record["id"]):
            findings.error("id is no whole number", f"{what} number {position}: {shortened(record['id'])}")
        elif record["id"] in kept:
            findings.error(f"duplicate {what} id", f"{record['id']}")
        else:
            kept[record["id"]] = record
    return list(kept.values())


def _is_sound_video(video: Record, findings: Findings) -> bool:
    where, sound = f"video {video['id']}", True
    for key in ("file_names", "width", "height"):
        if key not in video:
            findings.error("missing key", f"{where}: {key}")
            sound = False
        elif key != "file_names" and not (is_whole(video[key]) and video[key] >= 1):
            findings.error("impossible video size", f"{where}: {key} is {shortened(video[key])}")
            sound = False
    names = video.get("file_names")
    if names is None:
        return False
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        findings.error("file_names is no list of names", f"{where}: {shortened(names)}")
        return False
    if video.get("length", len(names)) != len(names):
        findings.error(
            "length and file_names disagree",
            f"{where}: length is {shortened(video['length'])}, file_names has {len(names)} entries",
        )
    return sound


def _check_tracks(
    tracks: list[Record],
    videos: list[Record],
    sound_videos: list[Record],
    categories: list[Record],
    findings: Findings,
) -> int:
    video_ids = {video["id"] for video in videos}
    category_ids = {category["id"] for category in categories}
    sound_by_id = {video["id"]: video for video in sound_videos}
    num_masks = 0
    for track in tracks:
        where = f"annotation {track['id']}"
        for key, known in (("video_id", video_ids), ("category_id", category_ids)):
            if key not in track:
                findings.error("missing key", f"{where}: {key}")
            elif not is_whole(track[key]) or track[key] not in known:
                findings.error(f"unknown {key}", f"{where}: {shortened(track[key])}")
        if track.get("iscrowd", 0) not in (0, 1):
            findings.warning("iscrowd is neither 0 nor 1", f"{where}: {shortened(track['iscrowd'])}")
        video_id = track.get("video_id")
        video = sound_by_id.get(video_id) if is_whole(video_id) else None
        num_masks += _check_per_frame(track, video, where, findings)
    return num_masks


def _check_per_frame(track: Record, video: Record | None, where: str, findings: Findings) -> int:
    """Check the three lists of a track; `video` is None where its length and size are not known."""
    lists: list[list[Any]] = []
    for key in PER_FRAME_KEYS:
        if key not in track:
            findings.error("missing key", f"{where}: {key}")
        elif not isinstance(track[key], list):
            findings.error("per-frame key is no list", f"{where}: {key} is {shortened(track[key])}")
        else:
            lists.append(track[key])
            if video is not None and len(track[key]) != len(video["file_names"]):
                findings.error(
                    "list length differs from video length",
                    f"{where}: {key} has {len(track[key])} entries, video {video['id']} "
                    f"has {len(video['file_names'])} frames",
                )
    if len(lists) < len(PER_FRAME_KEYS):
        return 0
    size = None if video is None else (video["height"], video["width"])
    for frame, (bbox, area, segmentation) in enumerate(zip(*lists, strict=False)):
        _check_values(bbox, area, segmentation, size, f"{where}, frame {frame}", findings)
    if not any(lists[2]):
        findings.warning("track without a visible frame", where)
    return check_masks(lists[0], lists[1], lists[2], size, where, findings)


def _check_values(
    bbox: Any, area: Any, segmentation: Any, size: tuple[int, int] | None, where: str, findings: Findings
) -> None:
    if bbox is not None and not is_bbox(bbox):
        findings.error("bbox is not four finite numbers", f"{where}: {shortened(bbox)}")
        bbox = None
    elif bbox is None and segmentation:
        findings.error("mask without box", where)
    elif bbox is not None and not segmentation:
        findings.error("box without mask", where)
    if area is not None and not is_finite_number(area):
        findings.error("area is no finite number", f"{where}: {shortened(area)}")
    elif area is not None and area < 0:
        findings.error("negative area", f"{where}: {area}")
    elif area is None and segmentation:
        findings.error("mask without area", where)
    elif area and not segmentation:
        findings.error("area without mask", where)
    if bbox is None:
        return
    x, y, w, h = bbox
    if w < 0 or h < 0:
        findings.error("negative box size", f"{where}: {bbox}")
    elif w < 1 or h < 1:
        findings.warning("box below 1 pixel (left out in training)", f"{where}: {bbox}")
    if size is not None:
        height, width = size
        beyond = max(-x, -y, x + w - width, y + h - height)
        if beyond > BOX_OUTSIDE_TOLERANCE_PX:
            findings.warning("box reaches out of the frame", f"{where}: {bbox}, frame {width} x {height}")


def _note_unused(tracks: list[Record], videos: list[Record], categories: list[Record], findings: Findings) -> None:
    for key, records, kind in (
        ("video_id", videos, "video without tracks"),
        ("category_id", categories, "category never used"),
    ):
        used = {track[key] for track in tracks if is_whole(track.get(key))}
        for record in records:
            if record["id"] not in used:
                name = f" ({record['name']})" if "name" in record else ""
                findings.warning(kind, f"{record['id']}{name}")
