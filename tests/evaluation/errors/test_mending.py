"""What AP gains by mending, as arithmetic; and that it never loses."""

import numpy as np
import pytest

from tests.evaluation.drawn import A, B, at, random_scenes, scene, tracks_of
from vistrials.evaluation.average_precision import NOT_COUNTED
from vistrials.evaluation.errors.ap import Score, compute_ap, score_videos
from vistrials.evaluation.errors.causes import CAUSES
from vistrials.evaluation.errors.kinds import WRONG, Kind, find_errors
from vistrials.evaluation.errors.mending import mend

EVERYWHERE = range(10)
RIGHT_OF_A, RIGHT_OF_B = at(A, EVERYWHERE), at(B, EVERYWHERE)
TWO_TRUTHS = [(RIGHT_OF_A, 1), (RIGHT_OF_B, 1)]

HALF = 51 / 101
"""AP if the first prediction is right, of two truths, and no other: 51 of the 101 points of recall read 1."""


def ap50(truths, predictions, kinds=(), misses=False):
    """AP at IoU .5 with these kinds mended."""
    errors = find_errors(tracks_of(*scene(truths, predictions)))
    mended = np.isin(errors.kinds, kinds)
    return Score.of(compute_ap(mend(errors, mended, [1, 2], misses=misses))).AP50


def test_a_localisation_error_becomes_right():
    for masks, kind in ((at((42, 62), EVERYWHERE), Kind.SPATIAL), (at(B, range(4)), Kind.TEMPORAL)):
        predictions = [(RIGHT_OF_A, 0.9, 1), (masks, 0.8, 1)]
        assert ap50(TWO_TRUTHS, predictions) == pytest.approx(HALF)
        assert ap50(TWO_TRUTHS, predictions, [kind]) == pytest.approx(1)


def test_a_duplicate_is_taken_out():
    predictions = [(RIGHT_OF_A, 0.9, 1), (RIGHT_OF_A, 0.8, 1), (RIGHT_OF_B, 0.7, 1)]
    assert ap50(TWO_TRUTHS, predictions) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert ap50(TWO_TRUTHS, predictions, [Kind.DUPLICATE]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("masks", "category", "kind"), [(at((42, 62), EVERYWHERE), 2, Kind.BOTH), (at((90, 99), [0]), 1, Kind.BACKGROUND)]
)
def test_both_and_background_are_taken_out(masks, category, kind):
    # Category 2 has a truth of its own, which comes second there; so does the one of category 1.
    truths = [(RIGHT_OF_B, 1), (RIGHT_OF_A, 2)]
    predictions = [(masks, 0.9, category), (RIGHT_OF_B, 0.8, 1), (RIGHT_OF_A, 0.7, 2)]
    assert ap50(truths, predictions) == pytest.approx((1 + 1 / 2) / 2)
    assert ap50(truths, predictions, [kind]) == pytest.approx(1)


def test_a_classification_error_moves_to_the_category_of_its_truth():
    # Category 1 has found nothing; in category 2 the first of two is wrong.
    truths = [(RIGHT_OF_A, 1), (RIGHT_OF_B, 2)]
    predictions = [(RIGHT_OF_A, 0.9, 2), (RIGHT_OF_B, 0.8, 2)]
    assert ap50(truths, predictions) == pytest.approx((0 + 1 / 2) / 2)
    assert ap50(truths, predictions, [Kind.CLASSIFICATION]) == pytest.approx(1)


def test_of_several_that_hold_a_truth_the_best_scored_stays():
    truths = [(RIGHT_OF_A, 1)]
    # Mended, the fragment of score .9 takes the truth, and the one that was right would be a duplicate.
    predictions = [(at(A, range(4)), 0.9, 1), (RIGHT_OF_A, 0.8, 1)]
    assert ap50(truths, predictions) == pytest.approx(1 / 2)
    assert ap50(truths, predictions, [Kind.TEMPORAL]) == pytest.approx(1)
    # Mended, a fragment of lower score finds nothing that was not found.
    predictions = [(RIGHT_OF_A, 0.9, 1), (at(A, range(4)), 0.8, 1)]
    assert ap50(TWO_TRUTHS, predictions, [Kind.TEMPORAL]) == pytest.approx(HALF)
    # The fragments of lower score go.
    predictions = [(RIGHT_OF_A, 0.9, 1), (at(A, range(4)), 0.8, 1), (at(A, range(3)), 0.7, 1), (RIGHT_OF_B, 0.6, 1)]
    assert ap50(TWO_TRUTHS, predictions) == pytest.approx((51 + 50 * 2 / 4) / 101)
    assert ap50(TWO_TRUTHS, predictions, [Kind.TEMPORAL]) == pytest.approx(1)


def test_misses_are_taken_off_the_truths():
    assert ap50(TWO_TRUTHS, [(RIGHT_OF_A, 0.9, 1)]) == pytest.approx(HALF)
    assert ap50(TWO_TRUTHS, [(RIGHT_OF_A, 0.9, 1)], misses=True) == pytest.approx(1)
    assert ap50(TWO_TRUTHS, [], misses=True) == pytest.approx(1)
    # What is wrong stays wrong.
    assert ap50(TWO_TRUTHS, [(at((90, 99), [0]), 0.9, 1)], misses=True) == 0


def test_gains_do_not_add_up():
    predictions = [(RIGHT_OF_A, 0.9, 1), (RIGHT_OF_B, 0.8, 2), (at((42, 62), EVERYWHERE), 0.7, 1)]
    assert ap50(TWO_TRUTHS, predictions) == pytest.approx(HALF)
    for kinds in ([Kind.SPATIAL], [Kind.CLASSIFICATION], [Kind.SPATIAL, Kind.CLASSIFICATION]):
        assert ap50(TWO_TRUTHS, predictions, kinds) == pytest.approx(1)


def test_without_mending_it_is_ap():
    for seed in range(10):
        data, predictions = random_scenes(seed)
        videos = tracks_of(data, predictions)
        errors = find_errors(videos)
        ap = compute_ap(mend(errors, np.zeros(errors.kinds.shape, dtype=bool), range(1, 5)))
        assert vars(Score.of(ap)) == pytest.approx(vars(score_videos(videos, range(1, 5))), abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_mending_anything_lowers_ap_in_no_category_at_no_threshold(seed):
    errors = find_errors(tracks_of(*random_scenes(seed, num_videos=6)))
    nothing = np.zeros(errors.kinds.shape, dtype=bool)
    before = compute_ap(mend(errors, nothing, range(1, 5)))
    chosen = [errors.kinds == kind for kind in WRONG]
    chosen += [(errors.kinds == Kind.TEMPORAL) & (errors.causes == cause) for cause in CAUSES]
    rng = np.random.default_rng(seed)
    chosen += [np.isin(errors.kinds, WRONG) & (rng.random(nothing.shape) < 0.5) for _ in range(3)]
    for mended, misses in [*((mended, False) for mended in chosen), (nothing, True)]:
        after = compute_ap(mend(errors, mended, range(1, 5), misses=misses))
        assert (after >= before - 1e-12).all()
    everything = compute_ap(mend(errors, np.isin(errors.kinds, WRONG), range(1, 5), misses=True))
    np.testing.assert_allclose(everything, np.where(before == NOT_COUNTED, NOT_COUNTED, 1), atol=1e-12)
