"""Average precision of a ranking that says of each prediction, at each threshold, whether it is right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.average_precision import NOT_COUNTED, RECALL_POINTS
from vistrials.evaluation.errors.overlap import Bools, Floats, Ints, VideoTracks, match_video
from vistrials.evaluation.matching import IOU_THRESHOLDS, UNMATCHED

AT_50 = 0
"""Place of IoU .5 among the thresholds."""


@dataclass(frozen=True)
class Score:
    """AP at IoU .5 and its mean over the thresholds, as fractions; NOT_COUNTED without any counted truth."""

    AP50: float
    AP: float

    @classmethod
    def of(cls, ap: Floats) -> "Score":
        """The mean over categories of float64 [T, K]."""
        counted = ap[:, ap[AT_50] != NOT_COUNTED]
        if not counted.size:
            return cls(NOT_COUNTED, NOT_COUNTED)
        return cls(float(counted[AT_50].mean()), float(counted.mean()))

    def minus(self, other: "Score") -> "Score":
        """By how much this is above another of the same truths; 0 without any counted truth."""
        return Score(self.AP50 - other.AP50, self.AP - other.AP)


@dataclass(frozen=True, eq=False)
class Ranking:
    """N predictions, video by video by ascending id and by falling score within; T thresholds, K categories.

    Attributes:
        scores: float64 [N].
        categories: int64 [T, N], category ids.
        is_right: bool [T, N].
        is_left_out: bool [T, N], neither right nor wrong.
        category_ids: int64 [K].
        num_truths: int64 [T, K], truths to be found.
        counted: bool [K], categories that belong to the mean.
    """

    scores: Floats
    categories: Ints
    is_right: Bools
    is_left_out: Bools
    category_ids: Ints
    num_truths: Ints
    counted: Bools


def compute_ap(ranking: Ranking) -> Floats:
    """Compute AP by threshold and category, over all areas and at most 100 tracks, as the official program does.

    A counted category of which no truth is left to be found (only mending leads there) scores 1 if nothing wrong
    is left either, else 0.

    Returns:
        float64 [T, K]; NOT_COUNTED for categories that are not counted.
    """
    ap = np.full(ranking.num_truths.shape, NOT_COUNTED)
    order = np.argsort(-ranking.scores, kind="stable")
    for t in range(len(ap)):
        ranked = order[~ranking.is_left_out[t, order]]
        categories, is_right = ranking.categories[t, ranked], ranking.is_right[t, ranked]
        for k in np.flatnonzero(ranking.counted):
            own = is_right[categories == ranking.category_ids[k]]
            ap[t, k] = _average_precision(own, int(ranking.num_truths[t, k]))
    return ap


def score_videos(
    videos: Iterable[VideoTracks],
    category_ids: Sequence[int],
    inside: Sequence[tuple[Bools | None, Bools | None]] | None = None,
) -> Score:
    """Compute AP of videos.

    Args:
        videos: by ascending id.
        category_ids: all categories.
        inside: per video which predictions and truths are looked at, as in `match_video`; all by default.
    """
    videos = list(videos)
    flags = inside or [(None, None)] * len(videos)
    looked_at = [pair for pair in zip(videos, flags, strict=True) if not _is_outside(*pair[1])]
    videos = [video for video, _ in looked_at]
    matches = [match_video(video, *of_video) for video, of_video in looked_at]
    ids = np.array(category_ids, dtype=np.int64)
    truth_categories = concatenate(
        [video.truth_categories[counted] for video, (_, _, counted) in zip(videos, matches, strict=True)], np.int64
    )
    num_truths = (truth_categories == ids[:, None]).sum(axis=1)
    T = len(IOU_THRESHOLDS)
    matched = concatenate([matched for matched, _, _ in matches], np.int64, (T, 0))
    ignored = concatenate([ignored for _, ignored, _ in matches], np.bool_, (T, 0))
    categories = concatenate([video.categories for video in videos], np.int64)
    ranking = Ranking(
        scores=concatenate([video.scores for video in videos], np.float64),
        categories=np.broadcast_to(categories, (T, len(categories))),
        is_right=(matched != UNMATCHED) & ~ignored,
        is_left_out=ignored,
        category_ids=ids,
        num_truths=np.broadcast_to(num_truths, (T, len(ids))),
        counted=num_truths > 0,
    )
    return Score.of(compute_ap(ranking))


def _is_outside(predictions: Bools | None, truths: Bools | None) -> bool:
    """Whether nothing of a video is looked at, so that all its predictions would be ignored."""
    return predictions is not None and truths is not None and not predictions.any() and not truths.any()


def concatenate(parts: Sequence[NDArray[Any]], dtype: type[np.generic], empty: tuple[int, ...] = (0,)) -> NDArray[Any]:
    """Join arrays along their last axis; one of shape `empty` if there are none."""
    return np.concatenate(parts, axis=-1) if parts else np.zeros(empty, dtype=dtype)


def _average_precision(is_right: Bools, num_truths: int) -> float:
    """AP of flags by falling score."""
    if num_truths == 0:
        return float(len(is_right) == 0)
    if not is_right.any():
        return 0.0
    num_right = np.cumsum(is_right)
    precision = num_right / np.arange(1, len(is_right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(num_right / num_truths, RECALL_POINTS, side="left")
    return float(np.append(envelope, 0.0)[reached].mean())
