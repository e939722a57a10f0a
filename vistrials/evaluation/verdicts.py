"""From differences to verdicts: better, worse, equal within a margin, or undecided, corrected for their number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vistrials.evaluation.intervals import (
    Estimate,
    Interval,
    compute_equivalence_p,
    compute_interval,
    compute_p,
    rank_deviations,
)

ERROR = 0.05
"""Share of tables with any false difference, and of those with any false equality, at most."""

MAX_SEEDS = 20
"""More seeds than these are not proposed; with fewer videos than it takes, as many as HANDY_SEEDS."""

HANDY_SEEDS = 10


class Verdict(StrEnum):
    """What a difference is said to be."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "equal"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Needed:
    """What would decide a difference, should it stay as it is.

    seeds: None where MAX_SEEDS are too few, whatever the number of videos.
    videos: None where there are enough.
    """

    seeds: int | None
    videos: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A difference in its family.

    p: of a difference of 0, two-sided, for this difference alone.
    adjusted_p: the same for the family.
    equal_p: of a difference of the margin or more, and adjusted_equal_p the same for the family.
    family_interval: all of the family hold the true values at once in 95 % of data sets.
    needed: None where it is decided.
    """

    p: float
    adjusted_p: float
    equal_p: float
    adjusted_equal_p: float
    family_interval: Interval
    verdict: Verdict
    needed: Needed | None


def judge(
    family: Mapping[str, Estimate], margin: float, errors: Mapping[str, float] | None = None
) -> dict[str, Judgement]:
    """Judge a family of differences, each of two or more networks a side.

    Args:
        family: the differences, by name, all with the same B draws of videos.
        margin: how small a difference counts as none, in their unit.
        errors: of those that may err by less than ERROR, because they are looked at more than once.

    Returns:
        Under the same names. Where a difference is neither 0 nor as large as the margin, it is better or worse.

    Source: step-down adjustment by the joint distribution of all differences (J. P. Romano, M. Wolf, Exact and
    Approximate Stepdown Methods for Multiple Hypothesis Testing, 2005), whose statistic is each deviation's rank among
    its own: rows whose tails differ would not be comparable in units of their standard errors.
    """
    if not family:
        return {}
    estimates = list(family.values())
    ranks = np.stack([rank_deviations(estimate) for estimate in estimates])
    ranks = ranks[:, ~np.isnan(ranks).any(axis=0)]
    p = [compute_p(estimate) for estimate in estimates]
    equal_p = [compute_equivalence_p(estimate, margin) for estimate in estimates]
    adjusted, adjusted_equal = adjust_step_down(p, ranks), adjust_step_down(equal_p, ranks)
    judged = {}
    for place, (name, estimate) in enumerate(family.items()):
        error = (errors or {}).get(name, ERROR)
        verdict = decide(estimate.value, adjusted[place], adjusted_equal[place], error)
        judged[name] = Judgement(
            p[place],
            adjusted[place],
            equal_p[place],
            adjusted_equal[place],
            compute_interval(estimate, 1 - find_level_of_each(ranks, error)),
            verdict,
            find_needed(estimate, margin, error / len(family)) if verdict is Verdict.UNDECIDED else None,
        )
    return judged


def decide(value: float, adjusted_p: float, adjusted_equal_p: float, error: float = ERROR) -> Verdict:
    """The verdict on a difference; one that is surely not 0 is better or worse, however small."""
    if adjusted_p <= error:
        return Verdict.BETTER if value > 0 else Verdict.WORSE
    return Verdict.EQUAL if adjusted_equal_p <= error else Verdict.UNDECIDED


def adjust_step_down(p_values: Sequence[float], ranks: NDArray[np.float64]) -> list[float]:
    """Adjust p-values for their number: the least error at which the step-down procedure finds each.

    The smallest is compared with the smallest of each draw over all J, the next with that over the others, and so on.

    Args:
        p_values: J of them.
        ranks: float64 [J, B], the p-values of each draw under "no difference", drawn jointly.

    Source: Romano and Wolf (2005), algorithm 4.1 with p-values as statistics; P. H. Westfall, S. S. Young,
    Resampling-Based Multiple Testing (1993).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = np.argsort(p_values, kind="stable")
    for step, place in enumerate(order.tolist()):
        smallest = ranks[order[step:]].min(axis=0)
        share = float((np.count_nonzero(smallest <= p_values[place]) + 1) / (len(smallest) + 1))
        highest = max(highest, min(1.0, share))
        adjusted[place] = highest
    return adjusted


def find_level_of_each(ranks: NDArray[np.float64], error: float) -> float:
    """The error that each of a family may have, so that the family has `error`: ranks as in `adjust_step_down`."""
    smallest = np.sort(ranks.min(axis=0))
    return float(smallest[max(1, math.floor(error * (len(smallest) + 1))) - 1])


def find_needed(estimate: Estimate, margin: float, error: float) -> Needed:
    """What would decide a difference that stays as it is: the fewest seeds on these videos, or else more videos.

    Args:
        estimate: of the difference, undecided.
        margin: as in `judge`.
        error: of this difference alone.

    Returns:
        About: the variances that are measured with few seeds are themselves uncertain.
    """
    more_seeds = np.arange(estimate.num_networks + 1, MAX_SEEDS + 1)
    enough = _videos_that_decide(estimate, margin, error, more_seeds)
    on_these = np.flatnonzero(enough <= estimate.num_videos)
    if len(on_these):
        return Needed(int(more_seeds[on_these[0]]), None)
    seeds = np.array([max(HANDY_SEEDS, estimate.num_networks), MAX_SEEDS])
    enough = _videos_that_decide(estimate, margin, error, seeds)
    for num_seeds, num_videos in zip(seeds.tolist(), enough.tolist(), strict=True):
        if math.isfinite(num_videos):
            return Needed(num_seeds, math.ceil(num_videos))
    return Needed(None, None)


def _videos_that_decide(
    estimate: Estimate, margin: float, error: float, seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Fewest with so many seeds each; infinite where no number is enough."""
    size, luck = abs(estimate.value), estimate.luck_variance / seeds
    # What more videos do not lessen, and what they do.
    beyond_luck = max(0.0, estimate.seed_variance - estimate.luck_variance) / seeds
    within_luck = min(estimate.seed_variance, estimate.luck_variance) / seeds
    enough = np.full(len(seeds), math.inf)
    for reach, tail in ((size, error / 2), (margin - size, error)):
        if reach <= 0:
            continue
        z, t = float(ndtri(1 - tail)), stdtrit(seeds - 1, 1 - tail)
        left = reach**2 - t**2 * beyond_luck
        of_both = z**2 * estimate.video_variance + t**2 * within_luck
        of_both = np.divide(of_both, left, out=np.full(len(seeds), math.inf), where=left > 0)
        of_videos = z**2 * (estimate.video_variance + luck) / reach**2
        enough = np.minimum(enough, estimate.num_videos * np.maximum(of_both, of_videos))
    return enough
