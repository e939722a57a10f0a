"""What is wrong with each prediction that AP counts as wrong, and which truths are missed, at every threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.errors.ap import concatenate
from vistrials.evaluation.errors.causes import find_cause, frame_fates, is_spatial
from vistrials.evaluation.errors.overlap import Bools, Floats, Ints, VideoTracks, match_video
from vistrials.evaluation.matching import IOU_THRESHOLDS, UNMATCHED

BACKGROUND_IOU = 0.1
"""Track IoU below which a prediction has nothing to do with a truth."""


class Kind(IntEnum):
    """What a prediction is at a threshold."""

    RIGHT = 0
    IGNORED = 1
    CLASSIFICATION = 2
    DUPLICATE = 3
    SPATIAL = 4
    TEMPORAL = 5
    BOTH = 6
    BACKGROUND = 7


WRONG = (Kind.CLASSIFICATION, Kind.DUPLICATE, Kind.SPATIAL, Kind.TEMPORAL, Kind.BOTH, Kind.BACKGROUND)
"""The kinds that are errors."""


@dataclass(frozen=True, eq=False)
class Errors:
    """N predictions, video by video by ascending id and by falling score within, and G truths; T thresholds.

    Attributes:
        scores: float64 [N].
        categories: int64 [N], category ids.
        kinds: int8 [T, N], `Kind` by number.
        targets: int64 [T, N], the truth that a prediction takes, or is to be given to when mended; UNMATCHED
            for those that are to be taken out.
        causes: int8 [N], `Fate` by number, of predictions that may be temporal errors.
        truth_categories: int64 [G], category ids.
        is_counted: bool [G], no crowd.
        is_missed: bool [T, G], counted and neither taken nor the target of an error.
    """

    scores: Floats
    categories: Ints
    kinds: NDArray[np.int8]
    targets: Ints
    causes: NDArray[np.int8]
    truth_categories: Ints
    is_counted: Bools
    is_missed: Bools


def find_errors(videos: Sequence[VideoTracks]) -> Errors:
    """Sort the predictions of all videos into kinds, at each threshold t in .5:.05:.95.

    A prediction that AP counts as wrong at t is looked at through its best track IoU with the truths of its own
    category, and with those of other categories (crowds aside). The first that holds:

    - own >= t: duplicate (its truth went to a prediction of higher score);
    - own >= .1: localisation error, spatial or temporal (`error_causes`);
    - other >= t: classification error;
    - other >= .1: both, category and localisation are wrong;
    - else background.

    A truth is missed if no prediction takes it, and no localisation or classification error aims at it.

    Source: TIDE (arXiv 2008.08115), section 2, for the kinds; TIVE (arXiv 2210.08856) for tracks. TIDE fixes t at
    .5; here it moves with the threshold of AP, and .1 stays.
    """
    parts = [_find_in_video(video) for video in videos]
    first_truths = np.cumsum([0, *(len(part.truth_categories) for part in parts)])
    T = len(IOU_THRESHOLDS)
    targets = [
        np.where(part.targets == UNMATCHED, UNMATCHED, part.targets + first)
        for part, first in zip(parts, first_truths[:-1], strict=True)
    ]
    return Errors(
        scores=concatenate([part.scores for part in parts], np.float64),
        categories=concatenate([part.categories for part in parts], np.int64),
        kinds=concatenate([part.kinds for part in parts], np.int8, (T, 0)),
        targets=concatenate(targets, np.int64, (T, 0)),
        causes=concatenate([part.causes for part in parts], np.int8),
        truth_categories=concatenate([part.truth_categories for part in parts], np.int64),
        is_counted=concatenate([part.is_counted for part in parts], np.bool_),
        is_missed=concatenate([part.is_missed for part in parts], np.bool_, (T, 0)),
    )


def best_truths(ious: Floats, candidates: Bools) -> tuple[Ints, Floats]:
    """Find the candidate truth of highest IoU for each prediction; of equals the last, as in matching.

    Args:
        ious: float64 [D, G].
        candidates: bool [D, G].

    Returns:
        Places int64 [D] (UNMATCHED without candidates) and IoUs float64 [D] (0 without).
    """
    if not ious.size:
        return np.full(len(ious), UNMATCHED), np.zeros(len(ious))
    places = ious.shape[1] - 1 - np.where(candidates, ious, -1.0)[:, ::-1].argmax(axis=1)
    has_any = candidates.any(axis=1)
    return np.where(has_any, places, UNMATCHED), np.where(has_any, ious[np.arange(len(ious)), places], 0.0)


def _find_in_video(video: VideoTracks) -> Errors:
    matched, ignored, counted = match_video(video)
    is_own = video.categories[:, None] == video.truth_categories
    own_truth, own_iou = best_truths(video.ious, is_own & counted)
    other_truth, other_iou = best_truths(video.ious, ~is_own & counted)
    localisation, causes = _localisation_errors(video, own_truth, own_iou)
    t = IOU_THRESHOLDS[:, None]
    kinds = np.select(
        [
            ignored,
            matched != UNMATCHED,
            own_iou >= t,
            own_iou >= BACKGROUND_IOU,
            other_iou >= t,
            other_iou >= BACKGROUND_IOU,
        ],
        [Kind.IGNORED, Kind.RIGHT, Kind.DUPLICATE, localisation, Kind.CLASSIFICATION, Kind.BOTH],
        Kind.BACKGROUND,
    ).astype(np.int8)
    is_localisation = (kinds == Kind.SPATIAL) | (kinds == Kind.TEMPORAL)
    targets = np.select(
        [kinds == Kind.RIGHT, is_localisation, kinds == Kind.CLASSIFICATION],
        [matched, own_truth, other_truth],
        UNMATCHED,
    )
    is_aimed_at = (targets[..., None] == np.arange(len(counted))).any(axis=1)
    return Errors(
        scores=video.scores,
        categories=video.categories,
        kinds=kinds,
        targets=targets,
        causes=causes,
        truth_categories=video.truth_categories,
        is_counted=counted,
        is_missed=counted & ~is_aimed_at,
    )


def _localisation_errors(video: VideoTracks, truths: Ints, ious: Floats) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Spatial or temporal, and the cause if temporal, of each prediction that can be a localisation error."""
    kinds = np.full(len(truths), Kind.SPATIAL, dtype=np.int8)
    causes = np.zeros(len(truths), dtype=np.int8)
    for d in np.flatnonzero((ious >= BACKGROUND_IOU) & (ious < IOU_THRESHOLDS[-1])).tolist():
        g = int(truths[d])
        fates = frame_fates(video, d, g)
        if not is_spatial(fates):
            kinds[d] = Kind.TEMPORAL
            causes[d] = find_cause(video, d, g, fates)
    return kinds, causes
