"""Predicted and true tracks of one video and how they overlap frame by frame: all that error analysis looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.average_precision import MAX_TRACKS
from vistrials.evaluation.frame_overlap import by_frame, frame_overlaps, ratio
from vistrials.evaluation.matching import match_in_ranges
from vistrials.evaluation.oddities import FOUND_IOU, VideoSummary, summarise_video
from vistrials.evaluation.reading import (
    GroundTruth,
    PredictedTrack,
    TrueTrack,
    VideoInfo,
    best_by_category,
    by_video,
    decode_masks,
    name_annotation,
    name_prediction,
    read_predictions,
)

COVER_IOU = 0.5
"""IoU in a frame from which a predicted mask covers a true one, as in multi-object tracking."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VideoTracks:
    """The tracks of one video: D predicted ones by falling score, G true ones in file order, over F frames.

    Attributes:
        video_id: the video.
        scores: float64 [D], falling.
        categories: int64 [D], category ids.
        areas: int64 [D, F], pixels of the predicted masks; 0 where absent.
        truth_categories: int64 [G], category ids.
        truth_sizes: float64 [G], mean area in pixels as the annotation file has it.
        truth_areas: int64 [G, F], pixels of the true masks; 0 where absent.
        is_crowd: bool [G].
        intersections: int64 [D, G, F], pixels that both masks of a pair hold.
        unions: int64 [D, G, F], pixels that either holds; 0 in frames that do not count for the pair.
        summary: what is odd about the tracks.
    """

    video_id: int
    scores: Floats
    categories: Ints
    areas: Ints
    truth_categories: Ints
    truth_sizes: Floats
    truth_areas: Ints
    is_crowd: Bools
    intersections: Ints
    unions: Ints
    summary: VideoSummary

    @cached_property
    def frame_ious(self) -> Floats:
        """IoU in every frame, float64 [D, G, F]; 0 where neither is present."""
        return ratio(self.intersections, self.unions)

    @cached_property
    def ious(self) -> Floats:
        """IoU of whole tracks as in `track_iou`, float64 [D, G]."""
        return ratio(self.intersections.sum(axis=2), self.unions.sum(axis=2))

    @cached_property
    def is_looked_at(self) -> Bools:
        """Whether a prediction is among the 100 best of its category, bool [D]."""
        if len(self.categories) <= max(MAX_TRACKS):
            return np.ones(len(self.categories), dtype=bool)
        return np.tril(self.categories[:, None] == self.categories).sum(axis=1) <= max(MAX_TRACKS)

    @cached_property
    def own_ious(self) -> Floats:
        """`ious` within a category, float64 [D, G]; 0 elsewhere, and for predictions that are not looked at."""
        can_match = (self.categories[:, None] == self.truth_categories) & self.is_looked_at[:, None]
        return np.where(can_match, self.ious, 0.0)

    @cached_property
    def covers(self) -> Bools:
        """Whether the predicted mask covers the true one, bool [D, G, F]; crowds are not covered."""
        return (self.frame_ious >= COVER_IOU) & ~self.is_crowd[:, None]

    @cached_property
    def num_covering(self) -> Ints:
        """How many predicted masks cover each true one, int64 [G, F]."""
        return self.covers.sum(axis=0)


def read_videos(truth: GroundTruth, predictions: Any) -> list[VideoTracks]:
    """Read the tracks of all videos. Of a video and category the 100 best predictions are looked at, as in AP.

    Args:
        truth: videos, categories and true tracks.
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..].

    Returns:
        The videos by ascending id.

    Raises:
        DataError: names the first prediction or mask that cannot be used, and says why.
    """
    true_by_video = by_video(truth.tracks)
    predicted_by_video = by_video(read_predictions(predictions, truth))
    return [
        _read_video(video_id, truth.videos[video_id], true_by_video[video_id], predicted_by_video[video_id])
        for video_id in sorted(truth.videos)
    ]


def match_video(
    video: VideoTracks, inside: Bools | None = None, truth_inside: Bools | None = None
) -> tuple[Ints, Bools, Bools]:
    """Match the predictions of a video as AP does, at every threshold, in each category.

    Args:
        video: its tracks.
        inside: bool [D], predictions that count even if they find nothing; all by default.
        truth_inside: bool [G], truths that are to be found; all by default. Crowds never are.

    Returns:
        The place of the truth that each prediction takes, int64 [T, D] (UNMATCHED for none); which
        predictions are neither right nor wrong, bool [T, D]; and which truths count, bool [G].
    """
    counted = ~video.is_crowd if truth_inside is None else truth_inside & ~video.is_crowd
    is_looked_at = video.is_looked_at if inside is None else video.is_looked_at & inside
    # Without overlap categories do not meet, so that one matching serves all of them.
    matched, ignored = match_in_ranges(video.own_ious, is_looked_at[None], counted[None], video.is_crowd)
    return matched[:, 0], ignored[:, 0], counted


def _read_video(
    video_id: int, info: VideoInfo, true: Sequence[TrueTrack], predicted: Sequence[PredictedTrack]
) -> VideoTracks:
    best = [track for own in best_by_category(predicted, max(MAX_TRACKS)).values() for track in own]
    predicted = sorted(best, key=lambda track: (-track.score, track.index))
    masks = decode_masks(predicted, info, name_prediction)
    true_masks = decode_masks(true, info, name_annotation)
    intersections, unions = frame_overlaps(masks, true_masks)
    F = max((len(track.areas) for track in [*masks, *true_masks]), default=0)
    categories = np.array([track.category_id for track in predicted], dtype=np.int64)
    truth_categories = np.array([track.category_id for track in true], dtype=np.int64)
    is_crowd = np.array([track.is_crowd for track in true], dtype=bool)
    ious = ratio(intersections.sum(axis=2), unions.sum(axis=2))
    is_own = (categories[:, None] == truth_categories) & ~is_crowd
    summary = summarise_video(
        video_id,
        info,
        list(zip(true, true_masks, strict=True)),
        sorted(zip(predicted, masks, strict=True), key=lambda pair: pair[0].index),
        num_found=int(((ious >= FOUND_IOU) & is_own).any(axis=0).sum()),
    )
    return VideoTracks(
        video_id=video_id,
        scores=np.array([track.score for track in predicted], dtype=np.float64),
        categories=categories,
        areas=by_frame([track.areas for track in masks], F),
        truth_categories=truth_categories,
        truth_sizes=np.array(
            [track.mean_area(own) for track, own in zip(true, true_masks, strict=True)], dtype=np.float64
        ),
        truth_areas=by_frame([track.areas for track in true_masks], F),
        is_crowd=is_crowd,
        intersections=intersections,
        unions=unions,
        summary=summary,
    )
