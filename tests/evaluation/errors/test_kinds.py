"""Every kind of error, drawn by hand."""

import numpy as np
import pytest

from tests.evaluation.building import ground_truth, prediction, truth
from tests.evaluation.drawn import A, B, C, at, random_scenes, scene, tracks_of
from vistrials.evaluation.errors.causes import CAUSES, Fate
from vistrials.evaluation.errors.kinds import Kind, best_truths, find_errors
from vistrials.evaluation.matching import UNMATCHED
from vistrials.evaluation.youtube_vis import evaluate

EVERYWHERE = range(10)
T = 10


def errors_of(truths, predictions):
    return find_errors(tracks_of(*scene(truths, predictions)))


def kinds_at_50(errors):
    return [Kind(kind) for kind in errors.kinds[0]]


def test_right():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 1)])
    assert errors.kinds.tolist() == [[Kind.RIGHT]] * T
    assert not errors.is_missed.any()


def test_classification():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 2)])
    assert errors.kinds.tolist() == [[Kind.CLASSIFICATION]] * T
    # The truth is not missed: the error aims at it.
    assert errors.targets.tolist() == [[0]] * T and not errors.is_missed.any()


def test_duplicate():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 1), (at(A, EVERYWHERE), 0.8, 1)])
    assert errors.kinds.tolist() == [[Kind.RIGHT, Kind.DUPLICATE]] * T


def test_half_an_overlap_is_a_duplicate_at_50_and_a_localisation_error_above():
    # (0, 10) is half of (0, 20), whose prediction of higher score has taken it.
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 1), (at((0, 10), EVERYWHERE), 0.8, 1)])
    assert errors.kinds[:, 1].tolist() == [Kind.DUPLICATE] + [Kind.SPATIAL] * 9


def test_half_an_overlap_is_a_classification_error_at_50_and_both_above():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at((0, 10), EVERYWHERE), 0.9, 2)])
    assert errors.kinds[:, 0].tolist() == [Kind.CLASSIFICATION] + [Kind.BOTH] * 9


def test_spatial():
    # (12, 32) shares 8 of 32 pixels with (0, 20) in every frame.
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at((12, 32), EVERYWHERE), 0.9, 1)])
    assert errors.kinds.tolist() == [[Kind.SPATIAL]] * T
    assert not errors.is_missed.any()


def test_temporal_and_its_cause():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, [0, 1, 8, 9]), 0.9, 1)])
    assert errors.kinds.tolist() == [[Kind.TEMPORAL]] * T
    assert errors.causes.tolist() == [Fate.GAP]


def test_both():
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at((12, 32), EVERYWHERE), 0.9, 2)])
    assert errors.kinds.tolist() == [[Kind.BOTH]] * T
    # Nobody knows what such a prediction aims at: the truth is missed.
    assert errors.is_missed.tolist() == [[True]] * T


def test_background_below_a_tenth():
    # 2 pixels of 38, and 4 of 36.
    for place, expected in (((18, 38), Kind.BACKGROUND), ((16, 36), Kind.SPATIAL)):
        errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(place, EVERYWHERE), 0.9, 1)])
        assert kinds_at_50(errors) == [expected]


@pytest.mark.parametrize(("category", "kind"), [(1, Kind.TEMPORAL), (2, Kind.BOTH)])
def test_a_tenth_is_no_background(category, kind):
    # One frame of ten.
    errors = errors_of([(at(A, EVERYWHERE), 1)], [(at(A, [4]), 0.9, category)])
    assert kinds_at_50(errors) == [kind]


def test_of_truths_overlapped_alike_the_last_is_the_best():
    places, ious = best_truths(
        np.array([[0.5, 0.5, 0.2], [0.0, 0.3, 0.9]]), np.array([[True] * 3, [True, True, False]])
    )
    assert (places.tolist(), ious.tolist()) == ([1, 1], [0.5, 0.3])
    places, ious = best_truths(np.array([[0.5, 0.6]]), np.zeros((1, 2), dtype=bool))
    assert (places.tolist(), ious.tolist()) == ([UNMATCHED], [0])


