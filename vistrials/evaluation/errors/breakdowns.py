"""AP by properties of the tracks, confused categories, and what becomes of the frames of true tracks."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.errors.ap import Score, score_videos
from vistrials.evaluation.errors.causes import Fate, frame_fates
from vistrials.evaluation.errors.kinds import BACKGROUND_IOU, best_truths
from vistrials.evaluation.errors.overlap import VideoTracks
from vistrials.evaluation.matching import IOU_THRESHOLDS, UNMATCHED
from vistrials.evaluation.track_iou import mean_nonzero

LENGTH_BOUNDS = (1, 5, 9, 17, 33, 65, 129)
"""Least track length in frames of each bin."""

SIZE_BOUNDS = (0, 16, 32, 64, 128, 256)
"""Least track size in pixels of each bin: the root of the mean area."""

CROWDING_BOUNDS = (1, 2, 3, 5, 9)
"""Least number of true tracks in a video of each bin."""


@dataclass(frozen=True)
class Bin:
    """AP over the truths of a bin.

    Attributes:
        low: least value.
        high: first value beyond; None if there is no limit.
        num_truths: truths in the bin.
        score: predictions that find a truth of another bin, and unmatched ones that belong to another bin
            themselves, count neither as right nor as wrong.
    """

    low: int
    high: int | None
    num_truths: int
    score: Score


@dataclass(frozen=True)
class Confusion:
    """Truths of a category whose best-scored prediction is of another one; `of` truths have any prediction."""

    true: int
    predicted: int
    count: int
    of: int


def score_by_length(videos: Sequence[VideoTracks], category_ids: Sequence[int]) -> list[Bin]:
    """AP by the number of frames in which a track has a mask; predictions belong to the bin of their own."""
    lengths = [((video.areas > 0).sum(axis=1), (video.truth_areas > 0).sum(axis=1)) for video in videos]
    return _score_bins(videos, category_ids, LENGTH_BOUNDS, lengths)


def score_by_size(videos: Sequence[VideoTracks], category_ids: Sequence[int]) -> list[Bin]:
    """AP by the root of a track's mean area, of truths as annotated; predictions belong to the bin of their own."""
    sizes = [(np.sqrt([mean_nonzero(areas) for areas in video.areas]), np.sqrt(video.truth_sizes)) for video in videos]
    return _score_bins(videos, category_ids, SIZE_BOUNDS, sizes)


def score_by_crowding(videos: Sequence[VideoTracks], category_ids: Sequence[int]) -> list[Bin]:
    """AP by the number of true tracks in the video, crowds aside."""
    numbers = [int((~video.is_crowd).sum()) for video in videos]
    values = [
        (np.full(len(video.scores), number), np.full(len(video.is_crowd), number))
        for video, number in zip(videos, numbers, strict=True)
    ]
    return _score_bins(videos, category_ids, CROWDING_BOUNDS, values)


def find_confusions(videos: Sequence[VideoTracks]) -> list[Confusion]:
    """Count pairs of true and predicted category, most frequent first.

    Each truth is looked at once: of the predictions of any category with a track IoU of .5 or more the one of
    highest score says what it is taken for.
    """
    pairs: Counter[tuple[int, int]] = Counter()
    for video in videos:
        finds = video.ious >= IOU_THRESHOLDS[0]
        for g in np.flatnonzero(finds.any(axis=0) & ~video.is_crowd):
            pairs[int(video.truth_categories[g]), int(video.categories[finds[:, g].argmax()])] += 1
    num_found: Counter[int] = Counter()
    for (true, _), count in pairs.items():
        num_found[true] += count
    confused = [(pair, count) for pair, count in pairs.items() if pair[0] != pair[1]]
    return [
        Confusion(true, predicted, count, num_found[true])
        for (true, predicted), count in sorted(confused, key=lambda item: (-item[1], item[0]))
    ]


def count_fates(videos: Sequence[VideoTracks]) -> Mapping[str, int]:
    """Count what becomes of the frames of true tracks, each by the prediction of its category that overlaps it most.

    Returns:
        Frames by name: the fates of `error_causes.Fate` from ON on; "no_track" for frames of truths that no
        prediction of their category overlaps by a track IoU of .1. LEAK counts frames beside those of the truths.
    """
    counts = np.zeros(len(Fate), dtype=np.int64)
    num_without = 0
    for video in videos:
        is_own = video.categories[:, None] == video.truth_categories
        predictions, ious = best_truths(video.ious.T, is_own.T)
        for g in np.flatnonzero(~video.is_crowd).tolist():
            if predictions[g] == UNMATCHED or ious[g] < BACKGROUND_IOU:
                num_without += int((video.truth_areas[g] > 0).sum())
            else:
                counts += np.bincount(frame_fates(video, int(predictions[g]), g), minlength=len(Fate))
    named = {fate.name.lower(): int(counts[fate]) for fate in Fate if fate is not Fate.NEITHER}
    return {**named, "no_track": num_without}


def _score_bins(
    videos: Sequence[VideoTracks],
    category_ids: Sequence[int],
    bounds: Sequence[int],
    values: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> list[Bin]:
    """The bins that have truths, by a value of each prediction and each truth."""
    bins = []
    for low, high in zip(bounds, [*bounds[1:], math.inf], strict=True):
        inside = [((low <= own) & (own < high), (low <= true) & (true < high)) for own, true in values]
        num = sum(int((true & ~video.is_crowd).sum()) for video, (_, true) in zip(videos, inside, strict=True))
        if num:
            bins.append(
                Bin(low, None if high == math.inf else int(high), num, score_videos(videos, category_ids, inside))
            )
    return bins
