"""The compiled loops over draws, taken side by side, against a loop over one draw at a time, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.drawn_matches import random_matches
from vistrials.evaluation.average_precision import RECALL_POINTS
from vistrials.evaluation.bootstrap import draw_videos, resample_ap
from vistrials.evaluation.draw_precision import LANES, add_precision, count_in_draws, find_reached

Draws = tuple[NDArray[np.int64], NDArray[np.int64]]


def made_up(rng: np.random.Generator, num_draws: int) -> Draws:
    """Weights int64 [B, V] and counted truths int64 [V]; the second draw has none of them."""
    weights = draw_videos(7, num_draws, seed=int(rng.integers(100)))
    per_video = rng.integers(0, 4, size=7)
    per_video[:2] = 3, 0
    weights[1] = 0, 7, 0, 0, 0, 0, 0
    per_video[2:] *= rng.integers(0, 2)
    return weights, per_video


def of_one_draw(
    weights: NDArray[np.int64],
    num_truths: int,
    videos: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
    right_by_threshold: list[NDArray[np.int64]],
) -> float:
    """Precision at the recall points, summed over thresholds, of weights int64 [V]."""
    total = 0.0
    for right in right_by_threshold if num_truths else []:
        precision, points, found = [], [0], 0
        for place in right:
            found += int(weights[videos[place]])
            so_far = int((weights[videos] * is_counted)[: place + 1].sum())
            precision.append(found * (1 / (so_far + np.spacing(1))))
            recall = min(found, num_truths) / num_truths
            points.append(int(np.count_nonzero(recall >= RECALL_POINTS)))
        for r in reversed(range(len(precision))):
            total += max(precision[r:]) * (points[r + 1] - points[r])
    return total


@pytest.mark.parametrize("num_draws", [LANES, LANES + 1, 3 * LANES - 5])
@pytest.mark.parametrize("seed", range(5))
def test_draws_side_by_side_are_as_one_by_one(seed: int, num_draws: int) -> None:
    rng = np.random.default_rng(seed)
    weights, per_video = made_up(rng, num_draws)
    by_video = np.ascontiguousarray(weights.T, dtype=np.int32)
    num_truths = count_in_draws(by_video, per_video)
    assert np.array_equal(num_truths, weights @ per_video) and num_truths[1] == 0
    videos, is_counted = rng.integers(7, size=20), rng.random(20) < 0.8
    right = [np.flatnonzero(rng.random(20) < share) for share in (0.7, 0.3, 0.0, 0.5)]
    sums = np.ones(num_draws)
    add_precision(
        by_video,
        num_truths,
        *find_reached(num_truths, RECALL_POINTS),
        videos,
        is_counted,
        np.concatenate(right),
        np.cumsum([len(places) for places in right]),
        sums,
    )
    expected = [
        1 + of_one_draw(weight, int(num), videos, is_counted, right)
        for weight, num in zip(weights, num_truths, strict=True)
    ]
    assert sums.tolist() == expected


def test_points_reached_by_each_number_found() -> None:
    reached, rows = find_reached(np.array([2, 0, 3, 2]), RECALL_POINTS)
    assert reached[rows[0], :3].tolist() == [1, 51, 101]
    # 1/3 lies above the point 0.33, 2/3 above 0.66.
    assert reached[rows[2]].tolist() == [1, 34, 67, 101]
    assert rows[3] == rows[0]
    assert 0 <= rows[1] < len(reached)


def test_a_draw_does_not_depend_on_the_others() -> None:
    matches = random_matches(np.random.default_rng(2), 9, 3, ties=True)
    # A crowd's predictions are ignored at some thresholds only.
    ignored = [record.ignored.copy() for record in matches.records]
    for array in ignored:
        array[5:, :, ::3] = True
    records = tuple(replace(record, ignored=array) for record, array in zip(matches.records, ignored, strict=True))
    matches = replace(matches, records=records)
    weights = draw_videos(9, 2 * LANES + 9)
    whole = resample_ap(matches, weights)
    one_by_one = [resample_ap(matches, weights[b : b + 1])[0] for b in range(len(weights))]
    assert np.array_equal(whole, one_by_one, equal_nan=True)
    side_by_side = np.asfortranarray(weights, dtype=np.int32)
    assert np.array_equal(resample_ap(matches, side_by_side), whole, equal_nan=True)
