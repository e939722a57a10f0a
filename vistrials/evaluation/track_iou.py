"""Overlap of tracks: one IoU over all frames of a video, from run-length masks, exact in integers.

A video's frames are laid one after another on a line of pixel numbers, so that a track is one sorted list of
intervals. The intersection of two tracks is then how much of one list the other covers: two look-ups per
interval in the running sum of the other's lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.geometry.rle import decode_runs, foreground_intervals

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class TrackMasks:
    """The masks of one track.

    Attributes:
        sizes: int64 [F, 2], mask height and width in pixels; 0, 0 in frames where the track is absent.
        areas: int64 [F], foreground pixels; 0 where absent.
        frames: int64 [I], ascending: the frame that each foreground interval lies in.
        starts: int64 [I], the interval's first pixel number (column * height + row) in that frame.
        ends: int64 [I], one past its last.
    """

    sizes: Int64s
    areas: Int64s
    frames: Int64s
    starts: Int64s
    ends: Int64s

    @property
    def mean_area(self) -> float:
        """Mean of the non-zero areas in pixels; 0 for a track without any."""
        return mean_nonzero(self.areas)


def mean_nonzero(values: Any) -> float:
    """Mean of the values that are not 0; 0 if there are none."""
    values = np.asarray(values)
    present = values[values != 0]
    return float(present.mean()) if len(present) else 0.0


def decode_tracks(
    tracks: Sequence[Sequence[Any]],
    height: int,
    width: int,
    name: Callable[[int, int], str] = lambda track, frame: f"track {track} frame {frame}",
) -> list[TrackMasks]:
    """Decode the segmentations of many tracks of one video, in one pass.

    Args:
        tracks: per track its segmentations, one per frame (see `geometry.rle.to_rle`), None where absent.
        height: video height in pixels, for polygons.
        width: video width in pixels, for polygons.
        name: names a track's segmentation in error messages, from the track's place and the frame number.

    Returns:
        One `TrackMasks` per track.

    Raises:
        DataError: names the first segmentation that is not a mask, and says why.
    """
    # Empty lists and objects count as absent, as in the official program.
    present = [
        (track, frame)
        for track, segmentations in enumerate(tracks)
        for frame, segmentation in enumerate(segmentations)
        if segmentation not in (None, [], {})
    ]
    runs = decode_runs(
        [tracks[track][frame] for track, frame in present], height, width, lambda index: name(*present[index])
    )
    intervals = foreground_intervals(runs)
    mask_areas = intervals.areas()
    mask_tracks, mask_frames = np.array(present, dtype=np.int64).reshape(-1, 2).T
    interval_frames = np.repeat(mask_frames, np.diff(intervals.offsets))
    bounds = np.searchsorted(mask_tracks, np.arange(len(tracks) + 1))

    decoded = []
    for segmentations, first, last in zip(tracks, bounds[:-1], bounds[1:], strict=True):
        sizes = np.zeros((len(segmentations), 2), dtype=np.int64)
        areas = np.zeros(len(segmentations), dtype=np.int64)
        sizes[mask_frames[first:last]] = intervals.sizes[first:last]
        areas[mask_frames[first:last]] = mask_areas[first:last]
        own = slice(intervals.offsets[first], intervals.offsets[last])
        decoded.append(TrackMasks(sizes, areas, interval_frames[own], intervals.starts[own], intervals.ends[own]))
    return decoded


def track_iou(predictions: Sequence[TrackMasks], truths: Sequence[TrackMasks]) -> NDArray[np.float64]:
    """Compute sum over frames of intersection / sum over frames of union, for all pairs.

    A pair is compared over the frames that both lists have. A frame where one of the two is absent adds the
    other's area to the union. A frame where both are present with masks of different sizes adds nothing.

    Args:
        predictions: D tracks of one video.
        truths: G tracks of the same video.

    Returns:
        float64 [D, G] in 0..1; 0 where the union is empty.

    Source: the official YouTube-VIS program (MaskTrack R-CNN, arXiv 1905.04804, section 3.2).
    """
    if not predictions or not truths:
        return np.zeros((len(predictions), len(truths)))
    line = _Line.of([*predictions, *truths])
    areas_d, areas_g = line.padded_areas(predictions), line.padded_areas(truths)
    kinds_d, kinds_g = line.padded_kinds(predictions), line.padded_kinds(truths)
    common = np.minimum.outer([len(d.areas) for d in predictions], [len(g.areas) for g in truths])
    intersection = _intersections(line, predictions, truths)
    union = (
        np.take_along_axis(_running_sum(areas_d), common, axis=1)
        + np.take_along_axis(_running_sum(areas_g), common.T, axis=1).T
        - intersection
    )
    if len(line.keys) > 1:
        for g in range(len(truths)):
            clash = (kinds_d >= 0) & (kinds_g[g] >= 0) & (kinds_d != kinds_g[g])
            union[:, g] -= ((areas_d + areas_g[g]) * clash).sum(axis=1)
    return np.divide(intersection, union, out=np.zeros(union.shape), where=union > 0)


@dataclass(frozen=True)
class _Line:
    """The line of pixel numbers: a stretch per mask size and frame, so that masks of two sizes never meet."""

    keys: Int64s
    num_frames: int
    stretch: int

    @classmethod
    def of(cls, tracks: Sequence[TrackMasks]) -> "_Line":
        sizes = np.concatenate([track.sizes for track in tracks])
        keys = np.unique(_size_keys(sizes))
        num_frames = max(len(track.areas) for track in tracks)
        return cls(keys[keys > 0], num_frames, int(sizes.prod(axis=1).max(initial=1)))

    def kinds(self, track: TrackMasks) -> Int64s:
        """Which of the mask sizes each frame has, int64 [F]; -1 where absent."""
        keys = _size_keys(track.sizes)
        return np.where(keys > 0, np.searchsorted(self.keys, keys), -1)

    def intervals(self, track: TrackMasks) -> tuple[Int64s, Int64s]:
        """The track's intervals on the line: starts and ends, in the order of the track."""
        place = self.kinds(track) * self.num_frames + np.arange(len(track.areas))
        origin = (place * self.stretch)[track.frames]
        return track.starts + origin, track.ends + origin

    def padded_areas(self, tracks: Sequence[TrackMasks]) -> Int64s:
        return self._padded([track.areas for track in tracks], 0)

    def padded_kinds(self, tracks: Sequence[TrackMasks]) -> Int64s:
        return self._padded([self.kinds(track) for track in tracks], -1)

    def _padded(self, rows: Sequence[Int64s], filler: int) -> Int64s:
        table = np.full((len(rows), self.num_frames), filler, dtype=np.int64)
        for row, values in zip(table, rows, strict=True):
            row[: len(values)] = values
        return table


