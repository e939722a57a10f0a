"""YouTube-VIS average precision of predicted tracks: the figures of the official program, to the digit.

Reads ground truth and predictions, matches them per video and category (`matching`), accumulates the matches
(`average_precision`). The matches are part of the result: another draw of videos needs no second matching.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.evaluation.average_precision import (
    MAX_TRACKS,
    NOT_COUNTED,
    accumulate,
    compute_category_ap,
    compute_figures,
    compute_threshold_ap,
    mean_counted,
)
from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, Matches, match_tracks
from vistrials.evaluation.oddities import (
    FOUND_IOU,
    Confusions,
    VideoSummary,
    count_confusions,
    describe,
    summarise_video,
)
from vistrials.evaluation.reading import (
    GroundTruth,
    PredictedTrack,
    TrueTrack,
    VideoInfo,
    best_by_category,
    by_category,
    by_video,
    decode_masks,
    name_annotation,
    name_prediction,
    read_ground_truth,
    read_predictions,
)
from vistrials.evaluation.track_files import naming_files, read_files
from vistrials.evaluation.track_iou import TrackMasks, track_iou
from vistrials.freed_memory import keep_freed_memory
from vistrials.machine import num_cores

_ALL_AREAS = list(AREA_RANGES).index("all")

Track = TrueTrack | PredictedTrack
T = TypeVar("T", TrueTrack, PredictedTrack)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the official program computes, and what it is computed from.

    Attributes:
        figures: the 12 published figures by name (see `average_precision.FIGURES`), as fractions; -1 where no
            category has a counted truth.
        ap_per_category: AP by category name, by ascending id; -1 where the category has no counted truth.
        category_ids: the K categories, ascending.
        precision: float64 [T, R, K, A, M]: IoU thresholds, recall points, categories, area ranges, tracks per
            video; -1 where no truth counts.
        recall: float64 [T, K, A, M].
        matches: per video and category with any track, by ascending video id, then category id.
        num_videos: videos in the ground truth.
        num_tracks: annotations in the ground truth.
        num_predictions: entries in the predictions.
        warnings: one line for each kind of oddity that is scored as the official program scores it.
    """

    figures: dict[str, float]
    ap_per_category: dict[str, float]
    category_ids: tuple[int, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    matches: tuple[Matches, ...]
    num_videos: int
    num_tracks: int
    num_predictions: int
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON can hold it; the arrays and matches stay out.

        AP of a video is not defined. Its recall is: `AR_per_video` is the part of a video's counted tracks that is
        found, averaged over the thresholds, -1 without any.
        """
        by_threshold = compute_threshold_ap(self.precision)
        thresholds = [f"{threshold:.2f}" for threshold in IOU_THRESHOLDS]
        return {
            **self.figures,
            "AP_per_category": dict(self.ap_per_category),
            "AP_per_threshold": dict(zip(thresholds, map(mean_counted, by_threshold), strict=True)),
            "AP_per_category_and_threshold": {
                name: dict(zip(thresholds, column.tolist(), strict=True))
                for name, column in zip(self.ap_per_category, by_threshold.T, strict=True)
            },
            "AR_per_video": {str(video_id): recall for video_id, recall in _recall_per_video(self.matches).items()},
            "num_videos": self.num_videos,
            "num_tracks": self.num_tracks,
            "num_predictions": self.num_predictions,
            "warnings": list(self.warnings),
        }


def evaluate_files(
    gt_path: str | os.PathLike[str], pred_path: str | os.PathLike[str], *, strict: bool = False
) -> Evaluation:
    """Evaluate a predictions file against an annotation file (.json or .json.gz each); see `evaluate`.

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used; names file and entry.
    """
    truth, predicted = read_files(gt_path, pred_path)
    with naming_files(gt_path, pred_path):
        return evaluate(truth, predicted, strict=strict)


def evaluate(ground_truth: Any, predictions: Any, *, strict: bool = False) -> Evaluation:
    """Evaluate predicted tracks against true ones.

    Args:
        ground_truth: {"videos", "categories", "annotations"} in YouTube-VIS form, or what `read_files` read of it.
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..], one entry per track, one
            segmentation per frame (see `geometry.rle.to_rle`), None where absent. An empty list scores 0. Masks of
            tracks that do not count, beyond 100 of a video and category, are not looked at.
        strict: refuse tracks that do not fit their video, which by default are warnings.

    Returns:
        The figures, the arrays behind them and the matches. The arguments are left as they are.

    Raises:
        DataError: names the first entry that cannot be used, and says why.

    Source: the official YouTube-VIS program (COCO AP over tracks). It differs in two points: there an empty
    prediction list crashes, and a true track of id 0 counts as not found.
    """
    truth = read_ground_truth(ground_truth)
    predicted = read_predictions(predictions, truth)
    true_by_video, predicted_by_video = by_video(truth.tracks), by_video(predicted)
    with keep_freed_memory(), ThreadPoolExecutor(_num_threads()) as threads:
        scored = list(
            threads.map(
                lambda video_id: _score_video(
                    video_id,
                    truth.videos[video_id],
                    true_by_video.get(video_id, []),
                    predicted_by_video.get(video_id, []),
                ),
                sorted(truth.videos),
            )
        )
    matches = [match for video_matches, _ in scored for match in video_matches]
    misfits, others = describe(
        truth, [summary for _, summary in scored], lambda: _find_confusions(truth, true_by_video, predicted_by_video)
    )
    if strict and misfits:
        raise DataError(misfits[0] + (f"; and {len(misfits) - 1} more kinds" if len(misfits) > 1 else ""))
    category_ids = tuple(truth.category_names)
    precision, recall = accumulate(matches, category_ids)
    labels = _labels(truth)
    return Evaluation(
        figures=compute_figures(precision, recall),
        ap_per_category=dict(zip(labels, compute_category_ap(precision).tolist(), strict=True)),
        category_ids=category_ids,
        precision=precision,
        recall=recall,
        matches=tuple(matches),
        num_videos=len(truth.videos),
        num_tracks=len(truth.tracks),
        num_predictions=len(predicted),
        warnings=(*misfits, *others),
    )


def _score_video(
    video_id: int, video: VideoInfo, true_tracks: Sequence[TrueTrack], predicted_tracks: Sequence[PredictedTrack]
) -> tuple[list[Matches], VideoSummary]:
    """One record per category that has a track in this video, and what is odd about its tracks."""
    truths, predictions = by_category(true_tracks), best_by_category(predicted_tracks, max(MAX_TRACKS))
    compared = sorted((track for own in predictions.values() for track in own), key=lambda track: track.index)
    true_masks = _decode(true_tracks, video, name_annotation)
    predicted_masks = _decode(compared, video, name_prediction)
    matches = [
        _match_category(truths.get(category_id, []), true_masks, predictions.get(category_id, []), predicted_masks)
        for category_id in sorted(truths.keys() | predictions.keys())
    ]
    summary = summarise_video(
        video_id,
        video,
        [(track, true_masks[track.index]) for track in true_tracks],
        [(track, predicted_masks[track.index]) for track in compared],
        num_found=sum(_num_found(match) for match in matches),
    )
    return matches, summary


def _num_found(match: Matches) -> int:
    """True tracks of a record that any of its predictions overlaps well; crowds are none."""
    is_crowd = ~match.counted[_ALL_AREAS]
    return int(((match.ious >= FOUND_IOU).any(axis=0) & ~is_crowd).sum())


def _find_confusions(
    truth: GroundTruth, true: Mapping[int, Sequence[TrueTrack]], predicted: Mapping[int, Sequence[PredictedTrack]]
) -> Confusions:
    """True tracks that predictions of another category alone find; reads the masks once more."""
    confusions: Confusions = Counter()
    for video_id in sorted(true.keys() & predicted.keys()):
        truths = [track for track in true[video_id] if not track.is_crowd]
        best = [track for own in best_by_category(predicted[video_id], max(MAX_TRACKS)).values() for track in own]
        predictions = sorted(best, key=lambda track: (-track.score, track.index))
        video = truth.videos[video_id]
        ious = track_iou(
            decode_masks(predictions, video, name_prediction), decode_masks(truths, video, name_annotation)
        )
        confusions += count_confusions(
            ious, np.array([track.category_id for track in predictions]), [track.category_id for track in truths]
        )
    return confusions


def _match_category(
    truths: Sequence[TrueTrack],
    true_masks: Mapping[int, TrackMasks],
    predictions: Sequence[PredictedTrack],
    predicted_masks: Mapping[int, TrackMasks],
) -> Matches:
    """Match tracks of one video and category, predictions by falling score; masks by the tracks' index."""
    masks_d = [predicted_masks[track.index] for track in predictions]
    ious = track_iou(masks_d, [true_masks[track.index] for track in truths])
    matched, ignored, counted = match_tracks(
        ious,
        prediction_areas=np.array([masks.mean_area for masks in masks_d], dtype=np.float64),
        truth_areas=np.array([track.mean_area(true_masks[track.index]) for track in truths], dtype=np.float64),
        truth_is_crowd=np.array([track.is_crowd for track in truths], dtype=bool),
    )
    return Matches(
        video_id=(truths or predictions)[0].video_id,
        category_id=(truths or predictions)[0].category_id,
        prediction_indices=np.array([track.index for track in predictions], dtype=np.int64),
        scores=np.array([track.score for track in predictions], dtype=np.float64),
        truth_indices=np.array([track.index for track in truths], dtype=np.int64),
        ious=ious,
        matched_truths=matched,
        ignored=ignored,
        counted=counted,
    )


