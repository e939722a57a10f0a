"""How far the mean over networks may be from that of other videos and other networks: intervals and p-values.

docs/uncertainty.md has how often they are right, and what was tried instead.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Share of data sets whose interval should hold the true value."""

MIN_VIDEOS = 10
"""With fewer, resampling them says too little for an interval."""

MIN_DRAWS = 100
"""With fewer, the outermost 5 % of the draws are too few."""

MAX_DRAWS = 1_000_000
"""With more, the draws of 300 videos would not fit into memory; p is sure to .0004 with these."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A mean over S networks, and how far it may be off; variances in the square of its unit.

    value: the mean.
    deviations: float64 [B], how far other videos and networks would have moved it; NaN where a draw had nothing.
    num_networks: S; 1 where the deviations are those of other videos only.
    num_videos: V.
    video_variance: of the mean by the choice of videos, as far as it is common to all networks.
    luck_variance: of one network by the choice of videos, as far as it is its own.
    seed_variance: between networks on these videos, luck included; 0 with one.
    """

    value: float
    deviations: NDArray[np.float64]
    num_networks: int
    num_videos: int
    video_variance: float
    luck_variance: float
    seed_variance: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds, both inclusive, in the unit of the estimate."""

    low: float
    high: float


def estimate_mean(
    values: NDArray[np.float64],
    draws: NDArray[np.float64],
    num_videos: int,
    *,
    one_network: bool = False,
    seed: int = 0,
) -> Estimate | None:
    """Estimate a mean over networks; its deviations are those by videos and those by networks, added.

    By videos: the deviations of the draws' means times the root of V / (V - 1), scaled to the part of their variance
    that the networks share, each divided by a deviate of the standard deviation that V videos would show (V - 1 degrees
    of freedom). By networks: a deviate of t with S - 1 degrees of freedom times the standard error over networks, whose
    variance holds the luck of each on these very videos too. Variances of other trials are not used: these may vary by
    other amounts. No quantile of the sum is below that of other videos alone, luck included: networks that agree by
    chance do not make a mean more certain.

    Args:
        values: float64 [S], on all videos, one of each network (or pair of networks).
        draws: float64 [S, B], of the same on resampled videos; NaN where a draw had nothing to score.
        num_videos: V videos that were drawn from.
        one_network: all values are of one network on one side: only videos are covered.
        seed: of the deviates; other estimates of a table have others.

    Returns:
        None with fewer than MIN_VIDEOS or MIN_DRAWS.

    Source: R. A. Fisher's solution of the problem of Behrens (1935), whose error is never above its level with two
    normal samples (G. K. Robinson, Annals of Statistics 4, 1976), with the bootstrap in place of one of the samples.
    """
    num_values, mean_draws = len(values), draws.mean(axis=0)
    is_known = ~np.isnan(mean_draws)
    if num_videos < MIN_VIDEOS or np.count_nonzero(is_known) < MIN_DRAWS:
        return None
    value, of_all = float(values.mean()), float(mean_draws[is_known].var())
    # Their own stream of random numbers, apart from that of the videos.
    rng = np.random.default_rng([seed, 1])
    # The square root of chi-squared by its degrees of freedom, and of V / (V - 1).
    by_videos = (mean_draws - value) * np.sqrt(num_videos / rng.chisquare(num_videos - 1, len(mean_draws)))
    if one_network or num_values == 1:
        return Estimate(value, by_videos, 1, num_videos, of_all, 0.0, 0.0)
    luck = float((draws - mean_draws)[:, is_known].var(axis=1).sum()) / (num_values - 1)
    common = max(0.0, of_all - luck / num_values)
    variance = float(values.var(ddof=1))
    share = math.sqrt(common / of_all) if of_all else 0.0
    by_networks = math.sqrt(variance / num_values) * rng.standard_t(num_values - 1, len(by_videos))
    deviations = _at_least(share * by_videos + by_networks, by_videos)
    return Estimate(value, deviations, num_values, num_videos, common, luck, variance)


def _at_least(deviations: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations of the same signs and order of size, each as large as the one of its rank among the others, or more.

    NaN are at the same places in both.
    """
    sizes = np.abs(deviations)
    order = np.argsort(sizes)
    raised = np.empty_like(sizes)
    raised[order] = np.maximum(sizes[order], np.sort(np.abs(others)))
    return np.copysign(raised, deviations)


def compute_interval(estimate: Estimate, level: float = LEVEL) -> Interval:
    """Compute the symmetric interval: the estimate, give or take what a share `level` of the draws deviates at most.

    Source: symmetric bootstrap interval (P. Hall, The Bootstrap and Edgeworth Expansion, section 3.6).
    """
    sizes = np.sort(np.abs(estimate.deviations[~np.isnan(estimate.deviations)]))
    reach = float(sizes[min(math.ceil(level * (len(sizes) + 1)), len(sizes)) - 1])
    return Interval(estimate.value - reach, estimate.value + reach)


def compute_p(estimate: Estimate) -> float:
    """Compute the two-sided p-value of "in truth 0": p < 0.05 where 0 lies outside the interval."""
    return _share_beyond(estimate, abs(estimate.value))


def compute_equivalence_p(estimate: Estimate, margin: float) -> float:
    """Compute the p-value of "in truth -margin or less, or margin or more": the greater of two one-sided tests'.

    It is at most 0.05 where the interval of level 0.90 lies within the margins.

    Source: D. J. Schuirmann, A Comparison of the Two One-Sided Tests Procedure and the Power Approach (1987).
    """
    left = margin - abs(estimate.value)
    return _share_beyond(estimate, left) / 2 if left > 0 else 1.0


def rank_deviations(estimate: Estimate, direction: int = 0) -> NDArray[np.float64]:
    """Of each draw the share of draws that deviate as much or more, float64 [B]: its own p-value; NaN stays NaN.

    Args:
        estimate: with B draws.
        direction: 0 for deviations to both sides; 1 or -1 for those upwards or downwards alone.
    """
    sizes = direction * estimate.deviations if direction else np.abs(estimate.deviations)
    known = np.sort(sizes[~np.isnan(sizes)])
    ranks: NDArray[np.float64] = (len(known) - np.searchsorted(known, sizes, side="left")) / len(known)
    return np.where(np.isnan(sizes), np.nan, ranks)


def _share_beyond(estimate: Estimate, size: float) -> float:
    """(k + 1) / (n + 1), k of n draws deviating by so much or more: the data themselves count."""
    deviations = estimate.deviations[~np.isnan(estimate.deviations)]
    return float((np.count_nonzero(np.abs(deviations) >= size) + 1) / (len(deviations) + 1))
