"""HOTA, DetA, AssA and IDF1 of predicted tracks: how well objects are found, and how well they keep their identity.

As in the YouTube-VIS form of TrackEval: categories are evaluated apart, frames are matched one to one by mask IoU, and
every prediction counts the same whatever its score. Counts of videos and categories add up; figures are their ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vistrials.evaluation.frame_overlap import frame_iou
from vistrials.evaluation.reading import (
    PredictedTrack,
    TrueTrack,
    VideoInfo,
    by_video,
    decode_masks,
    name_annotation,
    name_prediction,
    read_ground_truth,
    read_predictions,
)
from vistrials.evaluation.track_iou import TrackMasks

ALPHAS: NDArray[np.float64] = np.arange(1, 20) / 20
"""Mask IoU from which a detection counts as found, A of them; the figures of HOTA are means over them."""

IDF1_IOU = 0.5
"""Mask IoU from which IDF1 counts a detection as found."""

TRACKING_FIGURES = ("HOTA", "DetA", "AssA", "IDF1", "DetRe", "DetPr", "AssRe", "AssPr", "IDR", "IDP")
"""The figures by name: the four that are reported, then the recall and precision behind each of their parts."""

NOT_COUNTED = -1.0
"""In place of a mean over no category."""

_TOLERANCE = float(np.finfo(np.float64).eps)
"""An IoU that differs from a threshold by rounding alone reaches it."""


@dataclass(frozen=True, eq=False)
class TrackingCounts:
    """Sums over the detections (the masks of tracks in frames) of one or many videos and categories.

    Attributes:
        num_true: detections in the ground truth.
        num_predicted: detections in the predictions.
        num_found: float64 [A], true detections with a predicted one.
        association: float64 [A], sum over the found of the Jaccard index of their two tracks: frames in which
            they are found as a pair, of the frames in which either has a mask.
        association_recall: float64 [A], the same, of the frames in which the true track has a mask.
        association_precision: float64 [A], the same, of the frames in which the predicted track has a mask.
        num_identified: true detections that the one predicted track finds which the true track is given for
            the whole video.
    """

    num_true: int
    num_predicted: int
    num_found: NDArray[np.float64]
    association: NDArray[np.float64]
    association_recall: NDArray[np.float64]
    association_precision: NDArray[np.float64]
    num_identified: int

    @classmethod
    def of_nothing_found(cls, num_true: int, num_predicted: int) -> Self:
        """Counts where truth or predictions are empty, or both."""
        nothing = np.zeros(len(ALPHAS))
        return cls(num_true, num_predicted, nothing, nothing, nothing, nothing, 0)

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class TrackingEvaluation:
    """Tracking figures as fractions, under the names in TRACKING_FIGURES.

    Attributes:
        class_averaged: means over the categories that have a true or predicted detection; -1 if none has.
        detection_averaged: from the counts of all categories together, so that frequent ones weigh more.
        per_category: by category id, ascending; those with a true or predicted detection.
        num_predictions: tracks that were looked at.
    """

    class_averaged: dict[str, float]
    detection_averaged: dict[str, float]
    per_category: dict[int, dict[str, float]]
    num_predictions: int


def evaluate_tracking(ground_truth: Any, predictions: Any, *, min_score: float | None = None) -> TrackingEvaluation:
    """Compute HOTA, DetA, AssA, IDF1 and their parts, by category and over all.

    All predicted tracks count alike, and their masks may overlap: the figures do not know scores, so that
    uncertain predictions, which cost AP next to nothing, lower detection precision and with it DetA, HOTA and
    IDF1. To compare programs, leave them out by the same rule.

    Args:
        ground_truth: {"videos", "categories", "annotations"} in YouTube-VIS form. Crowds count as tracks.
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..], one entry per track.
        min_score: predicted tracks below are left out; by default none, as in TrackEval.

    Returns:
        The figures. Frames beyond the length of their video are left out; masks of other sizes overlap nothing.

    Raises:
        DataError: names the first entry that cannot be used, and says why.

    Source: HOTA (arXiv 2009.07736), IDF1 (arXiv 1609.01775); matching and averages as in TrackEval 1.3. It differs
    in one point: TrackEval's command counts a category with neither truths nor predictions as 0 in the mean over
    classes, here it is left out (`combine_classes_class_averaged(.., ignore_empty_classes=True)` there).
    """
    truth = read_ground_truth(ground_truth)
    predicted = read_predictions(predictions, truth)
    if min_score is not None:
        predicted = [track for track in predicted if track.score >= min_score]
    true_by_video, predicted_by_video = by_video(truth.tracks), by_video(predicted)
    counts: dict[int, TrackingCounts] = {}
    for video_id, video in sorted(truth.videos.items()):
        of_video = _count_video(true_by_video[video_id], predicted_by_video[video_id], video)
        for category_id, more in of_video.items():
            counts[category_id] = counts[category_id] + more if category_id in counts else more
    counts = {c: counts[c] for c in sorted(counts) if counts[c].num_true + counts[c].num_predicted > 0}
    per_category = {category_id: compute_tracking_figures(of_category) for category_id, of_category in counts.items()}
    return TrackingEvaluation(
        class_averaged={
            name: float(np.mean([figures[name] for figures in per_category.values()])) if per_category else NOT_COUNTED
            for name in TRACKING_FIGURES
        },
        detection_averaged=compute_tracking_figures(sum(counts.values(), TrackingCounts.of_nothing_found(0, 0))),
        per_category=per_category,
        num_predictions=len(predicted),
    )


def count_tracking(
    ious: NDArray[np.float64], is_true: NDArray[np.bool_], is_predicted: NDArray[np.bool_]
) -> TrackingCounts:
    """Match the detections of one video and category, and count what was found and how it was associated.

    In each frame the matching of largest sum of alignment times IoU is taken, whatever the threshold; alignment
    is how much two tracks go together over the whole video. A pair is found at the thresholds its IoU reaches.

    Args:
        ious: float64 [F, G, D], mask IoU of G true and D predicted tracks in F frames.
        is_true: bool [F, G], where the true track has a mask.
        is_predicted: bool [F, D], where the predicted track has a mask.

    Source: HOTA (arXiv 2009.07736), sections 5 and 6; IDF1 (arXiv 1609.01775), section 3.
    """
    true_lengths, predicted_lengths = is_true.sum(axis=0), is_predicted.sum(axis=0)
    num_true, num_predicted = int(true_lengths.sum()), int(predicted_lengths.sum())
    if not num_true or not num_predicted:
        return TrackingCounts.of_nothing_found(num_true, num_predicted)
    frames = [
        np.ix_(np.flatnonzero(in_truth), np.flatnonzero(in_predictions))
        for in_truth, in_predictions in zip(is_true, is_predicted, strict=True)
    ]
    lengths = true_lengths[:, None] + predicted_lengths
    shared = np.zeros(lengths.shape)
    for overlap, present in zip(ious, frames, strict=True):
        shared[present] += _relative(overlap[present])
    alignment = shared / np.maximum(1, lengths - shared)

    pairs, pair_ious = [], []
    for overlap, present in zip(ious, frames, strict=True):
        rows, columns = linear_sum_assignment(alignment[present] * overlap[present], maximize=True)
        g, d = present[0][rows, 0], present[1][0, columns]
        pairs.append(g * len(predicted_lengths) + d)
        pair_ious.append(overlap[g, d])
    pair, pair_iou = np.concatenate(pairs), np.concatenate(pair_ious)
    found = np.stack(
        [np.bincount(pair[pair_iou >= alpha - _TOLERANCE], minlength=lengths.size) for alpha in ALPHAS]
    ).reshape(len(ALPHAS), *lengths.shape)

    def associated(num_frames: NDArray[Any]) -> NDArray[np.float64]:
        """Sum over the found of the part that the frames found as a pair are of these frames."""
        return (found * (found / np.maximum(1, num_frames))).sum(axis=(1, 2))

    near = (ious >= IDF1_IOU).sum(axis=0)
    return TrackingCounts(
        num_true,
        num_predicted,
        num_found=found.sum(axis=(1, 2)).astype(np.float64),
        association=associated(lengths - found),
        association_recall=associated(true_lengths[:, None]),
        association_precision=associated(predicted_lengths),
        num_identified=int(near[linear_sum_assignment(near, maximize=True)].sum()),
    )


def compute_tracking_figures(counts: TrackingCounts) -> dict[str, float]:
    """Compute the figures, one float in 0..1 per name in TRACKING_FIGURES; 0 where nothing was counted."""
    found, num_true, num_predicted = counts.num_found, counts.num_true, counts.num_predicted
    num_associated = np.maximum(1, found)
    detection = found / np.maximum(1, num_true + num_predicted - found)
    association = counts.association / num_associated
    values: tuple[Any, ...] = (
        np.sqrt(detection * association),
        detection,
        association,
        2 * counts.num_identified / max(1, num_true + num_predicted),
        found / max(1, num_true),
        found / max(1, num_predicted),
        counts.association_recall / num_associated,
        counts.association_precision / num_associated,
        counts.num_identified / max(1, num_true),
        counts.num_identified / max(1, num_predicted),
    )
    return {name: float(np.mean(value)) for name, value in zip(TRACKING_FIGURES, values, strict=True)}


def _relative(ious: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each IoU as a part of all that its row and its column hold, [G, D]; 0 where they hold nothing."""
    total = ious.sum(axis=0) + ious.sum(axis=1)[:, None] - ious
    return np.divide(ious, total, out=np.zeros(ious.shape), where=total > _TOLERANCE)


