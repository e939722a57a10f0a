"""Identity switches and fragmentations, drawn by hand."""

import pytest

from tests.evaluation.drawn import A, B, along, at, scene, tracks_of
from vistrials.evaluation.errors.identities import IdentityCounts, count_identities

EVERYWHERE = range(10)


def counts(truths, predictions):
    found = count_identities(tracks_of(*scene(truths, predictions)))
    return found.switches, found.fragmentations


def test_another_track_takes_over():
    assert counts([(at(A, EVERYWHERE), 1)], [(at(A, range(5)), 0.9, 1), (at(A, range(5, 10)), 0.8, 1)]) == (1, 0)


def test_another_track_takes_over_after_a_gap():
    assert counts([(at(A, EVERYWHERE), 1)], [(at(A, range(4)), 0.9, 1), (at(A, range(6, 10)), 0.8, 1)]) == (1, 1)


def test_the_same_track_comes_back_after_a_gap():
    assert counts([(at(A, EVERYWHERE), 1)], [(at(A, [0, 1, 4, 5, 8]), 0.9, 1)]) == (0, 2)


def test_two_tracks_swap():
    truths = [(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 1)]
    assert counts(truths, [(along(*[A] * 5, *[B] * 5), 0.9, 1), (along(*[B] * 5, *[A] * 5), 0.8, 1)]) == (2, 0)


def test_an_object_that_hides_is_not_fragmented():
    assert counts([(at(A, [0, 1, 6, 7]), 1)], [(at(A, [0, 1, 6, 7]), 0.9, 1)]) == (0, 0)
    # Lost while it is there, before or after it hides.
    assert counts([(at(A, [0, 1, 2, 6, 7]), 1)], [(at(A, [0, 1, 6, 7]), 0.9, 1)]) == (0, 1)
    assert counts([(at(A, [0, 1, 6, 7, 8]), 1)], [(at(A, [0, 1, 7, 8]), 0.9, 1)]) == (0, 1)


@pytest.mark.parametrize("frames", [range(3, 10), range(5), []])
def test_a_late_start_and_an_early_end_are_no_fragments(frames):
    assert counts([(at(A, EVERYWHERE), 1)], [(at(A, frames), 0.9, 1)]) == (0, 0)


def test_a_pair_of_the_frame_before_stays_a_pair():
    # The second prediction is better from frame 5 on, the first still covers: 15 of 20 pixels.
    predictions = [(along(*[A] * 5, *[(0, 15)] * 5), 0.9, 1), (at(A, range(5, 10)), 0.8, 1)]
    assert counts([(at(A, EVERYWHERE), 1)], predictions) == (0, 0)
    # At 9 of 20 it does not any more.
    predictions[0] = (along(*[A] * 5, *[(0, 9)] * 5), 0.9, 1)
    assert counts([(at(A, EVERYWHERE), 1)], predictions) == (1, 0)


def test_another_category_does_not_take_over():
    assert counts([(at(A, EVERYWHERE), 1)], [(at(A, range(5)), 0.9, 1), (at(A, range(5, 10)), 0.8, 2)]) == (0, 0)


def test_nothing_to_count():
    assert count_identities([]) == IdentityCounts(0, 0)
