"""Perfect categories and perfect identities, drawn by hand."""

import numpy as np
import pytest

from tests.evaluation.building import ground_truth, prediction, truth
from tests.evaluation.drawn import A, B, C, along, at, random_scenes, scene, tracks_of
from vistrials.evaluation.errors.ap import score_videos
from vistrials.evaluation.errors.ladders import perfect_categories, perfect_identities

EVERYWHERE = range(10)


def video_of(truths, predictions):
    (video,) = tracks_of(*scene(truths, predictions))
    return video


def ap(video):
    return score_videos([video], [1, 2]).AP


def assert_same(one, other):
    for name in ("scores", "categories", "areas", "intersections", "unions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# --- Categories


def test_a_track_gets_the_category_of_the_truth_that_it_overlaps_most():
    truths = [(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 2)]
    # (10, 45) shares 10 of 45 pixels with A and 15 of 40 with B.
    video = video_of(truths, [(at(A, EVERYWHERE), 0.9, 2), (at((10, 45), EVERYWHERE), 0.8, 1)])
    assert perfect_categories(video).categories.tolist() == [1, 2]
    assert (
        perfect_categories(video_of(truths, [(at(A, EVERYWHERE), 0.9, 2), (at(B, EVERYWHERE), 0.8, 1)])).ious.max() == 1
    )
    assert ap(perfect_categories(video)) > ap(video)


def test_safe_names_a_tenth_a_track_keeps_its_category():
    # 2 of 38 pixels.
    video = video_of([(at(A, EVERYWHERE), 1)], [(at((18, 38), EVERYWHERE), 0.9, 2)])
    assert perfect_categories(video).categories.tolist() == [2]


def test_crowds_give_no_category():
    data = ground_truth([truth(at(A, EVERYWHERE), crowd=1)], num_categories=2, num_frames=10)
    (video,) = tracks_of(data, [prediction(at(A, EVERYWHERE), 0.9, category=2)])
    assert perfect_categories(video).categories.tolist() == [2]


# --- Identities


def test_fragments_become_one_track_of_the_best_score():
    video = video_of([(at(A, EVERYWHERE), 1)], [(at(A, range(5)), 0.5, 1), (at(A, range(5, 10)), 0.9, 1)])
    # Each fragment has an IoU of 1/2: right at one of ten thresholds.
    assert ap(video) == pytest.approx(1 / 10)
    linked = perfect_identities(video)
    assert (linked.scores.tolist(), linked.ious.tolist()) == ([0.9], [[1]])
    assert ap(linked) == pytest.approx(1)


def test_swapped_tracks_are_swapped_back():
    truths = [(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 1)]
    video = video_of(truths, [(along(*[A] * 6, *[B] * 4), 0.9, 1), (along(*[B] * 6, *[A] * 4), 0.8, 1)])
    linked = perfect_identities(video)
    assert linked.ious.tolist() == [[1, 0], [0, 1]]
    assert ap(linked) == pytest.approx(1)


def test_one_track_over_two_objects_becomes_two():
    truths = [(at(A, range(5)), 1), (at(B, range(5, 10)), 1)]
    linked = perfect_identities(video_of(truths, [(along(*[A] * 5, *[B] * 5), 0.9, 1)]))
    assert (linked.scores.tolist(), linked.ious.tolist()) == ([0.9, 0.9], [[1, 0], [0, 1]])


def test_leaks_and_poor_masks_stay_with_their_track():
    # The object is there in frames 0 to 5; in frame 4 the mask is beside it, after it leaks.
    video = video_of([(at(A, range(6)), 1)], [(along(*[A] * 4, C, A, *[A] * 4), 0.9, 1)])
    assert_same(perfect_identities(video), video)


def test_a_mask_that_does_not_cover_fills_no_gap_of_another_track():
    # (0, 9) is less than half of (0, 20).
    video = video_of([(at(A, EVERYWHERE), 1)], [(at(A, range(7)), 0.9, 1), (at((0, 9), range(7, 10)), 0.8, 1)])
    assert_same(perfect_identities(video), video)


def test_of_two_masks_that_fill_a_gap_the_better_scored_does_and_the_other_stays():
    predictions = [(at(A, range(4, 10)), 0.5, 1), (at(A, range(4)), 0.7, 1), (at((0, 18), range(4)), 0.9, 1)]
    linked = perfect_identities(video_of([(at(A, EVERYWHERE), 1)], predictions))
    # 6 frames of 20 pixels and 4 of 18; left over are the 4 frames of the second best.
    assert linked.scores.tolist() == [0.9, 0.7]
    assert linked.ious[:, 0].tolist() == pytest.approx([(6 * 20 + 4 * 18) / 200, 4 / 10])


def test_where_the_own_prediction_lies_on_its_truth_nobody_takes_its_place():
    predictions = [(at(A, range(3)), 0.9, 1), (at((0, 18), EVERYWHERE), 0.5, 1)]
    video = video_of([(at(A, EVERYWHERE), 1)], predictions)
    assert_same(perfect_identities(video), video)


def test_own_masks_elsewhere_go_along_only_where_the_truth_has_no_mask():
    predictions = [(along(*[A] * 6, *[C] * 4), 0.9, 1), (at(A, range(6, 9)), 0.8, 1)]
    linked = perfect_identities(video_of([(at(A, EVERYWHERE), 1)], predictions))
    # Nine frames on the object, and in the last the mask elsewhere: 9 * 20 of 10 * 20 + 20 pixels.
    assert linked.scores.tolist() == [0.9, 0.9]
    assert linked.ious[:, 0].tolist() == [9 / 11, 0]


def test_masks_are_not_linked_by_a_truth_of_another_category():
    video = video_of([(at(A, EVERYWHERE), 2)], [(at(A, range(5)), 0.9, 1), (at(A, range(5, 10)), 0.8, 1)])
    assert_same(perfect_identities(video), video)


def test_categories_are_not_linked_with_each_other():
    truths = [(at(A, EVERYWHERE), 1)]
    video = video_of(truths, [(at(A, range(6)), 0.9, 1), (at(A, range(6, 10)), 0.8, 2)])
    assert_same(perfect_identities(video), video)
    assert perfect_identities(perfect_categories(video)).ious.tolist() == [[1]]


def test_tracks_that_each_lie_on_one_truth_stay_as_they_are():
    truths = [(at(A, EVERYWHERE), 1), (at(B, range(2, 8)), 1), (at(C, EVERYWHERE), 2)]
    predictions = [
        (at((2, 22), range(1, 10)), 0.9, 1),
        (at((30, 45), range(3, 9)), 0.8, 1),
        (at(C, [0, 5]), 0.7, 2),
        (at((85, 99), EVERYWHERE), 0.6, 2),
    ]
    video = video_of(truths, predictions)
    assert_same(perfect_identities(video), video)


def test_without_truths_or_predictions_nothing_changes():
    for truths, predictions in (([(at(A, EVERYWHERE), 1)], []), ([], [(at(A, EVERYWHERE), 0.9, 1)])):
        video = video_of(truths, predictions)
        assert_same(perfect_identities(video), video)
        assert_same(perfect_categories(video), video)


@pytest.mark.parametrize("seed", range(10))
def test_no_mask_is_lost_and_none_is_used_twice_except_over_two_truths(seed):
    for video in tracks_of(*random_scenes(seed)):
        linked = perfect_identities(video)
        for category in np.unique(video.categories):
            before = video.areas[video.categories == category].sum(axis=0)
            after = linked.areas[linked.categories == category].sum(axis=0)
            np.testing.assert_array_equal(after, before)
        own = video.ious.max(axis=0, initial=0, where=video.categories[:, None] == video.truth_categories)
        new = linked.ious.max(axis=0, initial=0, where=linked.categories[:, None] == linked.truth_categories)
        assert (new[~video.is_crowd] >= own[~video.is_crowd] - 1e-12).all()
