"""Verdicts, and their correction for a family, against formulas written out."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from vistrials.evaluation.intervals import Estimate, compute_interval, compute_p, estimate_mean
from vistrials.evaluation.verdicts import (
    MAX_SEEDS,
    Needed,
    Verdict,
    adjust_step_down,
    decide,
    find_level_of_each,
    find_needed,
    judge,
)

Floats = NDArray[np.float64]


def deviating(value: float, deviations: Floats, **variances: float) -> Estimate:
    settings = {"video_variance": 1.0, "luck_variance": 0.0, "seed_variance": 1.0} | variances
    return Estimate(value, deviations, 3, 60, **settings)


def by_brute_force(p_values: list[float], ranks: Floats) -> list[float]:
    """For each row the step-down p as its definition says, without sorting or running minima."""
    adjusted = []
    for j, own in enumerate(p_values):
        steps = []
        for k, step in enumerate(p_values):
            if (step, k) <= (own, j):  # the steps up to the row's own
                left = [m for m, other in enumerate(p_values) if (other, m) >= (step, k)]
                hits = sum(any(ranks[m, b] <= step for m in left) for b in range(ranks.shape[1]))
                steps.append((hits + 1) / (ranks.shape[1] + 1))
        adjusted.append(max(steps))
    return adjusted


# --- Step-down


def test_one_row_keeps_its_p() -> None:
    deviations = np.random.default_rng(0).normal(size=199)
    made = deviating(1.3, deviations)
    (judged,) = judge({"a": made}, 1.0).values()
    assert judged.adjusted_p == judged.p == compute_p(made)
    assert judged.family_interval == compute_interval(made)


def test_by_hand() -> None:
    # Three rows, four draws. Smallest of all rows: .1 .2 .2 .5; without row 1: .3 .2 .6 .5; row 2 alone: .4 .9 .6 .5.
    ranks = np.array([[0.3, 0.2, 0.8, 0.7], [0.1, 0.9, 0.2, 0.6], [0.4, 0.9, 0.6, 0.5]])
    # Row 1 first: .1 is reached by one draw of four. Then row 0: .3 by two. Then row 2: .4 by one, but not below row 0.
    assert adjust_step_down([0.3, 0.1, 0.4], ranks) == [3 / 5, 2 / 5, 3 / 5]


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_brute_force_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks = np.round(rng.random((4, 60)), 2)
    p_values = np.round(rng.random(4) ** 3, 2).tolist()
    assert adjust_step_down(p_values, ranks) == pytest.approx(by_brute_force(p_values, ranks))


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_p_rise_with_p_and_lie_between_p_and_their_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_draws = 2000
    ranks = np.stack([(rng.permutation(num_draws) + 1) / num_draws for _ in range(6)])
    p_values = (rng.random(6) / 5).tolist()
    adjusted = adjust_step_down(p_values, ranks)
    ordered = [adjusted[place] for place in np.argsort(p_values)]
    assert all(first <= second for first, second in pairwise(ordered))
    for p, own in zip(p_values, adjusted, strict=True):
        assert p - 0.001 <= own <= 6 * p + 0.001
    # Independent rows: the first is 1 - (1 - p)^6.
    assert ordered[0] == pytest.approx(1 - (1 - min(p_values)) ** 6, abs=0.04)


def test_rows_that_are_the_same_cost_nothing() -> None:
    deviations = np.random.default_rng(0).normal(size=500)
    alone = judge({"a": deviating(2.0, deviations)}, 1.0)["a"]
    family = judge({name: deviating(2.0, deviations) for name in "abcde"}, 1.0)
    assert all(judged.adjusted_p == alone.adjusted_p for judged in family.values())


def test_units_and_order_of_rows_change_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = {name: deviating(value, rng.normal(size=300)) for name, value in zip("abc", (2.2, -2.6, 0.4), strict=True)}
    judged = judge(rows, 1.0)
    turned = judge(dict(reversed(rows.items())), 1.0)
    assert turned == judged
    longer = judge({name: deviating(9 * row.value, 9 * row.deviations) for name, row in rows.items()}, 9.0)
    assert [row.adjusted_p for row in longer.values()] == [row.adjusted_p for row in judged.values()]


def test_draws_that_a_row_lacks_are_left_out_for_all() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 300))
    with_gap = np.where(np.arange(300) < 20, math.nan, first)
    judged = judge({"a": deviating(2.0, with_gap), "b": deviating(0.1, second)}, 1.0)
    assert judged["a"].adjusted_p >= judged["a"].p and judged["b"].adjusted_p >= judged["b"].p


def test_the_level_of_each_gives_the_family_its_error() -> None:
    rng = np.random.default_rng(0)
    ranks = np.stack([(rng.permutation(9999) + 1) / 9999 for _ in range(8)])
    level = find_level_of_each(ranks, 0.05)
    assert (ranks.min(axis=0) <= level).mean() == pytest.approx(0.05, abs=1e-3)
    assert level == pytest.approx(1 - 0.95 ** (1 / 8), rel=0.1)


def test_no_rows_have_no_verdicts() -> None:
    assert judge({}, 1.0) == {}


# --- Verdicts


@pytest.mark.parametrize(
    ("value", "p", "equal_p", "verdict"),
    [
        (0.3, 0.05, 0.9, Verdict.BETTER),
        (-0.3, 0.05, 0.9, Verdict.WORSE),
        (0.3, 0.051, 0.05, Verdict.EQUAL),
        (0.3, 0.051, 0.051, Verdict.UNDECIDED),
        (0.3, 0.01, 0.01, Verdict.BETTER),  # surely not 0, and surely small
    ],
)
def test_a_verdict_is_two_comparisons(value: float, p: float, equal_p: float, verdict: Verdict) -> None:
    assert decide(value, p, equal_p) is verdict


def test_verdicts_of_a_family() -> None:
    deviations = np.random.default_rng(0).normal(size=(4, 4000))
    values = {"better": 5.0, "worse": -5.0, "equal": 0.1, "undecided": 2.2}
    scale = {"better": 1.0, "worse": 1.0, "equal": 0.25, "undecided": 1.0}
    rows = zip(values.items(), deviations, strict=True)
    judged = judge({name: deviating(value, scale[name] * own) for (name, value), own in rows}, 1.0)
    assert {name: str(row.verdict) for name, row in judged.items()} == {name: name for name in values}
    assert {name for name, row in judged.items() if row.needed} == {"undecided"}
    # 2.2 alone would be different: two-sided p of a normal number is 0.028, of four 0.107.
    assert judged["undecided"].p == pytest.approx(0.028, abs=0.006)


def test_equality_is_corrected_too() -> None:
    # 0.1 is 1.9 sd from the margin of 2: one-sided p 0.029, of four rows 0.11.
    deviations = np.random.default_rng(0).normal(size=(4, 4000))
    family = {name: deviating(0.1, own) for name, own in zip("abcd", deviations, strict=True)}
    assert judge({"a": family["a"]}, 2.0)["a"].verdict is Verdict.EQUAL
    judged = judge(family, 2.0)["a"]
    assert judged.verdict is Verdict.UNDECIDED and judged.adjusted_equal_p == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize(
    ("values", "turned", "times"),
    [
        ((0.1, 0.1), 1, 1),  # the same margin and the same draws: one chance to err
        ((0.1, -0.1), -1, 1),  # mirrored
        ((0.1, -0.1), 1, 2),  # opposite margins: where one errs the other does not
        ((0.1, 0.1), -1, 2),
    ],
)
def test_false_equalities_of_rows_at_opposite_margins_are_different_events(
    values: tuple[float, float], turned: int, times: int
) -> None:
    deviations = np.random.default_rng(0).normal(size=4000)
    both = np.concatenate([deviations, -deviations])
    judged = judge({"a": deviating(values[0], both), "b": deviating(values[1], turned * both)}, 2.0)["a"]
    assert judged.adjusted_equal_p == pytest.approx(times * judged.equal_p, abs=3e-4)


def test_a_row_that_is_looked_at_more_than_once_may_err_less() -> None:
    made = deviating(2.2, np.random.default_rng(0).normal(size=4000))
    assert judge({"a": made}, 1.0)["a"].verdict is Verdict.BETTER
    strict = judge({"a": made}, 1.0, {2: 0.005, 3: 0.01})["a"]
    assert strict.verdict is Verdict.UNDECIDED and strict.adjusted_p == strict.p
    assert strict.family_interval.low < compute_interval(made).low
    assert judge({"a": made}, 1.0, {2: 0.05})["a"].verdict is Verdict.BETTER  # more networks than the last look has


def test_nothing_differs_at_all() -> None:
    made = estimate_mean(np.zeros(3), np.zeros((3, 200)), 20)
    assert made is not None
    (judged,) = judge({"a": made}, 1.0).values()
    assert (judged.verdict, judged.p) == (Verdict.EQUAL, 1)


# --- What would decide


def test_seeds_that_decide_a_difference() -> None:
    # No variance by videos. 3.0 is found at 5 % (two-sided) once t * 2 / sqrt(S) is below: with 4 seeds 3.18, with 5
    # 2.78 * 2 / sqrt(5) = 2.48.
    made = deviating(3.0, np.zeros(1), video_variance=0.0, seed_variance=4.0)
    assert find_needed(made, 1.0) == Needed(5, None)


def test_seeds_that_decide_an_equality() -> None:
    # 0.2 is equal within 1 once t * 0.9 / sqrt(S) is below 0.8, one-sided: with 5 seeds 2.13 * 0.9 / 2.24 = 0.86, with
    # 6 seeds 2.02 * 0.9 / 2.45 = 0.74.
    made = deviating(0.2, np.zeros(1), video_variance=0.0, seed_variance=0.81)
    assert find_needed(made, 1.0) == Needed(6, None)


def test_videos_that_decide_where_seeds_do_not() -> None:
    # Seeds do not matter. 2.0 of 60 videos with sd 2: z * 2 * sqrt(60 / V) is below 2 from V = 60 * 1.96^2 = 230.5 on.
    made = deviating(2.0, np.zeros(1), video_variance=4.0, seed_variance=0.0)
    assert find_needed(made, 1.0) == Needed(10, 231)
    # Half of the variance is luck, of which 10 seeds leave a tenth: t^2 * 2 / 10 + z^2 * 2 with t = 2.262.
    made = deviating(2.0, np.zeros(1), video_variance=2.0, luck_variance=2.0, seed_variance=2.0)
    expected = 60 * (2.262157**2 * 2 / 10 + 1.959964**2 * 2) / 4
    assert find_needed(made, 1.0) == Needed(10, math.ceil(expected))


def test_seeds_that_agree_by_chance_decide_no_sooner_than_videos_do() -> None:
    # Luck of variance 8 that these seeds do not show: 1.0 takes V * S = 60 * 1.96^2 * 8 = 1,844, with 20 seeds 92.2.
    made = deviating(1.0, np.zeros(1), video_variance=0.0, luck_variance=8.0, seed_variance=0.0)
    assert find_needed(made, 0.5) == Needed(10, 185)
    assert find_needed(deviating(1.0, np.zeros(1), video_variance=0.0, luck_variance=2.0, seed_variance=0.0), 0.5) == (
        Needed(8, None)
    )


def test_no_number_of_seeds_that_is_proposed_decides() -> None:
    made = deviating(0.5, np.zeros(1), video_variance=0.0, seed_variance=100.0)
    assert find_needed(made, 1.0) == Needed(None, None, 20)
    assert MAX_SEEDS == 20
    assert find_needed(replace(made, num_networks=25), 1.0) == Needed(None, None, 25)


def test_a_plan_says_how_many_seeds_there_can_be_and_how_small_p_must_be_then() -> None:
    # As above with 5 seeds at 5 %; at 1 % t * 2 / sqrt(S) is below 3.0 with 6 seeds (4.03 * 2 / 2.45 = 3.29) not yet,
    # with 7 (3.71 * 2 / 2.65 = 2.80) it is.
    made = deviating(3.0, np.zeros(1), video_variance=0.0, seed_variance=4.0)
    assert find_needed(made, 1.0, 1, dict.fromkeys(range(2, 11), 0.01)) == Needed(7, None, 10)
    assert find_needed(made, 1.0, 1, {**dict.fromkeys(range(2, 6), 0.01), 6: 0.05}) == Needed(6, None, 6)
    assert find_needed(made, 1.0, 5) == find_needed(made, 1.0, 1, dict.fromkeys(range(2, 21), 0.01))


def test_videos_are_proposed_only_where_there_are_fewer() -> None:
    # 20 seeds are here, and by this estimate they would have done.
    made = replace(deviating(3.0, np.zeros(1), video_variance=0.0, seed_variance=1.0), num_networks=20)
    assert find_needed(made, 1.0) == Needed(None, None, 20)
