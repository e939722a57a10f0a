"""Identity switches and fragmentations, drawn by hand."""

import numpy as np
import pytest

from tests.evaluation.drawn import A, B, along, at, scene, tracks_of
from vistrials.evaluation.errors.identities import IdentityCounts, count_identities, pair_by_falling_iou
from vistrials.evaluation.matching import UNMATCHED

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


def test_pairs_are_one_to_one_those_of_before_first_then_by_falling_iou():
    ious, everything = np.array([[0.9, 0.8], [0.7, 0.6]]), np.ones((2, 2), dtype=bool)
    nothing = np.full(2, UNMATCHED)
    assert pair_by_falling_iou(ious, everything, nothing).tolist() == [0, 1]
    assert pair_by_falling_iou(ious, everything, np.array([UNMATCHED, 0])).tolist() == [1, 0]
    assert pair_by_falling_iou(ious, np.array([[True, False], [True, False]]), nothing).tolist() == [0, UNMATCHED]


def pair_plainly(ious, candidates, before):
    """As `pair_by_falling_iou`, all pairs sorted."""
    pairs = [(before[g] != d, -ious[d, g], d, g) for d, g in zip(*np.nonzero(candidates), strict=True)]
    now = np.full(ious.shape[1], UNMATCHED)
    for _, _, d, g in sorted(pairs):
        if now[g] == UNMATCHED and d not in now:
            now[g] = d
    return now


@pytest.mark.parametrize("seed", range(30))
def test_pairs_are_those_of_a_sorted_list(seed):
    rng = np.random.default_rng(seed)
    D, G = rng.integers(1, 7, size=2)
    before = np.full(G, UNMATCHED)
    for _ in range(5):
        # Few values, so that many tie.
        ious, candidates = rng.integers(1, 4, size=(D, G)) / 4, rng.random((D, G)) < 0.7
        now = pair_by_falling_iou(ious, candidates, before)
        assert np.array_equal(now, pair_plainly(ious, candidates, before))
        before = now
