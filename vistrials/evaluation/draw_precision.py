"""Precision at recall points in every draw of videos: the compiled loops under `bootstrap`.

Draws are taken side by side, LANES at a time, which processors do four or more at once; within a draw every sum is
taken in the order of a plain loop, so that its figures do not depend on how many there are.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 64
"""Draws at a time: enough for wide registers, few enough that what is kept of them stays in the cache."""

_SPACING = float(np.spacing(1))


@njit(nogil=True, cache=True)
def count_in_draws(by_video: NDArray[np.int32], per_video: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count something in each draw.

    Args:
        by_video: [V, B], how often each draw holds each video.
        per_video: [V], how much there is of it in each video.

    Returns:
        int64 [B].
    """
    counts = np.zeros(by_video.shape[1], dtype=np.int64)
    for v in range(len(per_video)):
        if per_video[v]:
            for b in range(len(counts)):
                counts[b] += per_video[v] * by_video[v, b]
    return counts


@njit(nogil=True, cache=True)
def find_reached(
    num_truths: NDArray[np.int64], recall_points: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Find how many recall points are reached by each number of truths found.

    Args:
        num_truths: [B], of the draws.
        recall_points: [R], ascending, 255 at most.

    Returns:
        uint8 [P, 1 + most truths], a row for each different number of truths above 0, one without any; and int32 [B],
        the row of each draw, any where it has none.
    """
    most = num_truths.max()
    row_of = np.zeros(most + 1, dtype=np.int32)
    for num in num_truths:
        row_of[num] = 1
    num_rows = 0
    for num in range(1, most + 1):
        if row_of[num]:
            row_of[num] = num_rows
            num_rows += 1
        else:
            row_of[num] = -1
    row_of[0] = 0
    reached = np.zeros((max(1, num_rows), most + 1), dtype=np.uint8)
    for num in range(1, most + 1):
        if row_of[num] >= 0:
            point = 0
            for found in range(num + 1):
                while point < len(recall_points) and recall_points[point] <= found / num:
                    point += 1
                reached[row_of[num], found] = point
    return reached, row_of[num_truths]


@njit(nogil=True, cache=True, error_model="numpy")
def add_precision(
    by_video: NDArray[np.int32],
    num_truths: NDArray[np.int64],
    reached: NDArray[np.uint8],
    rows: NDArray[np.int32],
    videos: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
    right: NDArray[np.int64],
    ends: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """Add to each draw its precision at the recall points, summed over thresholds.

    Args:
        by_video: [V, B], how often each draw holds each video; LANES draws or more.
        num_truths: [B], of the draws.
        reached: [P, 1 + most truths], of `find_reached`.
        rows: [B], likewise.
        videos: [N], of predictions by falling score.
        is_counted: [N].
        right: the places of right predictions, ascending, threshold after threshold.
        ends: [T], where those of each threshold end.
        sums: [B], changed in place.
    """
    is_used = np.zeros(len(videos), dtype=np.bool_)
    is_used[right] = True
    longest, first = 0, 0
    for end in ends:
        longest, first = max(longest, end - first), end
    most, row_starts = np.empty(LANES, dtype=np.int32), np.empty(LANES, dtype=np.int32)
    counts, total = np.empty(LANES, dtype=np.int32), np.empty(LANES)
    shares, precision = np.empty((len(videos), LANES)), np.empty((longest, LANES))
    points = np.zeros((1 + longest, LANES))
    # Without a sign they are looked up as they are.
    places, flat = np.empty(LANES, dtype=np.uint32), reached.ravel()
    for done in range(0, len(sums), LANES):
        # Loops over a fixed number of draws need no rest: the last ones begin with some that are done.
        start = min(done, len(sums) - LANES)
        for i in range(LANES):
            most[i] = num_truths[start + i]
            row_starts[i] = rows[start + i] * reached.shape[1]
        counts[:] = 0
        for n in range(len(videos)):
            weights = by_video[videos[n], start : start + LANES]
            if is_counted[n]:
                for i in range(LANES):
                    counts[i] += weights[i]
            if is_used[n]:
                for i in range(LANES):
                    # The official smallest step above 1 keeps 0 / 0 at 0.
                    shares[n, i] = 1 / (counts[i] + _SPACING)
        total[:] = 0.0
        first = 0
        for end in ends:
            num_right = end - first
            counts[:] = 0
            for r in range(num_right):
                n = right[first + r]
                weights, of_counted = by_video[videos[n], start : start + LANES], shares[n]
                here = precision[r]
                for i in range(LANES):
                    counts[i] += weights[i]
                for i in range(LANES):
                    here[i] = counts[i] * of_counted[i]
                reached_here = points[r + 1]
                for i in range(LANES):
                    places[i] = row_starts[i] + min(counts[i], most[i])
                for i in range(LANES):
                    reached_here[i] = flat[places[i]]
            for r in range(num_right - 2, -1, -1):
                here, later = precision[r], precision[r + 1]
                for i in range(LANES):
                    here[i] = here[i] if here[i] > later[i] else later[i]
            # A recall point reads the envelope at the first right prediction that reaches it.
            for r in range(num_right - 1, -1, -1):
                here, before, after = precision[r], points[r], points[r + 1]
                for i in range(LANES):
                    total[i] += here[i] * (after[i] - before[i])
            first = end
        for i in range(done - start, LANES):
            # Without a truth there is nothing to find.
            if most[i]:
                sums[start + i] += total[i]