def _intersections(line: _Line, predictions: Sequence[TrackMasks], truths: Sequence[TrackMasks]) -> Int64s:
    """Pixels that both tracks hold, over all frames of the same mask size, int64 [D, G]."""
    placed = [line.intervals(track) for track in predictions]
    starts = np.concatenate([start for start, _ in placed])
    ends = np.concatenate([end for _, end in placed])
    offsets = np.concatenate([[0], np.cumsum([len(start) for start, _ in placed])])
    table = np.empty((len(predictions), len(truths)), dtype=np.int64)
    for g, truth in enumerate(truths):
        # Sorted because with several mask sizes the line goes size by size, the track frame by frame.
        bounds = np.sort(np.concatenate(line.intervals(truth)), kind="stable")
        covered = _covered_before(ends, bounds) - _covered_before(starts, bounds)
        table[:, g] = np.diff(np.concatenate([[0], np.cumsum(covered)])[offsets])
    return table


def _covered_before(points: Int64s, bounds: Int64s) -> Int64s:
    """How much of disjoint intervals, given as ascending start, end, start, end .., is before each point.

    Past b bounds that is a constant (b even: between intervals) or a constant plus the point (b odd: inside).
    """
    starts, ends = bounds[0::2], bounds[1::2]
    total = np.cumsum(ends - starts)
    constant = np.zeros(len(bounds) + 1, dtype=np.int64)
    constant[1::2] = total - ends
    constant[2::2] = total
    num_before = np.searchsorted(bounds, points, side="right")
    return constant[num_before] + (num_before & 1) * points


def _size_keys(sizes: Int64s) -> Int64s:
    """One number per mask size; 0 where absent."""
    return (sizes[:, 0] << 32) | sizes[:, 1]


def _running_sum(table: Int64s) -> Int64s:
    """Sums of each row's first n entries, for n from 0 to all."""
    return np.concatenate([np.zeros((len(table), 1), dtype=np.int64), np.cumsum(table, axis=1)], axis=1)
