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
"""More seeds than these are not proposed, where no plan says how many; with too few videos, HANDY_SEEDS."""

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

    seeds: None where `most` are too few, whatever the number of videos.
    videos: None where there are enough.
    most: seeds that are proposed at most: MAX_SEEDS, those of the last look, or as many as there are already.
    """

    seeds: int | None
    videos: int | None
    most: int = MAX_SEEDS


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
    family: Mapping[str, Estimate], margin: float, looks: Mapping[int, float] | None = None
) -> dict[str, Judgement]:
    """Judge a family of differences, each of two or more networks a side.

    Args:
        family: the differences, by name, all with the same B draws of videos.
        margin: how small a difference counts as none, in their unit.
        looks: the error at each number of networks, where they are looked at more than once; else it is ERROR.

    Returns:
        Under the same names. Where a difference is neither 0 nor as large as the margin, it is better or worse.

    Source: step-down adjustment by the joint distribution of all differences (J. P. Romano, M. Wolf, Exact and
    Approximate Stepdown Methods for Multiple Hypothesis Testing, 2005), whose statistic is each deviation's rank among
    its own: rows whose tails differ would not be comparable in units of their standard errors. Of a false equality it
    is the rank among those from the nearer margin inwards: two rows at opposite margins do not err in the same draws.
    """
    if not family:
        return {}
    estimates = list(family.values())
    ranks = _without_gaps([rank_deviations(estimate) for estimate in estimates])
    inwards = _without_gaps([rank_deviations(estimate, -1 if estimate.value > 0 else 1) for estimate in estimates])
    p = [compute_p(estimate) for estimate in estimates]
    equal_p = [compute_equivalence_p(estimate, margin) for estimate in estimates]
    adjusted, adjusted_equal = adjust_step_down(p, ranks), adjust_step_down(equal_p, inwards)
    judged = {}
    for place, (name, estimate) in enumerate(family.items()):
        error = _error_at(looks, estimate.num_networks)
        verdict = decide(estimate.value, adjusted[place], adjusted_equal[place], error)
        judged[name] = Judgement(
            p[place],
            adjusted[place],
            equal_p[place],
            adjusted_equal[place],
            compute_interval(estimate, 1 - find_level_of_each(ranks, error)),
            verdict,
            find_needed(estimate, margin, len(family), looks) if verdict is Verdict.UNDECIDED else None,
        )
    return judged


def _without_gaps(ranks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Of all rows, without the draws that one of them lacks."""
    stacked = np.stack(ranks)
    return stacked[:, ~np.isnan(stacked).any(axis=0)]


def _error_at(looks: Mapping[int, float] | None, num_networks: int) -> float:
    return looks[min(num_networks, max(looks))] if looks else ERROR


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


def find_needed(
    estimate: Estimate, margin: float, num_rows: int = 1, looks: Mapping[int, float] | None = None
) -> Needed:
    """What would decide a difference that stays as it is: the fewest seeds on these videos, or else more videos.

    Args:
        estimate: of the difference, undecided.
        margin, looks: as in `judge`.
        num_rows: of its family.

    Returns:
        About: the variances that are measured with few seeds are themselves uncertain.
    """
    now = estimate.num_networks
    most = max(now, max(looks) if looks else MAX_SEEDS)

    def enough_videos(seeds: NDArray[np.int64]) -> NDArray[np.float64]:
        errors = np.array([_error_at(looks, num) / num_rows for num in seeds.tolist()])
        return _videos_that_decide(estimate, margin, errors, seeds)

    more_seeds = np.arange(now + 1, most + 1)
    on_these = np.flatnonzero(enough_videos(more_seeds) <= estimate.num_videos)
    if len(on_these):
        return Needed(int(more_seeds[on_these[0]]), None, most)
    seeds = np.array([min(most, max(HANDY_SEEDS, now)), most])
    for num_seeds, num_videos in zip(seeds.tolist(), enough_videos(seeds).tolist(), strict=True):
        # Those that are here have not decided it, whatever this estimate says of them.
        if math.isfinite(num_videos) and num_videos > estimate.num_videos:
            return Needed(num_seeds, math.ceil(num_videos), most)
    return Needed(None, None, most)


def _videos_that_decide(
    estimate: Estimate, margin: float, errors: NDArray[np.float64], seeds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Fewest with so many seeds each, and at this error; infinite where no number is enough."""
    size, luck = abs(estimate.value), estimate.luck_variance / seeds
    # What more videos do not lessen, and what they do.
    beyond_luck = max(0.0, estimate.seed_variance - estimate.luck_variance) / seeds
    within_luck = min(estimate.seed_variance, estimate.luck_variance) / seeds
    enough = np.full(len(seeds), math.inf)
    for reach, tails in ((size, errors / 2), (margin - size, errors)):
        if reach <= 0:
            continue
        z, t = ndtri(1 - tails), stdtrit(seeds - 1, 1 - tails)
        left = reach**2 - t**2 * beyond_luck
        of_both = z**2 * estimate.video_variance + t**2 * within_luck
        of_both = np.divide(of_both, left, out=np.full(len(seeds), math.inf), where=left > 0)
        of_videos = z**2 * (estimate.video_variance + luck) / reach**2
        enough = np.minimum(enough, estimate.num_videos * np.maximum(of_both, of_videos))
    return enough
