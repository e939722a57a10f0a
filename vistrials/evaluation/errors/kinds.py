"""What is wrong with each prediction that AP counts as wrong, and which truths are missed, at every threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

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
    parts = [_look_at(video) for video in videos]
    T = len(IOU_THRESHOLDS)
    first_truths = np.cumsum([0, *(len(part.is_counted) for part in parts)]).tolist()[:-1]

    def truths(name: str, empty: tuple[int, ...] = (0,)) -> Ints:
        """Of all videos the places of truths, among those of all videos."""
        places = [getattr(part, name) for part in parts]
        numbered = [
            np.where(own == UNMATCHED, UNMATCHED, own + first) for own, first in zip(places, first_truths, strict=True)
        ]
        return concatenate(numbered, np.int64, empty)

    def joined(name: str, dtype: type[np.generic], empty: tuple[int, ...] = (0,)) -> NDArray[Any]:
        return concatenate([getattr(part, name) for part in parts], dtype, empty)

    matched, ignored = truths("matched", (T, 0)), joined("ignored", np.bool_, (T, 0))
    own_truth, own_iou = truths("own_truth"), joined("own_iou", np.float64)
    other_truth, other_iou = truths("other_truth"), joined("other_iou", np.float64)
    localisation, is_counted = joined("localisation", np.int8), joined("is_counted", np.bool_)
    kinds, targets = np.empty(matched.shape, dtype=np.int8), np.empty(matched.shape, dtype=np.int64)
    is_aimed_at = np.zeros((T, len(is_counted)), dtype=bool)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        kinds[t] = np.select(
            [
                ignored[t],
                matched[t] != UNMATCHED,
                own_iou >= threshold,
                own_iou >= BACKGROUND_IOU,
                other_iou >= threshold,
                other_iou >= BACKGROUND_IOU,
            ],
            [Kind.IGNORED, Kind.RIGHT, Kind.DUPLICATE, localisation, Kind.CLASSIFICATION, Kind.BOTH],
            Kind.BACKGROUND,
        )
        is_localisation = (kinds[t] == Kind.SPATIAL) | (kinds[t] == Kind.TEMPORAL)
        targets[t] = np.select(
            [kinds[t] == Kind.RIGHT, is_localisation, kinds[t] == Kind.CLASSIFICATION],
            [matched[t], own_truth, other_truth],
            UNMATCHED,
        )
        is_aimed_at[t, targets[t, targets[t] != UNMATCHED]] = True
    return Errors(
        scores=concatenate([video.scores for video in videos], np.float64),
        categories=concatenate([video.categories for video in videos], np.int64),
        kinds=kinds,
        targets=targets,
        causes=joined("causes", np.int8),
        truth_categories=concatenate([video.truth_categories for video in videos], np.int64),
        is_counted=is_counted,
        is_missed=is_counted & ~is_aimed_at,
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


@dataclass(frozen=True, eq=False)
class _Looks:
    """What the kinds of one video's D predictions follow from; truths by their place among its own G.

    Attributes:
        matched, ignored: as of `match_video`, [T, D].
        is_counted: bool [G].
        own_truth, own_iou: the best truth of the own category, [D], as of `best_truths`.
        other_truth, other_iou: the best of another category.
        localisation: int8 [D], `Kind` by number of those that can be localisation errors.
        causes: int8 [D], as in `Errors`.
    """

    matched: Ints
    ignored: Bools
    is_counted: Bools
    own_truth: Ints
    own_iou: Floats
    other_truth: Ints
    other_iou: Floats
    localisation: NDArray[np.int8]
    causes: NDArray[np.int8]


def _look_at(video: VideoTracks) -> _Looks:
    matched, ignored, counted = match_video(video)
    is_own = video.categories[:, None] == video.truth_categories
    own = best_truths(video.ious, is_own & counted)
    other = best_truths(video.ious, ~is_own & counted)
    return _Looks(matched, ignored, counted, *own, *other, *_localisation_errors(video, *own))


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
