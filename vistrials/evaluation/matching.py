"""Which predicted track finds which true track, in one video and category, per threshold and area range."""

from dataclasses import dataclass

import numpy as np
from numba import njit
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

_THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)

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
    counted = _within_ranges(truth_areas) & ~truth_is_crowd
    matched, ignored = match_in_ranges(ious, _within_ranges(prediction_areas), counted, truth_is_crowd)
    return matched, ignored, counted


def match_in_ranges(
    ious: NDArray[np.float64],
    inside: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    truth_is_crowd: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Match as `match_tracks`, in ranges of any kind, A of them.

    Args:
        ious: float64 [D, G], predictions by falling score.
        inside: bool [A, D], predictions that count even if they find nothing.
        counted: bool [A, G], truths that are to be found.
        truth_is_crowd: bool [G].

    Returns:
        matched_truths int64 [T, A, D] (UNMATCHED for none), ignored bool [T, A, D].
    """
    shape = (len(_THRESHOLDS), *inside.shape)
    matched, ignored = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.bool_)
    _match(np.ascontiguousarray(ious), _THRESHOLDS, inside, counted, truth_is_crowd, matched, ignored)
    return matched, ignored


@njit(nogil=True, cache=True)
def _match(
    ious: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    inside: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    is_crowd: NDArray[np.bool_],
    matched: NDArray[np.int64],
    ignored: NDArray[np.bool_],
) -> None:
    """Fill the last two; the others as in `match_in_ranges`."""
    num_predictions, num_truths = ious.shape
    for t in range(len(thresholds)):
        for a in range(len(counted)):
            is_free = np.ones(num_truths, dtype=np.bool_)
            for d in range(num_predictions):
                best = UNMATCHED
                for g in range(num_truths):
                    if not is_free[g] or ious[d, g] < thresholds[t]:
                        continue
                    if best != UNMATCHED and counted[a, g] == counted[a, best]:
                        is_better = ious[d, g] >= ious[d, best]
                    else:
                        is_better = best == UNMATCHED or counted[a, g]
                    if is_better:
                        best = g
                matched[t, a, d] = best
                ignored[t, a, d] = not inside[a, d] if best == UNMATCHED else not counted[a, best]
                if best != UNMATCHED:
                    is_free[best] = is_crowd[best]


def _within_ranges(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool [A, N]."""
    bounds = np.array(list(AREA_RANGES.values()))
    return (areas >= bounds[:, :1]) & (areas <= bounds[:, 1:])
