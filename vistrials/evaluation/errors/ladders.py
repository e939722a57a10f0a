"""Predictions with perfect categories, or with perfect identities, and all else as it is."""

from dataclasses import replace

import numpy as np

from vistrials.evaluation.errors.causes import ON_IOU
from vistrials.evaluation.errors.kinds import BACKGROUND_IOU, best_truths
from vistrials.evaluation.errors.overlap import COVER_IOU, Bools, Ints, VideoTracks
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
    is_left: Bools = video.areas[members] > 0
    places = np.arange(len(members))
    of_truth = np.full((len(truths), is_left.shape[1]), UNMATCHED)
    if len(truths):
        own_pairs = np.ix_(members, truths)
        ious = video.frame_ious[own_pairs]
        lies_on = (ious > ON_IOU) & (ious.argmax(axis=1)[:, None] == np.arange(len(truths))[:, None])
        track_ious = video.ious[own_pairs]
        own, own_ious = best_truths(track_ious.T, np.ones(track_ious.T.shape, dtype=bool))
        is_own = (own == places[:, None]) & (own_ious >= BACKGROUND_IOU)
        # Lower goes first. Predictions come by falling score.
        by_score, nobody = 1 + places[:, None, None], len(members) + 1
        turns = np.where(lies_on & is_own[..., None], 0, np.where(lies_on & (ious >= COVER_IOU), by_score, nobody))
        of_truth = np.where(turns.min(axis=0) < nobody, turns.argmin(axis=0), UNMATCHED)
        is_left &= ~(of_truth == by_score - 1).any(axis=1)
        for d in np.flatnonzero(is_own.any(axis=1)).tolist():
            home = of_truth[np.where(is_own[d], track_ious[d], -1.0).argmax()]
            goes_along = is_left[d] & (home == UNMATCHED)
            home[goes_along] = d
            is_left[d, goes_along] = False
    tracks = np.concatenate([of_truth, np.where(is_left, places[:, None], UNMATCHED)])
    tracks = tracks[(tracks != UNMATCHED).any(axis=1)]
    return np.where(tracks == UNMATCHED, UNMATCHED, members[tracks])
