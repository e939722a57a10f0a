"""Predictions with perfect categories, or with perfect identities, and all else as it is."""

from dataclasses import replace

import numpy as np
from numba import njit

from vistrials.evaluation.errors.causes import ON_IOU
from vistrials.evaluation.errors.kinds import BACKGROUND_IOU, best_truths
from vistrials.evaluation.errors.overlap import COVER_IOU, Bools, Floats, Ints, VideoTracks
from vistrials.evaluation.matching import UNMATCHED


def perfect_categories(video: VideoTracks) -> VideoTracks:
    """Give each predicted track the category of the true track it overlaps most, from a track IoU of .1 on."""
    truths, ious = best_truths(video.ious, np.broadcast_to(~video.is_crowd, video.ious.shape))
    overlaps = ious >= BACKGROUND_IOU
    categories = video.categories.copy()
    categories[overlaps] = video.truth_categories[truths[overlaps]]
    # The same video where nothing changes, of which all is known that has been looked at.
    return video if np.array_equal(categories, video.categories) else replace(video, categories=categories)


def perfect_identities(video: VideoTracks) -> VideoTracks:
    """Link the predicted masks by the true tracks that they lie on, in each category by itself.

    A mask lies on the truth of its category that it overlaps most in its frame, by an IoU above .1. A truth's own
    prediction is the one of its category that overlaps it most, from a track IoU of .1 on. In each frame the truth
    gets the mask of its own prediction, if that lies on it, else of all masks that lie on it and cover it (IoU of
    .5 or more) the one of highest score. An own prediction's masks that nobody gets go along with it wherever its
    truth has none; all other masks stay behind in the tracks they were in. The score of a track is the highest
    of those that its masks had.

    Tracks that each lie on one truth alone, one on each, stay as they are.
    """
    if not video.intersections.size:
        return video
    sources = np.concatenate([_link(video, category) for category in np.unique(video.categories)])
    # Predictions come by falling score: the first of a track's has the highest.
    best = np.where(sources == UNMATCHED, len(video.scores), sources).min(axis=1)
    order = np.argsort(best, kind="stable")
    best, sources = best[order], sources[order]
    exists, frames = sources != UNMATCHED, np.arange(sources.shape[1])
    # The indices by track and frame go to the front, the truths between them to the end.
    intersections = np.where(exists[..., None], video.intersections[sources, :, frames], 0)
    unions = np.where(exists[..., None], video.unions[sources, :, frames], video.truth_areas.T)
    return replace(
        video,
        scores=video.scores[best],
        categories=video.categories[best],
        areas=np.where(exists, video.areas[sources, frames], 0),
        intersections=intersections.transpose(0, 2, 1),
        unions=unions.transpose(0, 2, 1),
    )


def _link(video: VideoTracks, category: np.int64) -> Ints:
    """New tracks of one category: the predicted track that each mask comes from, int64 [tracks, F], or UNMATCHED."""
    members = np.flatnonzero(video.categories == category)
    truths = np.flatnonzero((video.truth_categories == category) & ~video.is_crowd)
    tracks = link_masks(members, truths, video.frame_ious, video.ious, video.areas > 0)
    return tracks[(tracks != UNMATCHED).any(axis=1)]


@njit(nogil=True, cache=True)
def link_masks(members: Ints, truths: Ints, frame_ious: Floats, ious: Floats, exists: Bools) -> Ints:
    """Give the masks of M predictions to K truths as `perfect_identities` says.

    Args:
        members: int64 [M], places of the predictions, by falling score.
        truths: int64 [K], places of the truths.
        frame_ious: float64 [D, G, F].
        ious: float64 [D, G], of whole tracks.
        exists: bool [D, F], the predicted masks.

    Returns:
        int64 [K + M, F], the predicted track that each mask comes from, or UNMATCHED: of the truths, then what stays
        behind of each prediction.
    """
    K, F = len(truths), exists.shape[1]
    tracks = np.full((K + len(members), F), UNMATCHED)
    is_left = exists.copy()
    own = np.full(K, UNMATCHED)
    for k in range(K):
        # Of equals the last, as in matching.
        for d in members:
            if ious[d, truths[k]] >= BACKGROUND_IOU and (
                own[k] == UNMATCHED or ious[d, truths[k]] >= ious[own[k], truths[k]]
            ):
                own[k] = d
    for f in range(F):
        for d in members:
            on = -1
            for k in range(K):
                if frame_ious[d, truths[k], f] > (ON_IOU if on < 0 else frame_ious[d, truths[on], f]):
                    on = k
            if on < 0:
                continue
            covers = tracks[on, f] == UNMATCHED and frame_ious[d, truths[on], f] >= COVER_IOU
            if own[on] == d or covers:
                tracks[on, f] = d
        for k in range(K):
            if tracks[k, f] != UNMATCHED:
                is_left[tracks[k, f], f] = False
    for m in range(len(members)):
        d, home = members[m], -1
        for k in range(K):
            if own[k] == d and (home < 0 or ious[d, truths[k]] > ious[d, truths[home]]):
                home = k
        for f in range(F):
            if is_left[d, f]:
                row = home if home >= 0 and tracks[home, f] == UNMATCHED else K + m
                tracks[row, f] = d
    return tracks
