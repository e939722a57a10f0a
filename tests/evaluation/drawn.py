"""Tracks drawn by hand: a span of pixels of one image row in each frame, so that overlaps can be counted by eye."""

import numpy as np

from tests.evaluation.building import ground_truth, prediction, strip, truth
from vistrials.evaluation.errors.overlap import read_videos
from vistrials.evaluation.reading import read_ground_truth

A, B, C = (0, 20), (30, 50), (60, 80)
"""Three places of 20 pixels that do not touch."""


def at(place, frames, num_frames=10):
    """A track at one place in the frames given."""
    return [strip(*place) if frame in frames else None for frame in range(num_frames)]


def along(*places):
    """A track by its place in each frame, None where absent."""
    return [place and strip(*place) for place in places]


def scene(truths, predictions, num_categories=2):
    """One video of 10 frames; truths as (masks, category), predictions as (masks, score, category)."""
    data = ground_truth(
        [truth(masks, category=category) for masks, category in truths],
        num_categories=num_categories,
        num_frames=10,
    )
    return data, [prediction(masks, score, category=category) for masks, score, category in predictions]


def tracks_of(data, predictions):
    """The videos as error analysis sees them."""
    return read_videos(read_ground_truth(data), predictions)


def random_scenes(seed, num_videos=4, num_frames=8):
    """Truths that come, go and hide; predictions that jitter, break off, leak, drift, swap and mistake them."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    for video in range(1, num_videos + 1):
        places = {}
        for start in rng.permutation([0, 25, 50, 75])[: rng.integers(0, 4)]:
            category, width = int(rng.integers(1, 4)), int(rng.integers(6, 24))
            present = rng.random(num_frames) < rng.choice([0.5, 0.9, 1.0])
            masks = [strip(start, start + width) if there else None for there in present]
            is_crowd = int(rng.random() < 0.1)
            annotations.append(truth(masks, video=video, category=category, crowd=is_crowd))
            places[start] = (category, width, present)
        for _ in range(rng.integers(0, 9)):
            if places:
                start = int(rng.choice(list(places)))
                category, width, present = places[start]
            else:
                start, category, width, present = 10, 1, 10, np.ones(num_frames, dtype=bool)
            shift = int(rng.choice([0, 0, 1, 3, 8, 20]))
            first, last = sorted(rng.integers(0, num_frames + 1, size=2)) if rng.random() < 0.5 else (0, num_frames)
            shown = present ^ (rng.random(num_frames) < rng.choice([0.0, 0.2]))
            drifts_at = int(rng.integers(0, 2 * num_frames))
            masks = []
            for frame in range(num_frames):
                x = (start if frame < drifts_at else (start + 25) % 100) + shift
                masks.append(strip(x, min(x + width, 100)) if shown[frame] and first <= frame < last else None)
            if rng.random() < 0.2:
                category = 1 + category % 3
            predictions.append(prediction(masks, float(rng.random()), video=video, category=category))
    return ground_truth(annotations, num_videos, 4, num_frames), predictions
