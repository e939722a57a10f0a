"""Made-up matches of any number of videos and runs, drawn from one population: for benchmarks of the bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, Matches
from vistrials.evaluation.stored_matches import StoredMatches


@dataclass(frozen=True)
class Population:
    """What videos are like.

    num_categories: of unequal frequency, the last a third as frequent as the first.
    truths_per_video: mean number of objects.
    false_per_video: mean number of predictions of no object.
    luck: how far two runs of equal quality differ on an object. With this one, differences of AP vary from video to
        video about as much as between two trials of the demo.
    """

    num_categories: int = 8
    truths_per_video: float = 3.0
    false_per_video: float = 6.0
    luck: float = 0.15


@dataclass(frozen=True)
class Videos:
    """Objects of V videos: the video and category of each, and how hard it is (videos differ, and objects in them)."""

    population: Population
    num_videos: int
    truth_videos: NDArray[np.int64]
    truth_categories: NDArray[np.int64]
    difficulties: NDArray[np.float64]


def draw_population(population: Population, num_videos: int, rng: np.random.Generator) -> Videos:
    """Draw videos, each with one object or more."""
    num_truths = 1 + rng.poisson(population.truths_per_video - 1, num_videos)
    truth_videos = np.repeat(np.arange(num_videos), num_truths)
    difficulties = rng.normal(0, 0.6, num_videos)[truth_videos] + rng.normal(0, 0.8, len(truth_videos))
    return Videos(
        population, num_videos, truth_videos, _draw_categories(population, len(truth_videos), rng), difficulties
    )


def predict(videos: Videos, quality: float, rng: np.random.Generator) -> StoredMatches:
    """Matches of a run: every object is predicted as well as its difficulty and luck allow, with false ones between.

    Args:
        videos: to predict.
        quality: of the run; 0.1 more is about 3 AP.
        rng: luck of this run.

    Returns:
        Matches with IoU of each prediction and its own object only, the same in all area ranges.
    """
    num_truths, luck = len(videos.truth_videos), videos.population.luck
    margin = 1.6 + quality - videos.difficulties + rng.normal(0, luck, num_truths)
    ious = _sigmoid(margin)
    scores = _sigmoid(1.5 * margin - 0.5 + rng.normal(0, 2 * luck, num_truths))
    num_false = rng.poisson(videos.population.false_per_video, videos.num_videos)
    false_videos = np.repeat(np.arange(videos.num_videos), num_false)
    false_scores = _sigmoid(rng.normal(-1.5, 1.2, len(false_videos)))
    false_categories = _draw_categories(videos.population, len(false_videos), rng)
    return _records(
        videos,
        np.concatenate([videos.truth_videos, false_videos]),
        np.concatenate([videos.truth_categories, false_categories]),
        np.concatenate([scores, false_scores]),
        np.concatenate([ious, np.zeros(len(false_videos))]),
    )


def _records(
    videos: Videos,
    prediction_videos: NDArray[np.int64],
    prediction_categories: NDArray[np.int64],
    scores: NDArray[np.float64],
    ious: NDArray[np.float64],
) -> StoredMatches:
    """The n-th truth belongs to the n-th prediction, the other predictions to none."""
    K, T, A = videos.population.num_categories, len(IOU_THRESHOLDS), len(AREA_RANGES)
    num_truths = len(videos.truth_videos)
    truth_keys = videos.truth_videos * K + videos.truth_categories
    keys = prediction_videos * K + prediction_categories
    truth_order = np.argsort(truth_keys, kind="stable")
    order = np.lexsort((-scores, keys))
    present = np.unique(keys)
    first_truth = np.searchsorted(truth_keys[truth_order], present)
    last_truth = np.searchsorted(truth_keys[truth_order], present, side="right")
    ends = np.searchsorted(keys[order], present, side="right")
    # Place of each truth within its record.
    place = np.full(len(keys), UNMATCHED)
    place[truth_order] = np.arange(num_truths) - np.searchsorted(truth_keys[truth_order], truth_keys[truth_order])
    matched = np.where(ious >= IOU_THRESHOLDS[:, None, None], place, UNMATCHED)[..., order].repeat(A, axis=1)
    not_ignored, counted = np.zeros((T, A, len(keys)), dtype=bool), np.ones((A, num_truths), dtype=bool)
    records = []
    for key, start, end, low, high in zip(present, [0, *ends], ends, first_truth, last_truth, strict=False):
        own, G = order[start:end], int(high - low)
        table = np.zeros((len(own), G))
        of_truth = np.flatnonzero(place[own] != UNMATCHED)
        table[of_truth, place[own[of_truth]]] = ious[own[of_truth]]
        records.append(
            Matches(
                video_id=int(key // K) + 1,
                category_id=int(key % K) + 1,
                prediction_indices=own,
                scores=scores[own],
                truth_indices=truth_order[low:high],
                ious=table,
                matched_truths=matched[..., start:end],
                ignored=not_ignored[..., start:end],
                counted=counted[:, low:high],
            )
        )
    return StoredMatches(tuple(range(1, videos.num_videos + 1)), tuple(range(1, K + 1)), tuple(records))


def _draw_categories(population: Population, num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    frequencies = np.geomspace(3, 1, population.num_categories)
    return rng.choice(population.num_categories, size=num, p=frequencies / frequencies.sum())


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))
