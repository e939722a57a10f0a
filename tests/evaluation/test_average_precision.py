"""From matches to figures: arithmetic on a handful of right and wrong predictions."""

import numpy as np
import pytest

from vistrials.evaluation.average_precision import (
    FIGURES,
    accumulate,
    compute_category_ap,
    compute_figures,
    compute_threshold_ap,
)
from vistrials.evaluation.matching import UNMATCHED, Matches


def record(outcomes, num_truths, video=1, category=1):
    """Matches, the same at every threshold and range, of [(score, "right" | "wrong" | "ignored" | "on a crowd")]."""
    scores = np.array([score for score, _ in outcomes])
    is_matched = np.array([outcome in ("right", "on a crowd") for _, outcome in outcomes], dtype=bool)
    is_ignored = np.array([outcome in ("ignored", "on a crowd") for _, outcome in outcomes], dtype=bool)
    shape = (10, 4, len(outcomes))
    return Matches(
        video_id=video,
        category_id=category,
        prediction_indices=np.arange(len(outcomes)),
        scores=scores,
        truth_indices=np.arange(num_truths),
        ious=np.zeros((len(outcomes), num_truths)),
        matched_truths=np.broadcast_to(np.where(is_matched, 0, UNMATCHED), shape),
        ignored=np.broadcast_to(is_ignored, shape),
        counted=np.ones((4, num_truths), dtype=bool),
    )


def figures(*records, categories=(1,)):
    return compute_figures(*accumulate(records, categories))


def test_right_wrong_right_by_hand():
    # Precision 1/1, 1/2, 2/3; read from the right never falling: 1, 2/3, 2/3. Recall 1/2, 1/2, 2/2:
    # the 51 points 0.00 .. 0.50 read 1, the other 50 read 2/3.
    result = figures(record([(0.9, "right"), (0.8, "wrong"), (0.7, "right")], num_truths=2))
    assert result["AP"] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101, abs=1e-12)
    assert (result["AR1"], result["AR10"]) == (1 / 2, 2 / 2)


def test_missed_truths_leave_the_end_of_the_curve_at_zero():
    # One of four found: recall 0.25, so the 26 points 0.00 .. 0.25 read 1.
    assert figures(record([(0.9, "right")], num_truths=4))["AP"] == pytest.approx(26 / 101, abs=1e-12)


def test_ignored_predictions_change_nothing():
    some = record([(0.9, "right"), (0.8, "wrong"), (0.7, "right")], num_truths=2)
    more = record([(0.95, "ignored"), (0.9, "right"), (0.8, "wrong"), (0.75, "ignored"), (0.7, "right")], num_truths=2)
    assert figures(more)["AP"] == pytest.approx(figures(some)["AP"], abs=1e-12)
    # But they use up places among the first predictions of a video.
    assert figures(more)["AR1"] == 0


def test_a_prediction_that_takes_a_crowd_is_neither_right_nor_wrong():
    outcomes = [(0.95, "on a crowd"), (0.9, "right"), (0.8, "on a crowd"), (0.7, "right")]
    assert figures(record(outcomes, num_truths=4))["AP"] == pytest.approx(51 / 101, abs=1e-12)  # 2 of 4, none wrong


def test_each_figure_reads_its_threshold_area_and_number_of_tracks():
    # Thresholds 0 .. 9 stand for .5 .. .95 (5 for .75), areas for all, small, medium, large, numbers for 1, 10, 100.
    t, area, most = np.ix_(range(10), range(4), range(3))
    recall = (100 * t + 10 * area + most)[:, None, :, :].astype(float)
    precision = np.broadcast_to(recall[:, None] + 1000, (10, 101, 1, 4, 3))
    mean = 100 * 4.5
    assert compute_figures(precision, recall) == {
        "AP": 1000 + mean + 2,
        "AP50": 1000 + 2,
        "AP75": 1000 + 500 + 2,
        "AP_s": 1000 + mean + 10 + 2,
        "AP_m": 1000 + mean + 20 + 2,
        "AP_l": 1000 + mean + 30 + 2,
        "AR1": mean,
        "AR10": mean + 1,
        "AR100": mean + 2,
        "AR_s": mean + 10 + 2,
        "AR_m": mean + 20 + 2,
        "AR_l": mean + 30 + 2,
    }
    assert compute_category_ap(precision).tolist() == [1000 + mean + 2]
    assert compute_threshold_ap(precision).tolist() == [[1000 + 100 * threshold + 2] for threshold in range(10)]


def test_tracks_are_limited_per_video_not_overall():
    one = record([(0.9, "wrong"), (0.8, "right")], num_truths=1, video=1)
    two = record([(0.3, "right")], num_truths=1, video=2)
    assert figures(one, two)["AR1"] == 1 / 2


def test_tied_scores_keep_the_order_of_the_records():
    right, wrong = record([(0.5, "right")], 1, video=1), record([(0.5, "wrong")], 0, video=2)
    assert figures(right, wrong)["AP"] == pytest.approx(1, abs=1e-12)
    assert figures(wrong, right)["AP"] == pytest.approx(1 / 2, abs=1e-12)


def test_a_category_without_counted_truth_is_left_out():
    records = [record([(0.9, "right")], 1, category=1), record([(0.9, "wrong")], 0, category=2)]
    precision, recall = accumulate(records, (1, 2, 3))
    assert (precision[:, :, 1:] == -1).all()
    assert (recall[:, 1:] == -1).all()
    assert compute_category_ap(precision).tolist() == pytest.approx([1, -1, -1], abs=1e-12)
    assert compute_figures(precision, recall)["AP"] == pytest.approx(1, abs=1e-12)


def test_without_any_truth_every_figure_is_minus_one():
    assert figures(record([(0.9, "wrong")], 0)) == dict.fromkeys(FIGURES, -1.0)
    assert figures() == dict.fromkeys(FIGURES, -1.0)


def test_truths_without_predictions_are_zero():
    assert figures(record([], 3)) == dict.fromkeys(FIGURES, 0.0)


def test_a_video_drawn_twice_counts_twice():
    # Drawn videos 1, 1, 2: right, right, wrong by score; three truths.
    found, missed = record([(0.9, "right")], 1, video=1), record([(0.8, "wrong")], 1, video=2)
    # Recall 1/3, 2/3: the 67 points 0.00 .. 0.66 read 1.
    assert figures(found, found, missed)["AP"] == pytest.approx(67 / 101, abs=1e-12)


def test_records_of_other_categories_are_passed_over():
    one, other = record([(0.9, "right")], 1, category=1), record([(0.9, "wrong")], 1, category=7)
    assert figures(one, other)["AP"] == pytest.approx(1, abs=1e-12)
