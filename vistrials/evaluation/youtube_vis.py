"""YouTube-VIS average precision of predicted tracks: the figures of the official program, to the digit.

Reads ground truth and predictions, matches them per video and category (`matching`), accumulates the matches
(`average_precision`). The matches are part of the result: another draw of videos needs no second matching.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.evaluation.average_precision import (
    MAX_TRACKS,
    accumulate,
    compute_category_ap,
    compute_figures,
)
from vistrials.evaluation.matching import Matches, match_tracks
from vistrials.evaluation.oddities import Oddity, find_oddities, summarise
from vistrials.evaluation.reading import (
    GroundTruth,
    PredictedTrack,
    TrueTrack,
    VideoInfo,
    name_annotation,
    name_prediction,
    read_ground_truth,
    read_predictions,
)
from vistrials.evaluation.track_iou import TrackMasks, decode_tracks, track_iou
from vistrials.structures.json_file import load_json

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
        """The summary as JSON can hold it; the arrays and matches stay out."""
        return {
            **self.figures,
            "AP_per_category": dict(self.ap_per_category),
            "num_videos": self.num_videos,
            "num_tracks": self.num_tracks,
            "num_predictions": self.num_predictions,
            "warnings": list(self.warnings),
        }


def evaluate_files(gt_path: str | os.PathLike[str], pred_path: str | os.PathLike[str]) -> Evaluation:
    """Evaluate a predictions file against an annotation file (.json or .json.gz each); see `evaluate`.

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used; names file and entry.
    """
    ground_truth, predictions = load_json(gt_path), load_json(pred_path)
    try:
        return evaluate(ground_truth, predictions)
    except DataError as error:
        raise DataError(f"{os.fspath(pred_path)} against {os.fspath(gt_path)}: {error}") from None


def evaluate(ground_truth: dict[str, Any], predictions: list[dict[str, Any]]) -> Evaluation:
    """Evaluate predicted tracks against true ones.

    Args:
        ground_truth: {"videos", "categories", "annotations"} in YouTube-VIS form.
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..], one entry per track, one
            segmentation per frame (see `geometry.rle.to_rle`), None where absent. An empty list scores 0.

    Returns:
        The figures, the arrays behind them and the matches. The arguments are left as they are.

    Raises:
        DataError: names the first entry that cannot be used, and says why.

    Source: the official YouTube-VIS program (COCO AP over tracks). It differs in two points: there an empty
    prediction list crashes, and a true track of id 0 counts as not found.
    """
    truth = read_ground_truth(ground_truth)
    predicted = read_predictions(predictions, truth)
    true_by_video, predicted_by_video = _by_video(truth.tracks), _by_video(predicted)
    oddities: list[Oddity] = []
    matches: list[Matches] = []
    for video_id in sorted(truth.videos):
        true_tracks, predicted_tracks = true_by_video[video_id], predicted_by_video[video_id]
        video = truth.videos[video_id]
        true_masks = _decode(true_tracks, video, name_annotation)
        predicted_masks = _decode(predicted_tracks, video, name_prediction)
        oddities += find_oddities("annotations", true_tracks, true_masks, video)
        oddities += find_oddities("predictions", predicted_tracks, predicted_masks, video)
        matches += _match_video(true_tracks, true_masks, predicted_tracks, predicted_masks)
    category_ids = tuple(truth.category_names)
    precision, recall = accumulate(matches, category_ids)
    return Evaluation(
        figures=compute_figures(precision, recall),
        ap_per_category=dict(zip(_labels(truth), compute_category_ap(precision).tolist(), strict=True)),
        category_ids=category_ids,
        precision=precision,
        recall=recall,
        matches=tuple(matches),
        num_videos=len(truth.videos),
        num_tracks=len(truth.tracks),
        num_predictions=len(predicted),
        warnings=tuple(summarise(oddities)),
    )


def _match_video(
    true_tracks: Sequence[TrueTrack],
    true_masks: Sequence[TrackMasks],
    predicted_tracks: Sequence[PredictedTrack],
    predicted_masks: Sequence[TrackMasks],
) -> Iterable[Matches]:
    """One record per category that has a track in this video."""
    truths, predictions = _places_by_category(true_tracks), _places_by_category(predicted_tracks)
    for category_id in sorted(truths.keys() | predictions.keys()):
        g_places = truths.get(category_id, [])
        # A stable sort: score ties keep file order.
        d_places = sorted(predictions.get(category_id, []), key=lambda place: -predicted_tracks[place].score)
        d_places = d_places[: max(MAX_TRACKS)]
        ious = track_iou([predicted_masks[d] for d in d_places], [true_masks[g] for g in g_places])
        matched, ignored, counted = match_tracks(
            ious,
            prediction_areas=np.array([predicted_masks[d].mean_area for d in d_places], dtype=np.float64),
            truth_areas=np.array([true_tracks[g].mean_area for g in g_places], dtype=np.float64),
            truth_is_crowd=np.array([true_tracks[g].is_crowd for g in g_places], dtype=bool),
        )
        yield Matches(
            video_id=(true_tracks or predicted_tracks)[0].video_id,
            category_id=category_id,
            prediction_indices=np.array([predicted_tracks[d].index for d in d_places], dtype=np.int64),
            scores=np.array([predicted_tracks[d].score for d in d_places], dtype=np.float64),
            truth_indices=np.array([true_tracks[g].index for g in g_places], dtype=np.int64),
            ious=ious,
            matched_truths=matched,
            ignored=ignored,
            counted=counted,
        )


def _decode(tracks: Sequence[Track], video: VideoInfo, name: Callable[[int], str]) -> list[TrackMasks]:
    return decode_tracks(
        [track.segmentations for track in tracks],
        video.height,
        video.width,
        lambda place, frame: f"{name(tracks[place].index)} segmentations[{frame}]",
    )


def _by_video(tracks: Iterable[T]) -> dict[int, list[T]]:
    groups: dict[int, list[T]] = defaultdict(list)
    for track in tracks:
        groups[track.video_id].append(track)
    return groups


def _places_by_category(tracks: Sequence[Track]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for place, track in enumerate(tracks):
        groups[track.category_id].append(place)
    return groups


def _labels(truth: GroundTruth) -> list[str]:
    """Category names, with the id added where two share a name."""
    uses = Counter(truth.category_names.values())
    return [
        name if uses[name] == 1 else f"{name} (id {category_id})" for category_id, name in truth.category_names.items()
    ]
