"""The video bootstrap: a weight is a repetition, and the intervals are arithmetic on the draws."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.drawn_matches import A, T, one_object_each, random_matches
from vistrials.evaluation import bootstrap
from vistrials.evaluation.average_precision import NOT_COUNTED, accumulate, compute_figures
from vistrials.evaluation.bootstrap import (
    SeedSpread,
    add_seed_level,
    adjust_holm,
    compute_interval,
    compute_p,
    draw_videos,
    measure_seed_spread,
    resample_ap,
)
from vistrials.evaluation.matching import UNMATCHED, Matches
from vistrials.evaluation.stored_matches import StoredMatches


def repeat(matches: StoredMatches, weights: NDArray[np.int64]) -> list[Matches]:
    """The records of a draw, written out."""
    by_video = {video_id: [r for r in matches.records if r.video_id == video_id] for video_id in matches.video_ids}
    drawn = zip(matches.video_ids, weights.tolist(), strict=True)
    return [record for video_id, weight in drawn for _ in range(weight) for record in by_video[video_id]]


# --- Draws


def test_a_draw_has_as_many_videos_as_there_are() -> None:
    weights = draw_videos(7, 200)
    assert weights.shape == (200, 7)
    assert (weights.sum(axis=1) == 7).all() and (weights >= 0).all()
    assert np.array_equal(weights, draw_videos(7, 200))
    assert not np.array_equal(weights, draw_videos(7, 200, seed=1))
    # Each of 7 places is each video with 1/7: a share of (6/7)^7 of the weights is 0; 1400 of them are within 4 sd.
    share = (6 / 7) ** 7
    assert abs((weights == 0).mean() - share) < 4 * math.sqrt(share * (1 - share) / 1400)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_a_weight_is_a_repetition(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    matches = random_matches(rng, num_videos=int(rng.integers(1, 9)), num_categories=3, ties=ties)
    weights = draw_videos(len(matches.video_ids), 10, seed)
    for weight, ap in zip(weights, resample_ap(matches, weights), strict=True):
        expected = compute_figures(*accumulate(repeat(matches, weight), matches.category_ids))["AP"]
        assert expected == NOT_COUNTED and np.isnan(ap) or ap == pytest.approx(expected, abs=1e-12)


def test_every_video_once_is_the_figure_itself() -> None:
    matches = random_matches(np.random.default_rng(1), 12, 4, ties=True)
    figures = compute_figures(*accumulate(matches.records, matches.category_ids))
    assert resample_ap(matches, np.ones((1, 12), dtype=np.int64))[0] == pytest.approx(figures["AP"], abs=1e-12)


def test_by_hand() -> None:
    # By score right, wrong, right, an object each. Drawn 1, 2, 1 times: precision 1/1, (1/2, 1/3), 2/4, and 4 objects:
    # recall 1/4 at precision 1, 2/4 at 1/2. The 26 points 0.00 .. 0.25 read 1, the 25 up to 0.50 read 1/2.
    matches = one_object_each([(0.9, True), (0.8, False), (0.7, True)])
    ap = resample_ap(matches, np.array([[1, 2, 1], [0, 3, 0], [3, 0, 0]]))
    assert ap.tolist() == pytest.approx([(26 + 25 / 2) / 101, 0, 1], abs=1e-12)


def test_copies_of_a_prediction_stay_together_where_scores_of_a_video_tie() -> None:
    # One video with a right and a wrong prediction of the same score, two objects, drawn twice: right, right, wrong,
    # wrong, 2 of 4 objects found at precision 1.
    matched = np.full((T, A, 2), UNMATCHED)
    matched[..., 0] = 0
    nothing = np.zeros((T, A, 2), dtype=bool)
    counted = np.ones((A, 2), dtype=bool)
    record = Matches(1, 1, np.arange(2), np.array([0.5, 0.5]), np.arange(2), np.eye(2), matched, nothing, counted)
    assert resample_ap(StoredMatches((1,), (1,), (record,)), np.array([[2]]))[0] == pytest.approx(51 / 101, abs=1e-12)


def test_a_category_that_a_draw_lacks_leaves_the_mean() -> None:
    first = one_object_each([(0.9, True)])
    other = one_object_each([(0.9, False)], first_video=2).records[0]
    other = Matches(2, 5, *(getattr(other, name) for name in list(vars(other))[2:]))
    matches = StoredMatches((1, 2, 3), (1, 5), (*first.records, other))
    # Video 3 has no track at all.
    draws = np.array([[1, 1, 1], [3, 0, 0], [1, 0, 2], [0, 0, 3]])
    assert resample_ap(matches, draws).tolist() == pytest.approx([1 / 2, 1, 1, math.nan], nan_ok=True, abs=1e-12)


def test_the_size_of_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = random_matches(np.random.default_rng(2), 10, 2, ties=True)
    weights = draw_videos(10, 50)
    whole = resample_ap(matches, weights)
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 100)
    assert np.array_equal(resample_ap(matches, weights), whole)


def test_the_order_of_videos_matters_not() -> None:
    matches = random_matches(np.random.default_rng(3), 8, 2, ties=False)
    weights = draw_videos(8, 20)
    renamed = {video_id: 100 - video_id for video_id in matches.video_ids}
    records = [Matches(renamed[r.video_id], *(getattr(r, name) for name in list(vars(r))[1:])) for r in matches.records]
    turned = StoredMatches(tuple(renamed.values())[::-1], matches.category_ids, tuple(records[::-1]))
    assert resample_ap(turned, weights[:, ::-1]) == pytest.approx(resample_ap(matches, weights), abs=1e-12, nan_ok=True)


# --- Intervals


def widening(num_videos: int, t: float) -> float:
    return t / 1.95996398 * math.sqrt(num_videos / (num_videos - 1))


@pytest.mark.parametrize(("degrees", "t"), [(9, 2.26216), (19, 2.09302), (59, 2.00100), (299, 1.96793)])
def test_intervals_widen_by_the_quantiles_of_t_as_printed_in_tables(degrees: int, t: float) -> None:
    interval = compute_interval(0.0, np.ones(200), degrees + 1)
    assert interval is not None and interval.high == pytest.approx(widening(degrees + 1, t), abs=1e-5)


def test_the_interval_reaches_as_far_as_95_percent_of_the_draws() -> None:
    # Deviations 1 .. 199 up and down: the 0.95 · 200 = 190th is 190.
    draws = 500 + np.arange(1.0, 200) * np.where(np.arange(199) % 2, 1, -1)
    reach = 190 * widening(20, 2.09302)
    interval = compute_interval(500.0, np.random.default_rng(0).permutation(draws), 20)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((500 - reach, 500 + reach), rel=1e-4)


def test_p_counts_the_draws_that_deviate_as_much() -> None:
    w = widening(20, 2.09302)
    draws = 3 + np.concatenate([np.zeros(180), np.full(15, 3.01 / w), np.full(4, -5 / w)])
    assert compute_p(3.0, draws, 20) == pytest.approx((15 + 4 + 1) / 200)
    assert compute_p(-3.0, draws - 6, 20) == compute_p(3.0, draws, 20)
    assert compute_p(0.0, np.zeros(199), 20) == 1


@pytest.mark.parametrize("seed", range(30))
def test_p_is_below_5_percent_where_0_is_outside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimate = float(rng.normal(2, 0.5))
    draws = estimate + rng.normal(0, 1, int(rng.integers(100, 400)))
    interval, p = compute_interval(estimate, draws, 50), compute_p(estimate, draws, 50)
    assert interval is not None and p is not None
    assert (p <= 0.05) is (not interval.low <= 0 <= interval.high)


def test_draws_without_anything_to_score_are_left_out() -> None:
    draws = np.random.default_rng(0).normal(0, 1, 150)
    with_gaps = np.concatenate([draws, np.full(30, math.nan)])
    assert compute_interval(0.0, with_gaps, 30) == compute_interval(0.0, draws, 30)


@pytest.mark.parametrize(("num_videos", "num_draws"), [(9, 1000), (60, 99)])
def test_too_little_for_an_interval(num_videos: int, num_draws: int) -> None:
    draws = np.random.default_rng(0).normal(0, 1, num_draws)
    assert compute_interval(0.0, draws, num_videos) is None
    assert compute_p(0.0, draws, num_videos) is None


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # The second would be .04, less than the first; the last step never falls.
        ((0.02, 0.015, None, 0.5), (0.045, 0.045, None, 0.5)),
        ((0.4, 0.6), (0.8, 0.8)),
        ((0.9, 0.8), (1.0, 1.0)),
        ((None,), (None,)),
        ((), ()),
    ],
)
def test_holms_adjustment(p_values: tuple[float | None, ...], adjusted: tuple[float | None, ...]) -> None:
    assert adjust_holm(p_values) == [value if value is None else pytest.approx(value) for value in adjusted]


# --- Seeds


def without_luck(*aps: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A trial whose seeds differ by the same on all videos."""
    draws = np.random.default_rng(0).normal(size=50)
    return np.array(aps), np.array(aps)[:, None] + draws


