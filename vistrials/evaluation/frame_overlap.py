"""Overlap of tracks frame by frame, from run-length masks: intersections are exact integers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.track_iou import TrackMasks, joined
from vistrials.formats.rle_line import count_shared_by_frame

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
    if not predictions or not truths:
        nothing = np.zeros((len(predictions), len(truths), F), dtype=np.int64)
        return nothing, nothing.copy()
    lines, true_lines = ([track.line for track in side] for side in (predictions, truths))
    intersections = count_shared_by_frame(*joined(lines), *joined(true_lines), F)
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
