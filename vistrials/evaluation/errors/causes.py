"""Where a predicted track leaves its true track, frame by frame, and what a temporal error is due to."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.errors.overlap import VideoTracks

ON_IOU = 0.1
"""IoU in a frame above which a predicted mask is on its true object."""

SPATIAL_FRACTION = 0.7
"""Fraction of frames on the object, of those where either exists, from which a localisation error is spatial."""


class Fate(IntEnum):
    """What happens in a frame to a pair of a predicted and a true track."""

    NEITHER = 0
    """Neither exists, or the frame does not count."""
    ON = 1
    """The predicted mask is on the object."""
    IDENTITY = 2
    """Off it, while another predicted track covers it, or while this one alone covers another true track."""
    LATE_START = 3
    """Off it, before the first frame on it."""
    EARLY_END = 4
    """Off it, after the last frame on it."""
    GAP = 5
    """Off it, between frames on it."""
    LEAK = 6
    """A predicted mask where the object is absent."""


CAUSES = (Fate.IDENTITY, Fate.LATE_START, Fate.EARLY_END, Fate.GAP, Fate.LEAK)
"""What a temporal error can be due to."""


def frame_fates(video: VideoTracks, d: int, g: int) -> NDArray[np.int8]:
    """Tell what happens to a pair in every frame.

    Args:
        video: the tracks.
        d: place of the predicted track.
        g: place of the true track.

    Returns:
        `Fate` by number, int8 [F]. A pair that is on in no frame starts late in all of them.
    """
    is_on = video.frame_ious[d, g] > ON_IOU
    on_frames = np.flatnonzero(is_on)
    num_frames = len(is_on)
    first, last = (on_frames[0], on_frames[-1]) if len(on_frames) else (num_frames, num_frames)
    covered_by_another = video.num_covering[g] - video.covers[d, g] > 0
    alone_on_another = (video.covers[d] & (video.num_covering == 1)).any(axis=0)
    frames = np.arange(num_frames)
    return np.select(
        [
            video.unions[d, g] == 0,
            is_on,
            covered_by_another | alone_on_another,
            video.truth_areas[g] == 0,
            frames < first,
            frames > last,
        ],
        [Fate.NEITHER, Fate.ON, Fate.IDENTITY, Fate.LEAK, Fate.LATE_START, Fate.EARLY_END],
        Fate.GAP,
    ).astype(np.int8)


def is_spatial(fates: NDArray[np.int8]) -> bool:
    """Whether a localisation error is spatial: on the object in most frames where either exists; else temporal.

    Source: TIVE (arXiv 2210.08856).
    """
    return bool((fates == Fate.ON).sum() >= SPATIAL_FRACTION * (fates != Fate.NEITHER).sum())


def find_cause(video: VideoTracks, d: int, g: int, fates: NDArray[np.int8]) -> Fate:
    """Find the cause with which a pair loses most pixels; of equals the first in `CAUSES`.

    A frame's loss is union minus intersection: the pixels that are missing and those too many.
    """
    losses = video.unions[d, g] - video.intersections[d, g]
    by_fate = np.bincount(fates, weights=losses, minlength=len(Fate))
    return CAUSES[int(by_fate[list(CAUSES)].argmax())]
