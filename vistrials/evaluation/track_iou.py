"""Overlap of tracks: one IoU over all frames of a video, from run-length masks, exact in integers.

A video's frames are laid one after another on a line of pixel numbers, so that a track is one sorted list of
intervals, and the intersection of two tracks is what their lists have in common.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.formats.rle import count_strays, decode_runs, foreground_intervals
from vistrials.formats.rle_line import FRAME_STEP, count_shared_by_pairs, scan_tracks

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

_MAX_MASKS = 4096
"""Masks decoded at once, give or take a track: temporary arrays take some twenty bytes for each character."""


@dataclass(frozen=True)
class TrackMasks:
    """The masks of one track.

    Attributes:
        sizes: int64 [F, 2], mask height and width in pixels; 0, 0 in frames where the track is absent.
        areas: int64 [F], foreground pixels; 0 where absent.
        line: int64 [2 * I], ascending: start and end of each foreground interval on a line where frame f begins at
            f * FRAME_STEP. An interval may be empty.
        num_strays: polygons of fewer than 3 points that were left out.
    """

    sizes: Int64s
    areas: Int64s
    line: Int64s
    num_strays: int = 0

    @property
    def mean_area(self) -> float:
        """Mean of the non-zero areas in pixels; 0 for a track without any."""
        # As `mean_nonzero`, without its copies: whole numbers add up the same with the zeros among them.
        present = np.count_nonzero(self.areas)
        return float(self.areas.sum() / present) if present else 0.0

    @property
    def bounds(self) -> Int64s:
        """Start and end on the line of each non-empty interval, int64 [J, 2]."""
        intervals = self.line.reshape(-1, 2)
        return intervals[intervals[:, 0] < intervals[:, 1]]

    def of_length(self, num_frames: int) -> "TrackMasks":
        """The track over as many frames: cut there, or absent from where it ends."""
        if num_frames == len(self.areas):
            return self
        kept = min(num_frames, len(self.areas))
        sizes, areas = np.zeros((num_frames, 2), dtype=np.int64), np.zeros(num_frames, dtype=np.int64)
        sizes[:kept], areas[:kept] = self.sizes[:kept], self.areas[:kept]
        line = self.line[: np.searchsorted(self.line, num_frames * FRAME_STEP)]
        return TrackMasks(sizes, areas, line, self.num_strays)


def mean_nonzero(values: Any) -> float:
    """Mean of the values that are not 0; 0 if there are none."""
    values = np.asarray(values)
    present = values[values != 0]
    return float(present.sum() / len(present)) if len(present) else 0.0


def scan_packed(packed: Sequence[Any]) -> list[TrackMasks | None]:
    """Decode the masks of tracks from their JSON text, many times faster than `decode_tracks`.

    Args:
        packed: per track a buffer with a JSON list of segmentations, one per frame.

    Returns:
        For each track its masks, or None if any is not null or a sound compressed RLE: `decode_tracks` may know it.
    """
    return [None if scanned is None else TrackMasks(*scanned) for scanned in scan_tracks(packed)]


def decode_tracks(
    tracks: Sequence[Sequence[Any]],
    height: int,
    width: int,
    name: Callable[[int, int], str] = lambda track, frame: f"track {track} frame {frame}",
) -> list[TrackMasks]:
    """Decode the segmentations of many tracks of one video.

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
    num_frames = max(map(len, tracks), default=0)
    step = max(1, _MAX_MASKS // max(1, num_frames))
    return [
        masks
        for first in range(0, len(tracks), step)
        for masks in _decode_batch(tracks, range(first, min(first + step, len(tracks))), height, width, name)
    ]


def _decode_batch(
    all_tracks: Sequence[Sequence[Any]], batch: range, height: int, width: int, name: Callable[[int, int], str]
) -> Iterator[TrackMasks]:
    """Decode some of the tracks on one line, each with as many frames as the longest."""
    tracks = all_tracks[batch.start : batch.stop]
    num_frames = max(map(len, tracks))
    flags = np.zeros((len(tracks), num_frames), dtype=bool)
    masks: list[Any] = []
    for row, segmentations in zip(flags, tracks, strict=True):
        # Empty lists and objects count as absent, as in the official program.
        present = [True if segmentation else segmentation not in (None, [], {}) for segmentation in segmentations]
        row[: len(segmentations)] = present
        masks += compress(segmentations, present)
    places = np.flatnonzero(flags)

    def name_mask(index: int) -> str:
        track, frame = divmod(int(places[index]), num_frames)
        return name(batch.start + track, frame)

    intervals = foreground_intervals(decode_runs(masks, height, width, name_mask))
    steps = np.repeat(places % num_frames * FRAME_STEP, np.diff(intervals.offsets))
    bounds = np.stack([intervals.starts + steps, intervals.ends + steps], axis=1).ravel()
    sizes = np.zeros((len(tracks) * num_frames, 2), dtype=np.int64)
    areas = np.zeros(len(tracks) * num_frames, dtype=np.int64)
    sizes[places], areas[places] = intervals.sizes, intervals.areas()
    origins = np.arange(len(tracks) + 1) * num_frames
    lines = 2 * intervals.offsets[np.searchsorted(places, origins)]
    for segmentations, origin, first, last in zip(tracks, origins, lines[:-1], lines[1:], strict=False):
        own = slice(origin, origin + len(segmentations))
        yield TrackMasks(sizes[own], areas[own], bounds[first:last], sum(map(count_strays, segmentations)))


def track_iou(predictions: Sequence[TrackMasks], truths: Sequence[TrackMasks]) -> Float64s:
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
    num_frames = max(len(track.areas) for track in [*predictions, *truths])
    areas_d, areas_g = (_padded([track.areas for track in side], num_frames) for side in (predictions, truths))
    keys_d, keys_g = (_padded([_size_keys(track) for track in side], num_frames) for side in (predictions, truths))
    common = np.minimum.outer([len(d.areas) for d in predictions], [len(g.areas) for g in truths])
    intersection = np.zeros(common.shape, dtype=np.int64)
    keys = np.unique(np.concatenate([keys_d, keys_g]))
    for key in keys[keys > 0]:
        alone = len(keys[keys > 0]) == 1
        lines_d, lines_g = (
            [track.line if alone else _line_of_size(track, key) for track in side] for side in (predictions, truths)
        )
        intersection += _intersections(lines_d, lines_g)
    union = (
        np.take_along_axis(_running_sum(areas_d), common, axis=1)
        + np.take_along_axis(_running_sum(areas_g), common.T, axis=1).T
        - intersection
    )
    for g in range(len(truths)):
        clash = (keys_d > 0) & (keys_g[g] > 0) & (keys_d != keys_g[g])
        union[:, g] -= ((areas_d + areas_g[g]) * clash).sum(axis=1)
    return np.divide(intersection, union, out=np.zeros(union.shape), where=union > 0)


def _intersections(predictions: Sequence[Int64s], truths: Sequence[Int64s]) -> Int64s:
    """Pixels that both lines hold, int64 [D, G]."""
    # In one call for all pairs: other threads work meanwhile, and few calls hold them up less than many.
    return count_shared_by_pairs(*joined(predictions), *joined(truths))


def joined(lines: Sequence[Int64s]) -> tuple[Int64s, Int64s]:
    """The lines one after the other, and where each ends."""
    return np.concatenate(lines), np.cumsum([len(line) for line in lines])


def _line_of_size(track: TrackMasks, key: int) -> Int64s:
    """A track's line with the frames left out that have another mask size."""
    intervals = track.line.reshape(-1, 2)
    frames = intervals[:, 0] // FRAME_STEP
    return intervals[_size_keys(track)[frames] == key].ravel()


def _size_keys(track: TrackMasks) -> Int64s:
    """One number per mask size, int64 [F]; 0 where absent."""
    return (track.sizes[:, 0] << 32) | track.sizes[:, 1]


def _padded(rows: Sequence[Int64s], num_frames: int) -> Int64s:
    table = np.zeros((len(rows), num_frames), dtype=np.int64)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


def _running_sum(table: Int64s) -> Int64s:
    """Sums of each row's first n entries, for n from 0 to all."""
    return np.concatenate([np.zeros((len(table), 1), dtype=np.int64), np.cumsum(table, axis=1)], axis=1)
