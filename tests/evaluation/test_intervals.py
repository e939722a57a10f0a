"""Intervals and p-values are counts of deviations, which come from videos and from networks."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vistrials.evaluation.intervals import (
    Estimate,
    Interval,
    compute_equivalence_p,
    compute_interval,
    compute_p,
    estimate_mean,
    rank_deviations,
)

Floats = NDArray[np.float64]


def deviating(value: float, sizes: Floats, num_videos: int = 50) -> Estimate:
    """An estimate whose deviations are given, every other one downwards."""
    return Estimate(value, sizes * np.where(np.arange(len(sizes)) % 2, 1, -1), 3, num_videos, 1.0, 0.0, 1.0)


def estimate(values: list[float], draws: Floats, num_videos: int = 10**9, **options: object) -> Estimate:
    """With videos without number, so that their variance is known."""
    made = estimate_mean(np.array(values), draws, num_videos, **options)  # type: ignore[arg-type]
    assert made is not None
    return made


def sd(estimated: Estimate) -> float:
    return float(np.nanstd(estimated.deviations))


# --- Intervals and p


def test_the_interval_reaches_as_far_as_95_percent_of_the_draws() -> None:
    # Of 199 sizes the 0.95 * 200 = 190th, in any order; of level 0.9 the 180th.
    sizes = np.random.default_rng(0).permutation(np.arange(1.0, 200))
    assert compute_interval(deviating(500, sizes)) == Interval(500 - 190, 500 + 190)
    assert compute_interval(deviating(500, sizes), 0.9) == Interval(500 - 180, 500 + 180)
    assert compute_interval(deviating(0, sizes), 1.0) == Interval(-199, 199)


def test_p_counts_the_draws_that_deviate_as_much_and_the_data() -> None:
    sizes = np.concatenate([np.zeros(180), np.full(15, 3.0), np.full(4, 5.0)])
    assert compute_p(deviating(3.0, sizes)) == (15 + 4 + 1) / 200
    assert compute_p(deviating(-3.1, sizes)) == (4 + 1) / 200
    assert compute_p(deviating(0.0, sizes)) == 1


def test_equality_is_two_one_sided_tests() -> None:
    # Sizes 0.01 .. 1.99. From 0.25 to the margin 1 it is 0.75: 125 sizes are as large, half of them upwards.
    sizes = np.arange(1, 200) / 100
    assert compute_equivalence_p(deviating(0.25, sizes), 1.0) == pytest.approx((125 + 1) / 200 / 2)
    assert compute_equivalence_p(deviating(-0.25, sizes), 1.0) == pytest.approx((125 + 1) / 200 / 2)
    assert compute_equivalence_p(deviating(1.0, sizes), 1.0) == 1
    assert compute_equivalence_p(deviating(-7.0, sizes), 1.0) == 1


@pytest.mark.parametrize(("value", "equal"), [(1.19, True), (-1.19, True), (1.2, True), (1.21, False), (-1.21, False)])
def test_equal_at_5_percent_where_the_interval_of_90_percent_is_within_the_margins(value: float, equal: bool) -> None:
    # Of sizes 0.01 .. 1.99 the 180th is 1.80: values up to 1.20 have it within 3.
    made = deviating(value, np.arange(1, 200) / 100)
    interval = compute_interval(made, 0.9)
    assert (interval.low >= -3 - 1e-9 and interval.high <= 3 + 1e-9) is equal
    assert (compute_equivalence_p(made, 3.0) <= 0.05 + 1 / 400) is equal


@pytest.mark.parametrize("seed", range(30))
def test_p_is_below_5_percent_where_0_is_outside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = deviating(float(rng.normal(2, 0.5)), np.abs(rng.normal(0, 1, int(rng.integers(100, 400)))))
    interval = compute_interval(made)
    assert (compute_p(made) <= 0.05) is (not interval.low <= 0 <= interval.high)


def test_a_deviation_ranks_among_its_own() -> None:
    made = deviating(9.0, np.array([3.0, 1.0, math.nan, 2.0, 2.0]))
    assert rank_deviations(made).tolist() == pytest.approx([1 / 4, 1, math.nan, 3 / 4, 3 / 4], nan_ok=True)


def test_draws_without_anything_to_score_are_left_out() -> None:
    sizes = np.random.default_rng(0).permutation(np.arange(1.0, 200))
    with_gaps = np.concatenate([sizes, np.full(30, math.nan)])
    assert compute_interval(deviating(150, with_gaps)) == compute_interval(deviating(150, sizes))
    assert compute_p(deviating(150, with_gaps)) == compute_p(deviating(150, sizes)) == (50 + 1) / 200


# --- Videos


def test_one_network_deviates_as_its_draws_do() -> None:
    draws = np.random.default_rng(0).normal(5, 2, (1, 1000))
    made = estimate([5.0], draws)
    assert made.deviations == pytest.approx(draws[0] - 5, rel=1e-3)
    assert (made.num_networks, made.seed_variance) == (1, 0)
    # Several pairs with one network on a side: the mean, and no networks to learn from.
    three = estimate([4.0, 5.0, 6.0], np.concatenate([draws - 1, draws, draws + 1]), one_network=True)
    assert three.deviations == pytest.approx(made.deviations) and three.num_networks == 1


@pytest.mark.parametrize(("degrees", "t"), [(9, 2.26216), (19, 2.09302), (59, 2.00100)])
def test_few_videos_widen_to_the_quantile_of_t_as_printed_in_tables(degrees: int, t: float) -> None:
    num = degrees + 1
    draws = np.random.default_rng(0).normal(0, 1, (1, 400_000)) * math.sqrt((num - 1) / num)
    made = estimate([0.0], draws, num)
    # 400,000 draws place the quantile within about 1 %.
    assert compute_interval(made).high == pytest.approx(t, rel=0.01)


@pytest.mark.parametrize(("num_videos", "num_draws"), [(9, 1000), (60, 99)])
def test_too_little_for_an_interval(num_videos: int, num_draws: int) -> None:
    draws = np.random.default_rng(0).normal(0, 1, (2, num_draws))
    assert estimate_mean(np.zeros(2), draws, num_videos) is None
    assert estimate_mean(np.zeros(2), np.full((2, 1000), math.nan), 60) is None


# --- Networks


def test_variances_are_those_of_videos_luck_and_networks() -> None:
    # Both networks' draws move by ±2 together, and by ±1 against each other: luck 1 + 1 over one degree of freedom.
    together, against = np.tile([2.0, 2.0, -2.0, -2.0], 50), np.tile([1.0, -1.0], 100)
    made = estimate([10.0, 16.0], np.stack([together + against, together - against]))
    assert made.luck_variance == pytest.approx(2)
    assert made.video_variance == pytest.approx(4 - 2 / 2)
    assert made.seed_variance == pytest.approx(3**2 + 3**2)
    assert (made.value, made.num_networks) == (13, 2)


def test_networks_move_the_draws_by_t_of_their_standard_error() -> None:
    # Values 1, 3, 5: variance 4, of the mean 4 / 3. Nothing moves with the videos.
    made = estimate([1.0, 3.0, 5.0], np.full((3, 40_000), 3.0) + np.array([[-2.0], [0.0], [2.0]]))
    moves = np.abs(made.deviations) / math.sqrt(4 / 3)
    # Of t with 2 degrees of freedom a half is within 0.8165, and 95 % within 4.3027; 40,000 draws miss that by 4 sd.
    assert abs((moves < 0.8165).mean() - 0.5) < 0.01
    assert abs((moves < 4.3027).mean() - 0.95) < 0.0044


def test_luck_is_counted_once() -> None:
    # Twenty networks differ by luck of sd 3 alone, which the draws show too: the mean is off by 3 / sqrt(20), not more.
    rng = np.random.default_rng(1)
    values = np.tile([3.0, -3.0], 10)
    draws = values[:, None] + rng.normal(0, 3, (20, 20_000))
    assert sd(estimate(values.tolist(), draws)) == pytest.approx(3 / math.sqrt(20), rel=0.15)


def test_both_variances_add_up() -> None:
    # Twenty networks ±6: variance 36 * 20 / 19. Their draws share sd 2; luck of sd 3 is part of what they differ by.
    rng = np.random.default_rng(1)
    values = np.tile([6.0, -6.0], 10)
    draws = values[:, None] + rng.normal(0, 2, 50_000) + rng.normal(0, 3, (20, 50_000))
    # t with 19 degrees of freedom has 19 / 17 of the variance.
    assert sd(estimate(values.tolist(), draws)) == pytest.approx(math.sqrt(4 + 36 / 19 * 19 / 17), rel=0.012)


def test_networks_that_agree_by_chance_are_as_uncertain_as_videos_leave_them() -> None:
    # Three equal values, though each has luck of sd 1 of its own beside the 2 that they share.
    rng = np.random.default_rng(2)
    common, luck = rng.normal(0, 2, 20_000), rng.normal(0, 1, (3, 20_000))
    made, of_videos = (estimate([0.0] * 3, common + luck, one_network=one) for one in (False, True))
    assert (made.seed_variance, made.num_networks) == (0, 3)
    assert np.sort(np.abs(made.deviations)) == pytest.approx(np.sort(np.abs(of_videos.deviations)))
    assert sd(made) == pytest.approx(math.sqrt(2**2 + 1 / 3), rel=0.02)
    assert np.corrcoef(made.deviations, common)[0, 1] > 0.95


def test_other_seeds_give_other_deviates_and_the_same_the_same() -> None:
    draws = np.random.default_rng(0).normal(0, 1, (3, 200))
    one, again, other = (estimate([1.0, 2.0, 4.0], draws, seed=seed).deviations for seed in (4, 4, 5))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
