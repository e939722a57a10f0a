"""p-values of differences by other ways to estimate the variance between networks, beside which ours was chosen."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtr, stdtrit

from vistrials.evaluation.intervals import Estimate

Floats = NDArray[np.float64]


def p_of_methods(estimates: Sequence[Estimate]) -> dict[str, Floats]:
    """Two-sided p of each difference: ours without its floor, and t of three variances.

    Of these the degrees of freedom are Satterthwaite's.
    """
    own = np.array([estimate.seed_variance for estimate in estimates])
    degrees = estimates[0].num_networks - 1
    prior, prior_degrees = fit_prior(own, degrees)
    weight = prior_degrees / (prior_degrees + degrees) if math.isfinite(prior_degrees) else 1.0
    return {
        "no floor": np.array([_behrens_fisher(estimate) for estimate in estimates]),
        "own": _p(estimates, own, degrees),
        "moderated": _p(estimates, weight * prior + (1 - weight) * own, prior_degrees + degrees),
        "pooled": _p(estimates, np.full(len(own), own.mean()), degrees * len(own)),
    }


def fit_prior(variances: Floats, degrees: int) -> tuple[float, float]:
    """Prior variance and its degrees of freedom, infinite where variances differ no more than by chance.

    Source: G. K. Smyth, Linear Models and Empirical Bayes Methods for Assessing Differential Expression (2004), section
    6.2, as in limma.
    """
    logs = np.log(variances) - digamma(degrees / 2) + math.log(degrees / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, degrees / 2))
    if excess <= 1e-4:
        return math.exp(logs.mean()), math.inf
    half = float(brentq(lambda x: polygamma(1, x) - excess, 1e-3, 1e5))
    return math.exp(logs.mean() + digamma(half) - math.log(half)), 2 * half


def _behrens_fisher(estimate: Estimate) -> float:
    """Of t by videos and t by networks, added."""
    quantiles = stdtrit(estimate.num_networks - 1, (np.arange(200) + 0.5) / 200)
    moves = math.sqrt(estimate.seed_variance / estimate.num_networks) * quantiles
    sd = math.sqrt(max(estimate.video_variance, 1e-12) * estimate.num_videos / (estimate.num_videos - 1))
    return float(2 * stdtr(estimate.num_videos - 1, (moves - abs(estimate.value)) / sd).mean())


def _p(estimates: Sequence[Estimate], variances: Floats, degrees: float) -> Floats:
    values = np.array([estimate.value for estimate in estimates])
    by_videos = np.array([estimate.video_variance for estimate in estimates])
    by_networks = variances / np.array([estimate.num_networks for estimate in estimates])
    num_videos = estimates[0].num_videos
    total = by_videos + by_networks
    of_networks = by_networks**2 / degrees if math.isfinite(degrees) else 0.0
    freedom = total**2 / (by_videos**2 / (num_videos - 1) + of_networks + 1e-300)
    p: Floats = 2 * stdtr(freedom, -np.abs(values) / np.sqrt(total))
    return p
