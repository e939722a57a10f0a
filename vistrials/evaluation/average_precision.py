"""Average precision and recall from matches: a pure function of the records, for any draw of videos."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, Matches

RECALL_POINTS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
"""Where the precision curve is read, R of them."""

MAX_TRACKS = (1, 10, 100)
"""Predictions per video and category that are looked at, M of them."""

NOT_COUNTED = -1.0
"""In place of a value: no counted truth."""

FIGURES = ("AP", "AP50", "AP75", "AP_s", "AP_m", "AP_l", "AR1", "AR10", "AR100", "AR_s", "AR_m", "AR_l")
"""The published figures, in the order of the official program."""

TABLE_FIGURES = ("AP", "AP50", "AP75", "AR1", "AR10")
"""Those of them that papers, and our tables, show."""


def accumulate(
    records: Iterable[Matches], category_ids: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute precision at the recall points, and recall, over the records given.

    Scores that tie keep the order of the records, then of the predictions in them: give records by ascending
    video id for the official figures. A video may occur more than once (a bootstrap draw).

    Args:
        records: per video and category; records of other categories are left out.
        category_ids: K categories, in the order of the result.

    Returns:
        precision float64 [T, R, K, A, M] and recall float64 [T, K, A, M]; NOT_COUNTED where no truth counts.
    """
    T, R, K, A, M = (
        len(IOU_THRESHOLDS),
        len(RECALL_POINTS),
        len(category_ids),
        len(AREA_RANGES),
        len(MAX_TRACKS),
    )
    precision = np.full((T, R, K, A, M), NOT_COUNTED)
    recall = np.full((T, K, A, M), NOT_COUNTED)
    by_category: dict[int, list[Matches]] = {category: [] for category in category_ids}
    for record in records:
        if record.category_id in by_category:
            by_category[record.category_id].append(record)
    for k, category in enumerate(category_ids):
        own = by_category[category]
        num_truths = sum((record.counted.sum(axis=1) for record in own), np.zeros(A, dtype=np.int64))
        if not num_truths.any():
            continue
        for m, max_tracks in enumerate(MAX_TRACKS):
            scores = np.concatenate([record.scores[:max_tracks] for record in own])
            matched = np.concatenate([record.matched_truths[..., :max_tracks] for record in own], axis=2)
            ignored = np.concatenate([record.ignored[..., :max_tracks] for record in own], axis=2)
            order = np.argsort(-scores, kind="stable")
            is_right = ((matched != UNMATCHED) & ~ignored)[..., order]
            is_wrong = ((matched == UNMATCHED) & ~ignored)[..., order]
            for a in np.flatnonzero(num_truths):
                curve, recall[:, k, a, m] = _curves(is_right[:, a], is_wrong[:, a], int(num_truths[a]))
                precision[:, :, k, a, m] = curve
    return precision, recall


def compute_figures(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float]:
    """Compute the published figures, as fractions; NOT_COUNTED where no category has a counted truth.

    Args:
        precision: float64 [T, R, K, A, M].
        recall: float64 [T, K, A, M].

    Returns:
        One float per name in FIGURES.
    """
    whole, small, medium, large = range(len(AREA_RANGES))
    at_1, at_10, at_100 = range(len(MAX_TRACKS))
    at_50 = int(np.argmin(np.abs(IOU_THRESHOLDS - 0.5)))
    at_75 = int(np.argmin(np.abs(IOU_THRESHOLDS - 0.75)))
    values = (
        precision[..., whole, at_100],
        precision[at_50, ..., whole, at_100],
        precision[at_75, ..., whole, at_100],
        precision[..., small, at_100],
        precision[..., medium, at_100],
        precision[..., large, at_100],
        recall[..., whole, at_1],
        recall[..., whole, at_10],
        recall[..., whole, at_100],
        recall[..., small, at_100],
        recall[..., medium, at_100],
        recall[..., large, at_100],
    )
    return {figure: mean_counted(part) for figure, part in zip(FIGURES, values, strict=True)}


def compute_category_ap(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute AP of each category (all areas, 100 tracks), float64 [K]; NOT_COUNTED where no truth counts."""
    whole, at_100 = 0, len(MAX_TRACKS) - 1
    return np.array([mean_counted(precision[:, :, k, whole, at_100]) for k in range(precision.shape[2])])


def compute_threshold_ap(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute AP at each IoU threshold and category (all areas, 100 tracks), float64 [T, K]; NOT_COUNTED as above."""
    whole, at_100 = 0, len(MAX_TRACKS) - 1
    return precision[:, :, :, whole, at_100].mean(axis=1)


def _curves(
    is_right: NDArray[np.bool_], is_wrong: NDArray[np.bool_], num_truths: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision at the recall points [T, R] and final recall [T], from flags [T, N] by falling score."""
    num_thresholds, num_predictions = is_right.shape
    precision = np.zeros((num_thresholds, len(RECALL_POINTS)))
    if num_predictions == 0:
        return precision, np.zeros(num_thresholds)
    num_right = np.cumsum(is_right, axis=1).astype(np.float64)
    num_wrong = np.cumsum(is_wrong, axis=1).astype(np.float64)
    recall = num_right / num_truths
    # The smallest step above 1 keeps 0 / 0 at 0, and is part of the official digits.
    raw = num_right / (num_wrong + num_right + np.spacing(1))
    envelope = np.maximum.accumulate(raw[:, ::-1], axis=1)[:, ::-1]
    for t in range(num_thresholds):
        reached = np.searchsorted(recall[t], RECALL_POINTS, side="left")
        within = reached < num_predictions
        precision[t, within] = envelope[t, reached[within]]
    return precision, recall[:, -1]


def mean_counted(values: NDArray[np.float64]) -> float:
    counted = values[values > NOT_COUNTED]
    return float(counted.mean()) if counted.size else NOT_COUNTED
