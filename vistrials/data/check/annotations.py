"""What is odd or contradicts itself in an annotation file that can be read: nothing that `find_faults` refuses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vistrials.data.category_names import alike, numbered, shown
from vistrials.data.convert.agreement import Reach, check_declared_size
from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError, shortened
from vistrials.formats.annotation_faults import Record, is_absent, name_track, records, size_of
from vistrials.formats.annotations import category_name
from vistrials.formats.findings import Finding, error, warning
from vistrials.formats.track_masks import DecodedTrack, decode_track
from vistrials.formats.values import is_bbox, is_finite_number, is_whole

BOX_OUTSIDE_TOLERANCE_PX = 0.5

BOX_TOLERANCE_PX = 2.0
"""Releases differ in whether a box ends on the last pixel or after it, and polygons are rasterised."""

AREA_TOLERANCE_PX, AREA_TOLERANCE_FRACTION = 16.0, 0.05
"""An area may be the polygon's rather than the mask's: disagreement is what exceeds both."""

_NEVER_MATCHED = "no prediction can match it, so that it counts as missed; remove it"


def find_contradictions(document: Any) -> Iterator[Finding]:
    """Compare the parts of an annotation file with each other, as far as they can be used.

    Args:
        document: the parsed file.

    Yields:
        Errors for what contradicts itself or is no mask of its video; warnings for what is unusual.
    """
    videos = {video["id"]: video for video in records(document, "videos")}
    tracks = records(document, "annotations")
    usable = _Usable()
    reaches: dict[int, Reach] = {}
    for track in tracks:
        if isinstance(track.get("segmentations"), list):
            video_id = track.get("video_id")
            video = videos.get(video_id) if is_whole(video_id) else None
            yield from _track_findings(track, video, usable)
            if video is not None:
                _add_polygons(reaches.setdefault(video["id"], Reach()), track)
    for video_id, reach in reaches.items():
        yield from _reach_findings(reach, videos[video_id])
    yield from _names(records(document, "categories"))
    yield from _frames_twice(videos.values())
    if tracks and usable.looked_at and not usable.num_masks:
        what = f"all of {len(tracks)} tracks are crowds, or have no mask with a pixel"
        yield error("no object to train on or to score", "", f"{what}; draw their masks, or name another file")
    if tracks:
        yield from _unused("video", "video_id", videos.values(), tracks)
        yield from _unused("category", "category_id", records(document, "categories"), tracks)


def count_masks(document: Any) -> int:
    """Number of masks in the file."""
    listed = (track.get("segmentations") for track in records(document, "annotations"))
    return sum(not is_absent(mask) for masks in listed if isinstance(masks, list) for mask in masks)


@dataclass(slots=True)
class _Usable:
    """Masks that can be trained on (`sampling.is_usable`), counted over a file."""

    num_masks: int = 0
    looked_at: bool = False

    def add(self, track: Record, decoded: DecodedTrack, bboxes: list[Any]) -> None:
        self.looked_at = True
        if not track.get("iscrowd"):
            boxes = [bboxes[frame] if frame < len(bboxes) else None for frame in decoded.frames]
            self.num_masks += sum(
                area > 0 and (not is_bbox(box) or min(box[2:]) >= 1)
                for area, box in zip(decoded.areas.tolist(), boxes, strict=True)
            )


def _track_findings(track: Record, video: Record | None, usable: _Usable) -> Iterator[Finding]:
    where, segmentations = name_track(track), track["segmentations"]
    size = None if video is None else size_of(video)
    bboxes, areas = ((values if isinstance(values, list) else None) for values in map(track.get, ("bboxes", "areas")))
    for frame, segmentation in enumerate(segmentations):
        at = f"{where}, frame {frame}"
        if bboxes is not None and frame < len(bboxes):
            yield from _box_findings(bboxes[frame], segmentation, size, at)
        if areas is not None and frame < len(areas):
            yield from _area_findings(areas[frame], segmentation, at)
    if size is not None:
        try:
            check_declared_size((track.get("height"), track.get("width")), size, where)
        except DataError as fault:
            yield error("track of another size than its video", "", str(fault))
    if all(map(is_absent, segmentations)):
        yield warning("track without a visible frame", where, f"no frame has a mask; {_NEVER_MATCHED}")
        usable.looked_at = True
    elif size is not None:
        # What is neither a run-length mask nor polygons was found already.
        masks = [mask if isinstance(mask, dict | list) else None for mask in segmentations]
        decoded = decode_track(masks, size, where)
        usable.add(track, decoded, bboxes or [])
        yield from _mask_findings(decoded, bboxes or [], areas or [], where)


def _box_findings(bbox: Any, segmentation: Any, size: tuple[int, int] | None, where: str) -> Iterator[Finding]:
    if bbox is None:
        if not is_absent(segmentation):
            yield warning("mask without box", where, "the box is null; that of the mask is used")
        return
    if not is_bbox(bbox):
        return
    if is_absent(segmentation):
        yield error("box without mask", where, f"box {bbox}; expected null, as there is no mask")
    x, y, w, h = bbox
    if 0 <= min(w, h) < 1:
        yield warning("box below 1 pixel (left out in training)", where, f"{bbox}")
    if size is not None:
        height, width = size
        if max(-x, -y, x + w - width, y + h - height) > BOX_OUTSIDE_TOLERANCE_PX:
            yield warning("box reaches out of the frame", where, f"{bbox}, frame {width} x {height}")


def _area_findings(area: Any, segmentation: Any, where: str) -> Iterator[Finding]:
    if area is None and not is_absent(segmentation):
        yield warning("mask without area", where, "the area is null; that of the mask is used")
    elif is_finite_number(area) and area > 0 and is_absent(segmentation):
        yield error("area without mask", where, f"area {area}; expected null, as there is no mask")


def _mask_findings(decoded: DecodedTrack, bboxes: list[Any], areas: list[Any], where: str) -> Iterator[Finding]:
    """Masks against their boxes and areas."""
    yield from decoded.faults
    yield from decoded.left_out
    if decoded.frames and not decoded.areas.any():
        yield warning("track without a pixel", where, f"none of its masks has one; {_NEVER_MATCHED}")
    for frame, mask_area, mask_box in zip(decoded.frames, decoded.areas.tolist(), decoded.boxes.tolist(), strict=True):
        at = f"{where}, frame {frame}"
        if mask_area == 0:
            yield warning("mask without a pixel", at, "the mask is empty; null says that an object is absent")
            continue
        bbox = bboxes[frame] if frame < len(bboxes) else None
        if is_bbox(bbox) and _corner_distance(bbox, mask_box) > BOX_TOLERANCE_PX:
            within = [int(side) for side in mask_box]
            yield error("box does not fit mask", at, f"box {shortened(bbox)}, mask within {within}")
        area = areas[frame] if frame < len(areas) else None
        if area == 0:
            yield warning("area of 0 beside a mask", at, f"the mask has {mask_area} pixels; its area is used")
        elif is_finite_number(area):
            difference = abs(area - mask_area)
            if difference > max(AREA_TOLERANCE_PX, AREA_TOLERANCE_FRACTION * mask_area):
                yield warning("area disagrees with mask", at, f"area {area}, mask of {mask_area} pixels")


def _corner_distance(a: list[float], b: list[float]) -> float:
    """Largest shift of a side, in pixels, between two x, y, w, h boxes."""
    corners_a, corners_b = ((x, y, x + w, y + h) for x, y, w, h in (a, b))
    return max(abs(p - q) for p, q in zip(corners_a, corners_b, strict=True))


def _add_polygons(reach: Reach, track: Record) -> None:
    bboxes = track.get("bboxes")
    for frame, segmentation in enumerate(track["segmentations"]):
        parts = segmentation if isinstance(segmentation, list) else []
        polygons = [
            part for part in parts if isinstance(part, list) and len(part) >= 6 and all(map(is_finite_number, part))
        ]
        if polygons and all(len(polygon) % 2 == 0 for polygon in polygons):
            has_box = isinstance(bboxes, list) and frame < len(bboxes) and bboxes[frame] is not None
            reach.add(polygons, f"{name_track(track)}, frame {frame}", has_box=has_box)


def _reach_findings(reach: Reach, video: Record) -> Iterator[Finding]:
    """What the polygons of a video tell of their unit, order and scale."""
    size, notes = size_of(video), Notes()
    if size is None:
        return
    try:
        reach.check(size, notes)
    except DataError as fault:
        yield error("polygons that are not in pixels of their video", "", str(fault))
    for line in notes.lines():
        yield warning("polygons that may not be in pixels of their video", f"video {video['id']}", line)


def _names(categories: list[Record]) -> Iterator[Finding]:
    """Categories that may be one."""
    names = [category_name(category) for category in categories]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        ids = [category["id"] for category in categories if category_name(category) == name]
        yield error("two categories of one name", "", f"{name!r} is the name of {ids}; join them, or rename one")
    for group in alike(names):
        yield warning("names that differ by case or blanks alone", "", f"{shown(group)}; are they one category?")
    for group in numbered(names):
        yield warning("names that differ by a number alone", "", f"{shown(group)}; if it counts objects, join them")


def _frames_twice(videos: Iterable[Record]) -> Iterator[Finding]:
    """Frame files that belong to two videos, or twice to one: a finding for each pair of videos."""
    owner: dict[str, int] = {}
    for video in videos:
        names = video.get("file_names")
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        shared: dict[int, int] = {}
        for name in names:
            first = owner.setdefault(name, video["id"])
            if first != video["id"]:
                shared[first] = shared.get(first, 0) + 1
        for other, count in shared.items():
            told = f"{count} of its {len(names)} frames are video {other}'s too"
            yield warning("videos of the same frames", f"video {video['id']}", f"{told}; they count twice")
        if len(set(names)) < len(names):
            told = f"{len(names) - len(set(names))} of its {len(names)} frames are listed more than once"
            yield warning("video with a frame twice", f"video {video['id']}", told)


def _unused(what: str, key: str, listed: Iterable[Record], tracks: list[Record]) -> Iterator[Finding]:
    kinds = {"video": "video without tracks", "category": "category never used"}
    used = {track[key] for track in tracks if is_whole(track.get(key))}
    for record in listed:
        if record["id"] not in used:
            name = f" ({record['name']})" if "name" in record else ""
            yield warning(kinds[what], "", f"{record['id']}{name}")
