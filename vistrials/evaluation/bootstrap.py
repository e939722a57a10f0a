"""AP of resampled videos from stored matches, and what its spread says: intervals and p-values.

A draw counts every video with a weight; nothing is matched again.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vistrials.evaluation.average_precision import MAX_TRACKS, RECALL_POINTS
from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED
from vistrials.evaluation.stored_matches import StoredMatches

LEVEL = 0.95
"""Share of data sets whose interval should hold the true value."""

MIN_VIDEOS = 10
"""With fewer, resampling them says too little for an interval."""

MIN_DRAWS = 100
"""With fewer, the outermost 5 % of the draws are too few."""

_ALL_AREAS = list(AREA_RANGES).index("all")
_NUMBERS_AT_ONCE = 2_000_000  # of a table draws x predictions, 16 MB


def draw_videos(num_videos: int, num_draws: int, seed: int = 0) -> NDArray[np.int64]:
    """Draw as many videos as there are, with replacement.

    Args:
        num_videos: V videos.
        num_draws: B draws.
        seed: of the draws; runs that are compared get the same ones.

    Returns:
        int64 [B, V], how often each draw holds each video.
    """
    chosen = np.random.default_rng(seed).integers(num_videos, size=(num_draws, num_videos))
    places = chosen + num_videos * np.arange(num_draws)[:, None]
    return np.bincount(places.ravel(), minlength=num_draws * num_videos).reshape(num_draws, num_videos)


def resample_ap(matches: StoredMatches, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute AP of sets of videos in which each video occurs as often as its weight says.

    It is the AP that `accumulate` and `compute_figures` give for the repeated records. Predictions are sorted once; a
    draw only changes how much each counts. A prediction of weight w stands for w equal ones in a row, whose precision
    does not fall from the first to the last if they are right, so that the envelope at the last serves them all.
    Copies of a video are taken prediction by prediction where its own scores tie, which the official program has no
    rule for.

    Args:
        matches: of a run.
        weights: int64 [B, V], 0 or more, in the order of `matches.video_ids`.

    Returns:
        float64 [B], fractions; NaN where a draw has no counted truth. Categories without one in a draw are left out
        of its mean.
    """
    total, num_categories = np.zeros(len(weights)), np.zeros(len(weights), dtype=np.int64)
    for category in _categories(matches):
        size = max(1, _NUMBERS_AT_ONCE // max(1, len(category.videos)))
        for first in range(0, len(weights), size):
            chunk = slice(first, first + size)
            ap, has_truth = _category_ap(category, weights[chunk])
            total[chunk] += np.where(has_truth, ap, 0.0)
            num_categories[chunk] += has_truth
    return np.divide(total, num_categories, out=np.full(len(weights), np.nan), where=num_categories > 0)


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """How much AP varies from seed to seed on all videos alike: a variance, and its degrees of freedom."""

    variance: float
    degrees: int


def measure_seed_spread(
    trials: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> SeedSpread | None:
    """Pool the variance between seeds over trials, taking them to vary alike.

    The luck that each run has on these very videos is in the draws of videos already, so its variance is taken off.

    Args:
        trials: of each its AP on all videos, float64 [S], and on resampled videos, float64 [S, B], NaN where there was
            nothing to score; a run of each seed, all with the same draws.

    Returns:
        The spread; None where no trial has two seeds.
    """
    squares, degrees = 0.0, 0
    for aps, draws in trials:
        if len(aps) > 1:
            luck = np.nanvar(draws - draws.mean(axis=0), axis=1).sum()
            squares += float(((aps - aps.mean()) ** 2).sum() - luck)
            degrees += len(aps) - 1
    return SeedSpread(max(0.0, squares / degrees), degrees) if degrees else None


def add_seed_level(
    draws: NDArray[np.float64], spread: SeedSpread | None, num_runs_inverse: float, seed: int = 0
) -> NDArray[np.float64]:
    """Move each draw by what other seeds may have made of it: the second level.

    The moves are t-distributed, so that few seeds make wide intervals. Seeds are not resampled: two or three values
    cannot show what they come from (docs/uncertainty.md has how often such intervals fail).

    Args:
        draws: float64 [B], on resampled videos, means over the seeds that there are.
        spread: between seeds; None leaves the draws as they are.
        num_runs_inverse: 1 / S for a mean of S runs, 2 / S for the difference of two.
        seed: of the moves.

    Returns:
        float64 [B].
    """
    if spread is None:
        return draws
    # Their own stream of random numbers, apart from that of the videos.
    moves = np.random.default_rng([seed, 1]).standard_t(spread.degrees, len(draws))
    moved: NDArray[np.float64] = draws + math.sqrt(spread.variance * num_runs_inverse) * moves
    return moved


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds, both inclusive, in the unit of the estimate."""

    low: float
    high: float


def compute_interval(estimate: float, draws: NDArray[np.float64], num_videos: int) -> Interval | None:
    """Compute the symmetric 95 % interval: the estimate, give or take what 95 % of the draws deviate at most.

    Deviations are those from the estimate, widened as for a mean of V videos: by t / z (V - 1 degrees of freedom) and
    the root of V / (V - 1).

    Args:
        estimate: from all videos and seeds.
        draws: float64 [B]; NaN where a draw had nothing to score, which is left out.
        num_videos: V videos that were drawn from.

    Returns:
        The interval; None with fewer than MIN_VIDEOS or MIN_DRAWS.

    Source: symmetric bootstrap interval (P. Hall, The Bootstrap and Edgeworth Expansion, section 3.6). Percentiles of
    the draws can hold a true difference of AP less often than they should: docs/uncertainty.md has the measured shares.
    """
    deviations = _deviations(estimate, draws, num_videos)
    if deviations is None:
        return None
    reach = float(np.sort(deviations)[math.ceil(LEVEL * (len(deviations) + 1)) - 1])
    return Interval(estimate - reach, estimate + reach)


def compute_p(estimate: float, draws: NDArray[np.float64], num_videos: int) -> float | None:
    """Compute the two-sided p-value of "in truth 0": (k + 1) / (B + 1), k draws deviating by the estimate or more.

    Deviations are those of `compute_interval`, so p < 0.05 where 0 lies outside the interval.

    Args:
        estimate: a difference, from all videos and seeds.
        draws: float64 [B], of the same difference; NaN is left out.
        num_videos: V videos that were drawn from.

    Returns:
        p; None with fewer than MIN_VIDEOS or MIN_DRAWS.
    """
    deviations = _deviations(estimate, draws, num_videos)
    if deviations is None:
        return None
    return float((np.count_nonzero(deviations >= abs(estimate)) + 1) / (len(deviations) + 1))


def adjust_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values for their number: the least level at which Holm's procedure finds each difference.

    Args:
        p_values: of a family of comparisons; None where there is none, which does not count.

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979); holds however they depend.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted


def _deviations(estimate: float, draws: NDArray[np.float64], num_videos: int) -> NDArray[np.float64] | None:
    deviations = np.abs(draws[~np.isnan(draws)] - estimate)
    if num_videos < MIN_VIDEOS or len(deviations) < MIN_DRAWS:
        return None
    quantile = (1 + LEVEL) / 2
    widening = stdtrit(num_videos - 1, quantile) / ndtri(quantile) * math.sqrt(num_videos / (num_videos - 1))
    widened: NDArray[np.float64] = deviations * widening
    return widened


@dataclass(frozen=True, eq=False)
class _Category:
    """N predictions by falling score, T thresholds, V videos.

    videos: int64 [N], place of the prediction's video.
    is_right, is_ignored: bool [T, N].
    num_truths: int64 [V], counted ones.
    """

    videos: NDArray[np.int64]
    is_right: NDArray[np.bool_]
    is_ignored: NDArray[np.bool_]
    num_truths: NDArray[np.int64]


def _categories(matches: StoredMatches) -> Iterator[_Category]:
    """Those with any counted truth."""
    place = {video_id: v for v, video_id in enumerate(matches.video_ids)}
    for category_id in matches.category_ids:
        records = [record for record in matches.records if record.category_id == category_id]
        num_truths = np.zeros(len(place), dtype=np.int64)
        for record in records:
            num_truths[place[record.video_id]] += record.counted[_ALL_AREAS].sum()
        if not num_truths.any():
            continue
        most = max(MAX_TRACKS)
        scores = np.concatenate([record.scores[:most] for record in records])
        order = np.argsort(-scores, kind="stable")
        videos = np.concatenate([np.full(len(record.scores[:most]), place[record.video_id]) for record in records])
        matched = np.concatenate([record.matched_truths[:, _ALL_AREAS, :most] for record in records], axis=1)
        ignored = np.concatenate([record.ignored[:, _ALL_AREAS, :most] for record in records], axis=1)
        is_right = (matched != UNMATCHED) & ~ignored
        yield _Category(videos[order], is_right[:, order], ignored[:, order], num_truths)


def _category_ap(category: _Category, weights: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """AP float64 [B] of one category in each draw, and whether the draw has a truth of it, bool [B]."""
    num_truths = weights @ category.num_truths
    at_least_one = np.maximum(num_truths, 1)[:, None]
    of_predictions = weights[:, category.videos]
    ap = np.zeros(len(weights))
    # Crowds aside nothing is ignored, and one running sum serves all thresholds.
    patterns, pattern_of = np.unique(category.is_ignored, axis=0, return_inverse=True)
    for p, is_ignored in enumerate(patterns):
        num_so_far = np.cumsum(of_predictions * ~is_ignored, axis=1)
        for t in np.flatnonzero(pattern_of.ravel() == p):
            right = np.flatnonzero(category.is_right[t])
            if not len(right):
                continue
            num_right = np.cumsum(of_predictions[:, right], axis=1).astype(np.float64)
            precision = num_right / (num_so_far[:, right] + np.spacing(1))
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            # A recall point reads the envelope at the first right prediction that reaches it.
            num_points = np.searchsorted(RECALL_POINTS, num_right / at_least_one, side="right")
            ap += (envelope * np.diff(num_points, axis=1, prepend=0)).sum(axis=1)
    return ap / (len(IOU_THRESHOLDS) * len(RECALL_POINTS)), num_truths > 0
