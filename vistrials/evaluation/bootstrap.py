"""AP of resampled videos from stored matches: a draw counts every video with a weight; nothing is matched again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vistrials.evaluation.average_precision import MAX_TRACKS, RECALL_POINTS
from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED
from vistrials.evaluation.stored_matches import StoredMatches

_SPACING = float(np.spacing(1))
_ALL_AREAS = list(AREA_RANGES).index("all")


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
    weights = np.ascontiguousarray(weights)
    total, num_categories = np.zeros(len(weights)), np.zeros(len(weights), dtype=np.int64)
    for category in _categories(matches):
        num_truths = weights @ category.num_truths
        total += _category_ap(category, weights, num_truths)
        num_categories += num_truths > 0
    return np.divide(total, num_categories, out=np.full(len(weights), np.nan), where=num_categories > 0)


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


def _category_ap(category: _Category, weights: NDArray[np.int64], num_truths: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP float64 [B] of one category in each draw; 0 where the draw has no truth of it."""
    sums = np.zeros(len(weights))
    # Crowds aside nothing is ignored, and one running sum serves all thresholds.
    patterns, pattern_of = np.unique(category.is_ignored, axis=0, return_inverse=True)
    for p, is_ignored in enumerate(patterns):
        right = [np.flatnonzero(category.is_right[t]) for t in np.flatnonzero(pattern_of.ravel() == p)]
        ends = np.cumsum([len(places) for places in right])
        _add_precision(
            weights, num_truths, category.videos, ~is_ignored, np.concatenate(right), ends, RECALL_POINTS, sums
        )
    return sums / (len(IOU_THRESHOLDS) * len(RECALL_POINTS))


@njit(nogil=True, cache=True)
def _add_precision(
    weights: NDArray[np.int64],
    num_truths: NDArray[np.int64],
    videos: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
    right: NDArray[np.int64],
    ends: NDArray[np.int64],
    recall_points: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add to each draw its precision at the recall points, summed over thresholds.

    Args:
        weights: [B, V].
        num_truths: [B], of the draws.
        videos: [N], of predictions by falling score.
        is_counted: [N].
        right: the places of right predictions, ascending, threshold after threshold.
        ends: [T], where those of each threshold end.
        recall_points: [R], ascending.
        sums: [B], changed in place.
    """
    drawn, per_prediction = np.empty(len(videos), dtype=np.int64), np.empty(len(videos))
    precision, reached = np.empty(len(right)), np.empty(len(right) + 1, dtype=np.int64)
    points = np.empty(num_truths.max() + 1, dtype=np.int64)
    for b in range(len(weights)):
        if num_truths[b] == 0:
            continue
        # A recall point reads the envelope at the first right prediction that reaches it.
        point = 0
        for found in range(num_truths[b] + 1):
            while point < len(recall_points) and recall_points[point] <= found / num_truths[b]:
                point += 1
            points[found] = point
        num_so_far = 0
        for n in range(len(videos)):
            drawn[n] = weights[b, videos[n]]
            num_so_far += drawn[n] * is_counted[n]
            # The official smallest step above 1 keeps 0 / 0 at 0.
            per_prediction[n] = 1 / (num_so_far + _SPACING)
        total, first = 0.0, 0
        for end in ends:
            found = 0
            for i in range(first, end):
                found += drawn[right[i]]
                precision[i] = found * per_prediction[right[i]]
                reached[i] = points[min(found, num_truths[b])]
            envelope = 0.0
            for i in range(end - 1, first, -1):
                envelope = max(envelope, precision[i])
                total += envelope * (reached[i] - reached[i - 1])
            if end > first:
                total += max(envelope, precision[first]) * reached[first]
            first = end
        sums[b] += total
