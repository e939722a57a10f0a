"""Where a predicted track leaves its true track, frame by frame, and what a temporal error is due to."""

from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vistrials.evaluation.errors.overlap import Bools, Floats, Ints, VideoTracks

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
    return _fates(video.frame_ious, video.covers, video.num_covering, video.unions, video.truth_areas, d, g)


@njit(nogil=True, cache=True)
def _fates(
    frame_ious: Floats, covers: Bools, num_covering: Ints, unions: Ints, truth_areas: Ints, d: int, g: int
) -> NDArray[np.int8]:
    """As `frame_fates`; the arrays as in `VideoTracks`."""
    is_on = frame_ious[d, g] > ON_IOU
    on_frames = np.flatnonzero(is_on)
    num_truths, num_frames = truth_areas.shape
    first, last = num_frames, num_frames
    if len(on_frames):
        first, last = on_frames[0], on_frames[-1]
    fates = np.empty(num_frames, dtype=np.int8)
    for frame in range(num_frames):
        is_elsewhere = num_covering[g, frame] > covers[d, g, frame]
        for other in range(num_truths):
            is_elsewhere |= covers[d, other, frame] and num_covering[other, frame] == 1
        if unions[d, g, frame] == 0:
            fates[frame] = Fate.NEITHER
        elif is_on[frame]:
            fates[frame] = Fate.ON
        elif is_elsewhere:
            fates[frame] = Fate.IDENTITY
        elif truth_areas[g, frame] == 0:
            fates[frame] = Fate.LEAK
        elif frame < first:
            fates[frame] = Fate.LATE_START
        elif frame > last:
            fates[frame] = Fate.EARLY_END
        else:
            fates[frame] = Fate.GAP
    return fates


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