def test_the_spread_between_seeds_is_pooled_over_trials() -> None:
    # (1² + 0² + 1²) and (2² + 2²) over 2 + 1 degrees of freedom.
    spread = measure_seed_spread([without_luck(1, 2, 3), without_luck(7), without_luck(3, 7)])
    assert spread is not None
    assert (spread.variance, spread.degrees) == (pytest.approx(10 / 3), 3)


def test_one_seed_each_has_no_spread() -> None:
    assert measure_seed_spread([without_luck(1), without_luck(2)]) is None
    assert measure_seed_spread([]) is None


def test_luck_on_these_videos_is_no_spread_between_seeds() -> None:
    # Two seeds, 1 and 3: squares 1 + 1. Their draws vary by ±0.6 around the mean of both: squares 2 · 0.36.
    luck = np.tile([0.6, -0.6], 20)
    aps, draws = np.array([1.0, 3.0]), np.array([[1.0], [3.0]]) + np.array([luck, -luck])
    spread = measure_seed_spread([(aps, draws)])
    assert spread is not None and spread.variance == pytest.approx(2 - 2 * 0.36)
    spread = measure_seed_spread([(aps, draws + 2 * np.array([luck, -luck]))])
    assert spread is not None and spread.variance == 0  # 1.8 squared is more than 1


def test_without_spread_the_draws_stay() -> None:
    draws = np.random.default_rng(0).normal(size=50)
    assert np.array_equal(add_seed_level(draws, None, 1.0), draws)
    assert np.array_equal(add_seed_level(draws, SeedSpread(0.0, 2), 1.0), draws)


def test_other_seeds_move_the_draws_by_the_standard_error() -> None:
    # Variance 12, the difference of two means of 6 runs: 12 · 2/6 = 4, deviation 2.
    moves = np.abs(add_seed_level(np.full(4000, 5.0), SeedSpread(12.0, 2), 2 / 6) - 5) / 2
    # Of t with 2 degrees of freedom a half is within 0.8165, and 95 % within 4.3027; 4000 draws miss that by 3 sd.
    assert abs((moves < 0.8165).mean() - 0.5) < 0.024
    assert abs((moves < 4.3027).mean() - 0.95) < 0.0104
