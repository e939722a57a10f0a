"""Overlap of tracks frame by frame, from run-length masks: intersections are exact integers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.track_iou import TrackMasks


def frame_iou(truths: Sequence[TrackMasks], predictions: Sequence[TrackMasks]) -> NDArray[np.float64]:
    """Compute the mask IoU of all pairs in every frame.

    Args:
        truths: G tracks of one video, of F frames each.
        predictions: D tracks of the same video and as many frames.

    Returns:
        float64 [F, G, D] in 0..1; 0 where one of the two is absent, where both masks are empty, and where they
        are of different sizes.
    """
    num_frames = max((len(track.areas) for track in (*truths, *predictions)), default=0)
    ious = np.zeros((num_frames, len(truths), len(predictions)))
    if not truths or not predictions:
        return ious
    # The frames one after another on a line of pixel numbers: a stretch each, as long as the largest mask.
    stretch = max(int(track.sizes.prod(axis=1).max(initial=1)) for track in (*truths, *predictions))
    placed = [_on_line(track, stretch) for track in predictions]
    starts = np.concatenate([start for start, _ in placed])
    ends = np.concatenate([end for _, end in placed])
    bins = np.concatenate([track.frames + d * num_frames for d, track in enumerate(predictions)])
    sizes = np.stack([track.sizes for track in predictions])
    areas = np.stack([track.areas for track in predictions])
    for g, truth in enumerate(truths):
        true_starts, true_ends = _on_line(truth, stretch)
        covered = _covered_before(ends, true_starts, true_ends) - _covered_before(starts, true_starts, true_ends)
        # Sums of weights are float64, which holds every number of pixels exactly.
        intersection = np.bincount(bins, weights=covered, minlength=areas.size).reshape(areas.shape)
        intersection *= (sizes == truth.sizes).all(axis=2)
        union = areas + truth.areas - intersection
        ious[:, g] = np.divide(intersection, union, out=np.zeros(union.shape), where=intersection > 0).T
    return ious


def _on_line(track: TrackMasks, stretch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The track's intervals, ascending: starts and ends."""
    origin = track.frames * stretch
    return track.starts + origin, track.ends + origin


def _covered_before(points: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """How much of disjoint ascending intervals lies before each point."""
    lengths = np.concatenate([[0], np.cumsum(ends - starts)])
    num_begun = np.searchsorted(starts, points, side="right")
    # All that have begun count whole, but for what the last of them has beyond the point.
    beyond = np.concatenate([[0], ends])[num_begun] - points
    return lengths[num_begun] - np.where(num_begun > 0, np.maximum(beyond, 0), 0)