def test_miss():
    errors = errors_of([(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 1)])
    assert errors.is_missed.tolist() == [[False, True]] * T


def test_above_50_the_line_between_right_and_wrong_moves():
    # (0, 16) is .8 of (0, 20): enough for .50 to .80, seven thresholds.
    right = errors_of([(at(A, EVERYWHERE), 1)], [(at((0, 16), EVERYWHERE), 0.9, 1)])
    assert right.kinds[:, 0].tolist() == [Kind.RIGHT] * 7 + [Kind.SPATIAL] * 3
    mistaken = errors_of([(at(A, EVERYWHERE), 1)], [(at((0, 16), EVERYWHERE), 0.9, 2)])
    assert mistaken.kinds[:, 0].tolist() == [Kind.CLASSIFICATION] * 7 + [Kind.BOTH] * 3
    assert mistaken.is_missed[:, 0].tolist() == [False] * 7 + [True] * 3


def test_the_own_category_comes_first():
    # .25 with a truth of its category, 1 with one of another: localisation.
    truths = [(at((8, 40), EVERYWHERE), 1), (at((32, 40), EVERYWHERE), 2)]
    assert kinds_at_50(errors_of(truths, [(at((32, 40), EVERYWHERE), 0.9, 1)])) == [Kind.SPATIAL]


def test_what_lies_on_a_crowd_is_no_error():
    data = ground_truth([truth(at(A, EVERYWHERE), crowd=1), truth(at(B, EVERYWHERE))], num_categories=2, num_frames=10)
    predictions = [prediction(at(A, EVERYWHERE), 0.9), prediction(at(A, EVERYWHERE), 0.8, category=2)]
    errors = find_errors(tracks_of(data, predictions))
    # In another category the crowd is not there, and no truth either.
    assert kinds_at_50(errors) == [Kind.IGNORED, Kind.BACKGROUND]
    assert errors.is_missed[0].tolist() == [False, True]


def test_targets_count_on_over_videos():
    data = ground_truth(
        [truth(at(A, EVERYWHERE), video=1), truth(at(B, EVERYWHERE), video=2), truth(at(C, EVERYWHERE), video=2)],
        num_videos=2,
        num_frames=10,
    )
    errors = find_errors(tracks_of(data, [prediction(at(C, EVERYWHERE), 0.9, video=2)]))
    assert errors.targets[0].tolist() == [2]
    assert errors.is_missed[0].tolist() == [True, True, False]


def test_nothing_at_all():
    errors = find_errors(tracks_of(ground_truth([]), []))
    assert errors.kinds.shape == (T, 0) and errors.is_missed.shape == (T, 0)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_right_is_what_ap_says_and_every_temporal_error_has_a_cause(seed):
    data, predictions = random_scenes(seed)
    errors = find_errors(tracks_of(data, predictions))
    records = evaluate(data, predictions).matches
    num_right = sum(((r.matched_truths[:, 0] >= 0) & ~r.ignored[:, 0]).sum(axis=1) for r in records)
    np.testing.assert_array_equal((errors.kinds == Kind.RIGHT).sum(axis=1), num_right)
    is_temporal = (errors.kinds == Kind.TEMPORAL).any(axis=0)
    assert set(errors.causes[is_temporal].tolist()) <= set(CAUSES)


def test_random_scenes_hold_every_kind_and_cause():
    found = [find_errors(tracks_of(*random_scenes(seed))) for seed in range(40)]
    assert {Kind(k) for errors in found for k in np.unique(errors.kinds)} == set(Kind)
    causes = {Fate(c) for e in found for c in np.unique(e.causes[(e.kinds == Kind.TEMPORAL).any(axis=0)])}
    assert causes == set(CAUSES)
    assert any(errors.is_missed.any() for errors in found)
