"""AP of resampled videos from stored matches: a draw counts every video with a weight; nothing is matched again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.average_precision import MAX_TRACKS, RECALL_POINTS
from vistrials.evaluation.draw_precision import LANES, add_precision, count_in_draws, find_reached
from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, Matches
from vistrials.evaluation.stored_matches import StoredMatches

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


def resample_ap(matches: StoredMatches, weights: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute AP of sets of videos in which each video occurs as often as its weight says.

    It is the AP that `accumulate` and `compute_figures` give for the repeated records. Predictions are sorted once; a
    draw only changes how much each counts. A prediction of weight w stands for w equal ones in a row, whose precision
    does not fall from the first to the last if they are right, so that the envelope at the last serves them all.
    Copies of a video are taken prediction by prediction where its own scores tie, which the official program has no
    rule for.

    Args:
        matches: of a run.
        weights: int [B, V], 0 or more, in the order of `matches.video_ids`; no copy is made of int32 whose draws lie
            side by side (Fortran order).

    Returns:
        float64 [B], fractions; NaN where a draw has no counted truth. Categories without one in a draw are left out
        of its mean.
    """
    if len(weights) < LANES:
        # Draws of nothing fill the registers.
        filled = np.concatenate([weights, np.zeros((LANES - len(weights), weights.shape[1]), dtype=weights.dtype)])
        return resample_ap(matches, filled)[: len(weights)]
    by_video = np.ascontiguousarray(weights.T, dtype=np.int32)
    total, num_categories = np.zeros(len(weights)), np.zeros(len(weights), dtype=np.int64)
    for category in _categories(matches):
        num_truths = count_in_draws(by_video, category.num_truths)
        total += _category_ap(category, by_video, num_truths)
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
    most = max(MAX_TRACKS)
    of_category: dict[int, list[Matches]] = {category_id: [] for category_id in matches.category_ids}
    for record in matches.records:
        of_category[record.category_id].append(record)
    for records in of_category.values():
        num_truths = np.zeros(len(place), dtype=np.int64)
        for record in records:
            num_truths[place[record.video_id]] += np.count_nonzero(record.counted[_ALL_AREAS])
        if not num_truths.any():
            continue
        scores = np.concatenate([record.scores[:most] for record in records])
        order = np.argsort(-scores, kind="stable")
        places = [place[record.video_id] for record in records]
        videos = np.repeat(places, [min(len(record.scores), most) for record in records])
        matched = np.concatenate([record.matched_truths[:, _ALL_AREAS, :most] for record in records], axis=1)
        ignored = np.concatenate([record.ignored[:, _ALL_AREAS, :most] for record in records], axis=1)
        is_right = (matched != UNMATCHED) & ~ignored
        yield _Category(videos[order], is_right[:, order], ignored[:, order], num_truths)


def _category_ap(
    category: _Category, by_video: NDArray[np.int32], num_truths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """AP float64 [B] of one category in each draw; 0 where the draw has no truth of it."""
    sums = np.zeros(len(num_truths))
    reached, rows = find_reached(num_truths, RECALL_POINTS)
    # Crowds aside nothing is ignored, and one running sum serves all thresholds.
    for is_ignored, thresholds in _by_ignored(category.is_ignored):
        is_right = category.is_right[thresholds]
        right, ends = np.nonzero(is_right)[1], np.count_nonzero(is_right, axis=1).cumsum()
        add_precision(by_video, num_truths, reached, rows, category.videos, ~is_ignored, right, ends, sums)
    return sums / (len(IOU_THRESHOLDS) * len(RECALL_POINTS))


def _by_ignored(is_ignored: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Each different row of bool [T, N], sorted, with the thresholds that have it."""
    thresholds: dict[bytes, list[int]] = {}
    for t, row in enumerate(is_ignored):
        thresholds.setdefault(row.tobytes(), []).append(t)
    for _, of_row in sorted(thresholds.items()):
        yield is_ignored[of_row[0]], of_row
