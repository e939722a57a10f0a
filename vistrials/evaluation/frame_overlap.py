"""Overlap of tracks frame by frame, from run-length masks: intersections are exact integers."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.track_iou import TrackMasks
from vistrials.formats.rle_line import FRAME_STEP

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def frame_overlaps(predictions: Sequence[TrackMasks], truths: Sequence[TrackMasks]) -> tuple[Ints, Ints]:
    """Compute intersection and union of all pairs in every frame, in pixels.

    Frames that one of the two lists lacks, and frames where masks of different sizes meet, count for nothing, so
    that the sums over frames are those of `track_iou`.

    Args:
        predictions: D tracks of one video.
        truths: G tracks of the same video.

    Returns:
        Intersections and unions, int64 [D, G, F] each, with F frames of the longest track.
    """
    tracks = [*predictions, *truths]
    F = max((len(track.areas) for track in tracks), default=0)
    intersections = np.zeros((len(predictions), len(truths), F), dtype=np.int64)
    if not predictions or not truths:
        return intersections, intersections.copy()
    bounds = [track.bounds for track in predictions]
    owners = np.repeat(np.arange(len(predictions)), [len(own) for own in bounds])
    starts, ends = np.concatenate(bounds).T
    frames = starts // FRAME_STEP
    for g, truth in enumerate(truths):
        count = _pixels_before(*truth.bounds.T)
        # Sums of weights are float64, which is exact for any number of pixels.
        sums = np.bincount(owners * F + frames, weights=count(ends) - count(starts), minlength=len(predictions) * F)
        intersections[:, g] = sums.reshape(-1, F).astype(np.int64)
    heights, widths = (by_frame([track.sizes[:, side] for track in predictions], F)[:, None] for side in (0, 1))
    true_heights, true_widths = (by_frame([track.sizes[:, side] for track in truths], F) for side in (0, 1))
    other_size = (heights != true_heights) | (widths != true_widths)
    in_both_lists = np.minimum.outer([len(d.areas) for d in predictions], [len(g.areas) for g in truths])
    both_present = (heights > 0) & (true_heights > 0)
    counts = (np.arange(F) < in_both_lists[..., None]) & ~(both_present & other_size)
    intersections[~counts] = 0
    areas = by_frame([track.areas for track in predictions], F)[:, None]
    truth_areas = by_frame([track.areas for track in truths], F)
    return intersections, np.where(counts, areas + truth_areas - intersections, 0)


def frame_iou(truths: Sequence[TrackMasks], predictions: Sequence[TrackMasks]) -> Floats:
    """Compute the mask IoU of all pairs in every frame, float64 [F, G, D].

    0 where one of the two is absent, where both masks are empty, and where they are of different sizes.
    """
    return ratio(*frame_overlaps(predictions, truths)).transpose(2, 1, 0)


def by_frame(tracks: Sequence[Ints], num_frames: int) -> Ints:
    """A row for each track, with 0 for the frames that it lacks."""
    table = np.zeros((len(tracks), num_frames), dtype=np.int64)
    for row, values in zip(table, tracks, strict=True):
        row[: len(values)] = values
    return table


def ratio(parts: Ints, wholes: Ints) -> Floats:
    """Parts / wholes, 0 where the whole is 0."""
    return np.divide(parts, wholes, out=np.zeros(wholes.shape), where=wholes > 0)


def _pixels_before(starts: Ints, ends: Ints) -> Callable[[Ints], Ints]:
    """How many pixels of disjoint ascending intervals lie before a point, as a function of points."""
    total = np.concatenate([[0], np.cumsum(ends - starts)])
    last_ends = np.concatenate([[0], ends])

    def count(points: Ints) -> Ints:
        begun = np.searchsorted(starts, points, side="right")
        return total[begun] - np.where(begun > 0, np.maximum(last_ends[begun] - points, 0), 0)

    return count
