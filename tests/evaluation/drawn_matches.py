"""Matches without masks, for tests of what follows from them."""

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, UNMATCHED, Matches
from vistrials.evaluation.stored_matches import StoredMatches

T, A = len(IOU_THRESHOLDS), len(AREA_RANGES)


def one_object_each(outcomes: list[tuple[float, bool]], first_video: int = 1) -> StoredMatches:
    """Videos of one object and one prediction, given as score and whether it is right; one category."""
    records = []
    for place, (score, is_right) in enumerate(outcomes):
        records.append(
            Matches(
                video_id=first_video + place,
                category_id=1,
                prediction_indices=np.array([place]),
                scores=np.array([score]),
                truth_indices=np.array([place]),
                ious=np.array([[float(is_right)]]),
                matched_truths=np.full((T, A, 1), 0 if is_right else UNMATCHED),
                ignored=np.zeros((T, A, 1), dtype=bool),
                counted=np.ones((A, 1), dtype=bool),
            )
        )
    video_ids = tuple(range(first_video, first_video + len(outcomes)))
    return StoredMatches(video_ids, (1,), tuple(records))


def random_matches(rng: np.random.Generator, num_videos: int, num_categories: int, *, ties: bool) -> StoredMatches:
    """Anything that matching can yield, and more; scores may tie between videos, not within one."""
    records = []
    for video in range(num_videos):
        for category in range(num_categories):
            D, G = int(rng.integers(0, 5)), int(rng.integers(0, 4))
            if D + G == 0 or rng.random() < 0.2:
                continue
            scores: NDArray[np.float64] = rng.choice(8, D, replace=False) / 8 if ties else rng.random(D)
            records.append(
                Matches(
                    video_id=10 * video + 3,
                    category_id=category + 1,
                    prediction_indices=rng.integers(0, 100, D),
                    scores=-np.sort(-scores),
                    truth_indices=rng.integers(0, 100, G),
                    ious=rng.random((D, G)),
                    matched_truths=rng.integers(UNMATCHED, max(G, 0), (T, A, D)),
                    ignored=rng.random((T, A, D)) < 0.15,
                    counted=rng.random((A, G)) < 0.8,
                )
            )
    video_ids = tuple(10 * video + 3 for video in range(num_videos))
    return StoredMatches(video_ids, tuple(range(1, num_categories + 1)), tuple(records))
