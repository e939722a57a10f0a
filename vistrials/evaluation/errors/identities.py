"""Identity switches and fragmentations, as counted in multi-object tracking."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit

from vistrials.evaluation.errors.overlap import Bools, Floats, Ints, VideoTracks
from vistrials.evaluation.matching import UNMATCHED


@dataclass(frozen=True)
class IdentityCounts:
    """How often true tracks change hands.

    Attributes:
        switches: a true track is covered by another predicted track than when it was covered last.
        fragmentations: a true track is covered again after frames in which it was present and not covered.
    """

    switches: int
    fragmentations: int


def count_identities(videos: Iterable[VideoTracks]) -> IdentityCounts:
    """Count identity switches and fragmentations.

    In every frame true and predicted masks of the same category are paired one to one from an IoU of .5 on:
    first those that were a pair in the frame before, then by falling IoU. Frames where a true track is absent do
    not fragment it. All predicted tracks take part, whatever their score; crowds do not.

    Source: the CLEAR MOT metrics (Bernardin and Stiefelhagen, 2008), with mask IoU for distance and pairing by
    falling IoU for the assignment of least total distance.
    """
    counts = [_count_in(video) for video in videos]
    return IdentityCounts(sum(switches for switches, _ in counts), sum(breaks for _, breaks in counts))


def _count_in(video: VideoTracks) -> tuple[int, int]:
    if not video.intersections.size:
        return 0, 0
    candidates = video.covers & (video.categories[:, None] == video.truth_categories)[..., None]
    switches, fragmentations = _count(video.frame_ious, candidates, video.truth_areas > 0)
    return switches, fragmentations


@njit(nogil=True, cache=True)
def pair_by_falling_iou(ious: Floats, candidates: Bools, before: Ints) -> Ints:
    """Pair predictions and truths of one frame, each at most once: pairs of before first, then by falling IoU.

    Args:
        ious: float64 [D, G].
        candidates: bool [D, G], pairs that may be.
        before: int64 [G], the prediction that each truth was paired with in the frame before, or UNMATCHED.

    Returns:
        int64 [G], the prediction of each truth, or UNMATCHED; of equal pairs the first prediction's goes first.
    """
    num_predictions, num_truths = ious.shape
    now, is_taken = np.full(num_truths, UNMATCHED), np.zeros(num_predictions, dtype=np.bool_)
    for g in range(num_truths):
        if before[g] != UNMATCHED and candidates[before[g], g]:
            now[g] = before[g]
            is_taken[before[g]] = True
    ds, gs = np.nonzero(candidates)
    falling = np.empty(len(ds))
    for place in range(len(ds)):
        falling[place] = -ious[ds[place], gs[place]]
    for place in np.argsort(falling, kind="mergesort"):
        d, g = ds[place], gs[place]
        if now[g] == UNMATCHED and not is_taken[d]:
            now[g] = d
            is_taken[d] = True
    return now


@njit(nogil=True, cache=True)
def _count(ious: Floats, candidates: Bools, is_present: Bools) -> tuple[int, int]:
    """Switches and fragmentations; float64 and bool [D, G, F], and bool [G, F]."""
    _, num_truths, num_frames = ious.shape
    before, last = np.full(num_truths, UNMATCHED), np.full(num_truths, UNMATCHED)
    is_interrupted = np.zeros(num_truths, dtype=np.bool_)
    switches, fragmentations = 0, 0
    for frame in range(num_frames):
        now = pair_by_falling_iou(ious[..., frame], candidates[..., frame], before)
        for g in range(num_truths):
            is_covered, was_covered = now[g] != UNMATCHED, last[g] != UNMATCHED
            switches += is_covered and was_covered and now[g] != last[g]
            fragmentations += is_covered and is_interrupted[g]
            if is_present[g, frame]:
                is_interrupted[g] = was_covered and not is_covered
            if is_covered:
                last[g] = now[g]
        before = now
    return switches, fragmentations