def _count_video(
    true_tracks: Sequence[TrueTrack], predicted_tracks: Sequence[PredictedTrack], video: VideoInfo
) -> dict[int, TrackingCounts]:
    """Counts of each category that has a track in this video."""
    tracks: list[TrueTrack | PredictedTrack] = [*true_tracks, *predicted_tracks]
    true_masks = decode_masks(true_tracks, video, name_annotation)
    predicted_masks = decode_masks(predicted_tracks, video, name_prediction)
    longest = max((len(masks.areas) for masks in [*true_masks, *predicted_masks]), default=0)
    num_frames = longest if video.num_frames is None else min(longest, video.num_frames)
    true_masks = [masks.of_length(num_frames) for masks in true_masks]
    predicted_masks = [masks.of_length(num_frames) for masks in predicted_masks]
    counts = {}
    for category_id in {track.category_id for track in tracks}:
        truths = _of_category(category_id, true_tracks, true_masks)
        predictions = _of_category(category_id, predicted_tracks, predicted_masks)
        counts[category_id] = count_tracking(
            frame_iou(truths, predictions), _presence(truths, num_frames), _presence(predictions, num_frames)
        )
    return counts


def _of_category(
    category_id: int, tracks: Sequence[TrueTrack | PredictedTrack], masks: Sequence[TrackMasks]
) -> list[TrackMasks]:
    return [mask for track, mask in zip(tracks, masks, strict=True) if track.category_id == category_id]


def _presence(tracks: Sequence[TrackMasks], num_frames: int) -> NDArray[np.bool_]:
    """Where each of N tracks has a mask, be it empty, bool [F, N]."""
    heights = np.array([track.sizes[:, 0] for track in tracks], dtype=np.int64)
    return heights.reshape(len(tracks), num_frames).T > 0
