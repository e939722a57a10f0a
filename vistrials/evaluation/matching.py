"""Which predicted track finds which true track, in one video and category, per threshold and area range."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.structures.tracks import LARGE_PX, SMALL_PX

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""Track IoU that counts as found, T of them."""

AREA_RANGES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, float(SMALL_PX**2)),
    "medium": (float(SMALL_PX**2), float(LARGE_PX**2)),
    "large": (float(LARGE_PX**2), 1e5**2),
}
"""Bounds of a track's mean area in pixels, both inclusive: on a bound it belongs to two ranges; A of them."""

UNMATCHED = -1
"""In place of a truth's index: the prediction found none."""


@dataclass(frozen=True)
class Matches:
    """The outcome for one video and category: all that average precision needs, whatever videos are drawn.

    T thresholds, A area ranges, D predictions by falling score, G truths in file order.

    Attributes:
        video_id: the video.
        category_id: the category.
        prediction_indices: int64 [D], entries in the list of predictions.
        scores: float64 [D], falling.
        truth_indices: int64 [G], entries in the list of annotations.
        ious: float64 [D, G], track IoU.
        matched_truths: int64 [T, A, D], place in `truth_indices`, or UNMATCHED.
        ignored: bool [T, A, D]: the prediction is neither right nor wrong.
        counted: bool [A, G]: the truth is no crowd and within the area range.
    """

    video_id: int
    category_id: int
    prediction_indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    truth_indices: NDArray[np.int64]
    ious: NDArray[np.float64]
    matched_truths: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def match_tracks(
    ious: NDArray[np.float64],
    prediction_areas: NDArray[np.float64],
    truth_areas: NDArray[np.float64],
    truth_is_crowd: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Match predictions to truths greedily by falling score.

    Each prediction takes the counted truth of highest IoU at or above the threshold that is still free (of
    equals the last); failing that, the ignored truth likewise. A crowd stays free. Ignored are predictions
    that take an ignored truth, and those that take none and are out of the area range themselves.

    Args:
        ious: float64 [D, G], predictions by falling score.
        prediction_areas: float64 [D], mean area in pixels.
        truth_areas: float64 [G], mean area in pixels.
        truth_is_crowd: bool [G].

    Returns:
        matched_truths int64 [T, A, D] (UNMATCHED for none), ignored bool [T, A, D], counted bool [A, G].

    Source: the official YouTube-VIS program. There a track of id 0 counts as not found; places are used here,
    so no id is special.
    """
    num_predictions, num_truths = ious.shape
    counted = _within_ranges(truth_areas) & ~truth_is_crowd
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
    matched = np.full((len(thresholds), len(AREA_RANGES), num_predictions), UNMATCHED, dtype=np.int64)
    free = np.ones((len(thresholds), len(AREA_RANGES), num_truths), dtype=bool)
    for d in np.flatnonzero((ious >= thresholds[0]).any(axis=1)):
        candidates = free & (ious[d] >= thresholds[:, None, None])
        best_counted = _last_best(ious[d], candidates & counted)
        best_ignored = _last_best(ious[d], candidates & ~counted)
        best = np.where(best_counted != UNMATCHED, best_counted, best_ignored)
        matched[:, :, d] = best
        taken = best[:, :, None] == np.arange(num_truths)
        free &= ~taken | truth_is_crowd
    is_unmatched = matched == UNMATCHED
    if num_truths:
        # UNMATCHED reads the last truth here, which the first operand masks out.
        took_counted = counted[np.arange(len(AREA_RANGES))[:, None], matched]
    else:
        took_counted = np.zeros_like(is_unmatched)
    ignored = np.where(is_unmatched, ~_within_ranges(prediction_areas), ~took_counted)
    return matched, ignored, counted


def _within_ranges(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool [A, N]."""
    bounds = np.array(list(AREA_RANGES.values()))
    return (areas >= bounds[:, :1]) & (areas <= bounds[:, 1:])


def _last_best(ious: NDArray[np.float64], candidates: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Place of the candidates' highest IoU along the last axis, of equals the last; UNMATCHED for none."""
    reversed_ious = np.where(candidates, ious, -1.0)[..., ::-1]
    best = ious.shape[-1] - 1 - reversed_ious.argmax(axis=-1)
    return np.where(candidates.any(axis=-1), best, UNMATCHED)