def _decode(tracks: Sequence[Track], video: VideoInfo, name: Callable[[int], str]) -> dict[int, TrackMasks]:
    """The tracks' masks by their index."""
    masks = decode_masks(tracks, video, name)
    return {track.index: one for track, one in zip(tracks, masks, strict=True)}


def _num_threads() -> int:
    """Array operations and interpolation run side by side; more than a few threads would wait for Python."""
    return min(4, num_cores())


def _recall_per_video(matches: Iterable[Matches]) -> dict[int, float]:
    """Found of the counted truths (all areas, 100 tracks), averaged over the thresholds; NOT_COUNTED without any."""
    whole = 0
    found: dict[int, float] = defaultdict(float)
    counted: dict[int, int] = defaultdict(int)
    for match in matches:
        is_right = (match.matched_truths[:, whole] != UNMATCHED) & ~match.ignored[:, whole]
        found[match.video_id] += float(is_right.sum() / len(is_right))
        counted[match.video_id] += int(match.counted[whole].sum())
    return {video_id: found[video_id] / number if number else NOT_COUNTED for video_id, number in counted.items()}


def _labels(truth: GroundTruth) -> list[str]:
    """Category names, with the id added where two share a name."""
    uses = Counter(truth.category_names.values())
    return [
        name if uses[name] == 1 else f"{name} (id {category_id})" for category_id, name in truth.category_names.items()
    ]
