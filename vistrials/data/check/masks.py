"""The masks of a track against the size of its video, its boxes and its areas."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.data.check.report import Findings
from vistrials.errors import DataError, shortened
from vistrials.formats.annotations import is_bbox, is_finite_number
from vistrials.formats.rle import Intervals, Runs, decode_runs, foreground_intervals

BOX_TOLERANCE_PX = 2.0
"""Releases differ in whether a box ends on the last pixel or after it, and polygons are rasterised."""

AREA_TOLERANCE_PX, AREA_TOLERANCE_FRACTION = 16.0, 0.05
"""An area may be the polygon's rather than the mask's: disagreement is what exceeds both."""


def check_masks(
    bboxes: list[Any],
    areas: list[Any],
    segmentations: list[Any],
    size: tuple[int, int] | None,
    where: str,
    findings: Findings,
) -> int:
    """Check the masks of one track.

    Args:
        bboxes, areas, segmentations: per frame, of whatever the file holds.
        size: (height, width) of the video; None where the file does not say.
        where: the track, for examples.
        findings: where faults go.

    Returns:
        Number of masks.
    """
    present = [frame for frame, segmentation in enumerate(segmentations) if segmentation]
    decoded = _decode_all([segmentations[frame] for frame in present], size)
    if decoded is None:
        sound = [f for f in present if _decodes(segmentations[f], size, f"{where}, frame {f}", findings)]
        decoded = _decode_all([segmentations[frame] for frame in sound], size)
    else:
        sound = present
    if decoded is None or not sound:
        return len(present)
    intervals = foreground_intervals(decoded)
    mask_areas, boxes = intervals.areas(), mask_boxes(intervals)
    for frame, mask_size, mask_area, mask_box in zip(
        sound, decoded.sizes.tolist(), mask_areas.tolist(), boxes.tolist(), strict=True
    ):
        at = f"{where}, frame {frame}"
        if size is not None and tuple(mask_size) != size:
            found, expected = (f"{h} x {w}" for h, w in (mask_size, size))
            findings.error("mask size differs from video size", f"{at}: {found} (height x width), video {expected}")
        elif mask_area == 0:
            findings.warning("mask without a pixel", at)
        else:
            _compare(bboxes, areas, frame, mask_box, mask_area, at, findings)
    return len(present)


def mask_boxes(intervals: Intervals) -> NDArray[np.float64]:
    """Tight boxes of N masks. Returns: (N, 4) x, y, w, h in pixels, 0 for empty masks."""
    boxes = np.zeros((len(intervals.sizes), 4))
    counts = np.diff(intervals.offsets)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return boxes
    heights = np.repeat(intervals.sizes[:, 0], counts)
    first_column, first_row = np.divmod(intervals.starts, heights)
    last_column, last_row = np.divmod(intervals.ends - 1, heights)
    # A run over the end of a column holds its last row and the next one's first.
    wraps = first_column != last_column
    first_row[wraps] = 0
    last_row[wraps] = heights[wraps] - 1
    starts = intervals.offsets[:-1][filled]
    x, y = (np.minimum.reduceat(values, starts) for values in (first_column, first_row))
    right, bottom = (np.maximum.reduceat(values, starts) for values in (last_column, last_row))
    boxes[filled] = np.stack([x, y, right - x + 1, bottom - y + 1], axis=1)
    return boxes


def _decode_all(segmentations: list[Any], size: tuple[int, int] | None) -> Runs | None:
    try:
        return decode_runs(segmentations, *(size or (None, None)))
    except DataError:
        return None


def _decodes(segmentation: Any, size: tuple[int, int] | None, where: str, findings: Findings) -> bool:
    if isinstance(segmentation, list) and size is None:
        return False  # without the video's size, which is the fault then, polygons say nothing
    try:
        decode_runs([segmentation], *(size or (None, None)))
    except DataError as error:
        kinds: dict[type, str] = {list: "broken polygon", dict: "broken run-length mask"}
        kind = kinds.get(type(segmentation), "segmentation of unknown form")
        findings.error(kind, f"{where}: {str(error).removeprefix('mask: ')}")
        return False
    return True


def _compare(
    bboxes: list[Any],
    areas: list[Any],
    frame: int,
    mask_box: list[float],
    mask_area: int,
    where: str,
    findings: Findings,
) -> None:
    bbox = bboxes[frame] if frame < len(bboxes) else None
    if is_bbox(bbox) and _corner_distance(bbox, mask_box) > BOX_TOLERANCE_PX:
        findings.error(
            "box does not fit mask",
            f"{where}: box {shortened(bbox)}, mask within {[int(side) for side in mask_box]}",
        )
    area = areas[frame] if frame < len(areas) else None
    if is_finite_number(area):
        difference = abs(area - mask_area)
        if difference > max(AREA_TOLERANCE_PX, AREA_TOLERANCE_FRACTION * mask_area):
            findings.warning("area disagrees with mask", f"{where}: area {area}, mask of {mask_area} pixels")


def _corner_distance(a: list[float], b: list[float]) -> float:
    """Largest shift of a side, in pixels, between two x, y, w, h boxes."""
    corners_a, corners_b = ((x, y, x + w, y + h) for x, y, w, h in (a, b))
    return max(abs(p - q) for p, q in zip(corners_a, corners_b, strict=True))
