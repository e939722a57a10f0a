"""The masks of an annotated track: decoded and checked together, and what follows from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.formats.annotation_faults import is_absent
from vistrials.formats.findings import Finding, error, warning
from vistrials.formats.rle import Intervals, count_strays, decode_runs, foreground_intervals

STRAYS = "polygons of fewer than 3 points beside others (left out)"


@dataclass(frozen=True)
class DecodedTrack:
    """The sound masks of one track, and what is wrong with the others.

    Attributes:
        frames: the frame of each sound mask, ascending.
        faults: what is wrong with the others, in the order of the frames.
        left_out: parts of masks that do not count.
    """

    frames: tuple[int, ...]
    faults: tuple[Finding, ...]
    left_out: tuple[Finding, ...]
    _intervals: Intervals
    _fits: NDArray[np.bool_]

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of the sound masks, int64 [N]."""
        return self._intervals.areas()[self._fits]

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """x, y, w, h in pixels around the sound masks, float64 [N, 4]; all 0 for an empty mask."""
        return tight_boxes(self._intervals)[self._fits]


def decode_track(segmentations: Sequence[Any], size: tuple[int, int], where: str) -> DecodedTrack:
    """Decode the masks of a track.

    Args:
        segmentations: one per frame, None (or an empty list or object) where absent.
        size: (height, width) of the video in pixels, which every mask must have.
        where: the track, for messages.
    """
    present = [frame for frame, segmentation in enumerate(segmentations) if not is_absent(segmentation)]
    faults: list[Finding] = []
    try:
        intervals = _decode([segmentations[frame] for frame in present], size)
    except DataError:
        faults = list(_broken(segmentations, present, size, where))
        broken = {finding.where for finding in faults}
        present = [frame for frame in present if _place(where, frame) not in broken]
        intervals = _decode([segmentations[frame] for frame in present], size)
    fits = (intervals.sizes == size).all(axis=1)
    for place in np.flatnonzero(~fits).tolist():
        rows, columns = intervals.sizes[place].tolist()
        what = f"a mask of {rows} x {columns} pixels (height x width); the video has {size[0]} x {size[1]}"
        if (columns, rows) == size:
            what += "; they look switched: write size as [height, width]"
        faults.append(error("mask size differs from video size", _place(where, present[place]), what))
    frames = tuple(frame for frame, fitting in zip(present, fits.tolist(), strict=True) if fitting)
    left_out = (
        warning(STRAYS, _place(where, frame), f"{number} of {len(segmentations[frame])} polygons")
        for frame in frames
        if (number := count_strays(segmentations[frame]))
    )
    return DecodedTrack(frames, tuple(faults), tuple(left_out), intervals, fits)


def track_record(segmentations: Sequence[Any], size: tuple[int, int], *, is_crowd: bool = False) -> dict[str, Any]:
    """The YouTube-VIS record of a track, but for ids and category.

    Args:
        segmentations: one per frame, None where absent; those without a pixel count as absent.
        size: (height, width) of the video in pixels.
    """
    decoded = decode_track(segmentations, size, "")
    bboxes: list[list[float] | None] = [None] * len(segmentations)
    areas: list[float | None] = [None] * len(segmentations)
    visible: list[Any] = [None] * len(segmentations)
    for frame, area, box in zip(decoded.frames, decoded.areas.tolist(), decoded.boxes.tolist(), strict=True):
        if area:
            bboxes[frame], areas[frame], visible[frame] = box, float(area), segmentations[frame]
    height, width = size
    return {
        "iscrowd": int(is_crowd),
        "width": width,
        "height": height,
        "length": len(segmentations),
        "bboxes": bboxes,
        "areas": areas,
        "segmentations": visible,
    }


def tight_boxes(intervals: Intervals) -> NDArray[np.float64]:
    """Tight boxes of N masks.

    Returns:
        (N, 4) x, y, w, h in pixels (the last column is x + w - 1), all 0 for empty masks.
    """
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


def _decode(segmentations: list[Any], size: tuple[int, int]) -> Intervals:
    return foreground_intervals(decode_runs(segmentations, *size))


def _broken(
    segmentations: Sequence[Any], present: Sequence[int], size: tuple[int, int], where: str
) -> Iterator[Finding]:
    for frame in present:
        try:
            decode_runs([segmentations[frame]], *size)
        except DataError as fault:
            kinds: dict[type, str] = {list: "broken polygon", dict: "broken run-length mask"}
            kind = kinds.get(type(segmentations[frame]), "segmentation of unknown form")
            yield error(kind, _place(where, frame), str(fault).removeprefix("mask: "))


def _place(where: str, frame: int) -> str:
    return f"{where}, frame {frame}"
