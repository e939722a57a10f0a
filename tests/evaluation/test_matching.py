"""Greedy matching: who takes which truth, and who is ignored."""

import numpy as np
import pytest

from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, match_in_ranges, match_tracks

AT_50, AT_75 = 0, 5
WHOLE, SMALL, MEDIUM, LARGE = range(4)


def match(ious, prediction_areas=None, truth_areas=None, crowd=None):
    """Matches of a table of IoUs; small areas and no crowds unless given."""
    ious = np.array(ious, dtype=float)
    num_predictions, num_truths = ious.shape
    return match_tracks(
        ious,
        np.full(num_predictions, 100.0) if prediction_areas is None else np.array(prediction_areas, dtype=float),
        np.full(num_truths, 100.0) if truth_areas is None else np.array(truth_areas, dtype=float),
        np.zeros(num_truths, dtype=bool) if crowd is None else np.array(crowd, dtype=bool),
    )


def test_thresholds_and_ranges_are_the_official_ones():
    assert [round(threshold, 2) for threshold in IOU_THRESHOLDS.tolist()] == [
        0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
    ]  # fmt: skip
    assert AREA_RANGES["small"] == (0, 16384)
    assert AREA_RANGES["medium"] == (16384, 65536)


def test_the_higher_score_takes_the_truth_though_the_other_overlaps_more():
    matched, _, _ = match([[0.6], [0.9]])
    assert matched[AT_50, WHOLE].tolist() == [0, UNMATCHED]
    assert matched[AT_75, WHOLE].tolist() == [UNMATCHED, 0]


def test_a_prediction_takes_its_best_free_truth():
    matched, _, _ = match([[0.6, 0.8], [0.7, 0.9]])
    assert matched[AT_50, WHOLE].tolist() == [1, 0]


def test_of_equal_overlaps_the_last_truth_is_taken():
    matched, _, _ = match([[0.8, 0.8, 0.7]])
    assert matched[AT_50, WHOLE].tolist() == [1]


def test_an_overlap_on_the_threshold_is_enough():
    matched, _, _ = match([[0.5]])
    assert matched[AT_50, WHOLE].tolist() == [0]
    assert matched[AT_50 + 1, WHOLE].tolist() == [UNMATCHED]


def test_a_crowd_takes_any_number_and_all_are_ignored():
    matched, ignored, counted = match([[0.9], [0.8], [0.1]], crowd=[1])
    assert matched[AT_50, WHOLE].tolist() == [0, 0, UNMATCHED]
    assert ignored[AT_50, WHOLE].tolist() == [True, True, False]
    assert not counted.any()


def test_a_counted_truth_comes_before_a_crowd_of_higher_overlap():
    matched, ignored, _ = match([[0.9, 0.6], [0.9, 0.6]], crowd=[1, 0])
    assert matched[AT_50, WHOLE].tolist() == [1, 0]
    assert ignored[AT_50, WHOLE].tolist() == [False, True]


def test_a_truth_out_of_range_is_taken_once_and_ignored():
    matched, ignored, counted = match([[0.9], [0.8]], truth_areas=[20_000])
    assert counted[:, 0].tolist() == [True, False, True, False]
    assert matched[AT_50, SMALL].tolist() == [0, UNMATCHED]
    # The second finds nothing left and is small itself: wrong among the small, ignored among the medium.
    assert ignored[AT_50, SMALL].tolist() == [True, False]
    assert ignored[AT_50, MEDIUM].tolist() == [False, True]


def test_a_track_on_a_bound_belongs_to_both_ranges():
    _, ignored, counted = match([[0.0, 0.0]], prediction_areas=[128**2], truth_areas=[128**2, 256**2])
    assert counted.tolist() == [[True, True], [True, False], [True, True], [False, True]]
    assert ignored[AT_50, :, 0].tolist() == [False, False, False, True]


def test_without_truths_only_the_area_decides():
    matched, ignored, counted = match(np.zeros((2, 0)), prediction_areas=[100, 70_000])
    assert (matched == UNMATCHED).all()
    assert ignored[AT_50].tolist() == [[False, False], [False, True], [True, True], [True, False]]
    assert counted.shape == (4, 0)


def test_without_predictions_the_truths_still_count():
    matched, ignored, counted = match(np.zeros((0, 2)), crowd=[0, 1])
    assert matched.shape == ignored.shape == (10, 4, 0)
    assert counted[WHOLE].tolist() == [True, False]


def match_plainly(ious, threshold, inside, counted, crowd):
    """As `match_in_ranges` at one threshold and in one range, a sorted list for each prediction."""
    free, matched, ignored = [True] * len(counted), [], []
    for d, row in enumerate(ious):
        candidates = [(counted[g], iou, g) for g, iou in enumerate(row) if free[g] and iou >= threshold]
        best = max(candidates)[2] if candidates else UNMATCHED
        matched.append(best)
        ignored.append(not inside[d] if best == UNMATCHED else not counted[best])
        if best != UNMATCHED:
            free[best] = crowd[best]
    return matched, ignored


@pytest.mark.parametrize("seed", range(30))
def test_matches_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    D, G = rng.integers(0, 6, size=2)
    # On thresholds, and few values, so that many tie.
    ious = rng.choice([0.0, 0.5, 0.6, 0.75, 1.0], size=(D, G))
    inside, crowd = rng.random((3, D)) < 0.5, rng.random(G) < 0.3
    counted = (rng.random((3, G)) < 0.6) & ~crowd
    matched, ignored = match_in_ranges(ious, inside, counted, crowd)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        for a in range(3):
            expected = match_plainly(ious.tolist(), threshold, inside[a], counted[a], crowd)
            assert (matched[t, a].tolist(), ignored[t, a].tolist()) == expected
