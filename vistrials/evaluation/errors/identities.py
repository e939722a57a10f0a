"""Identity switches and fragmentations, as counted in multi-object tracking."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vistrials.evaluation.errors.overlap import VideoTracks, pair_by_falling_iou
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
    counts = [_count(video) for video in videos]
    return IdentityCounts(sum(switches for switches, _ in counts), sum(breaks for _, breaks in counts))


def _count(video: VideoTracks) -> tuple[int, int]:
    D, G, F = video.intersections.shape
    candidates = video.covers & (video.categories[:, None] == video.truth_categories)[..., None]
    before, last = np.full(G, UNMATCHED), np.full(G, UNMATCHED)
    is_interrupted = np.zeros(G, dtype=bool)
    switches = fragmentations = 0
    for frame in range(F):
        were_pairs = np.arange(D)[:, None] == before
        now = np.full(G, UNMATCHED)
        for d, g in pair_by_falling_iou(video.frame_ious[..., frame], candidates[..., frame], were_pairs):
            now[g] = d
        is_covered, was_covered = now != UNMATCHED, last != UNMATCHED
        switches += int((is_covered & was_covered & (now != last)).sum())
        fragmentations += int((is_covered & is_interrupted).sum())
        is_present = video.truth_areas[:, frame] > 0
        is_interrupted = np.where(is_present, was_covered & ~is_covered, is_interrupted)
        before, last = now, np.where(is_covered, now, last)
    return switches, fragmentations
