"""Every temporal cause, drawn by hand: truths of 20 pixels over 10 frames."""

import pytest

from tests.evaluation.drawn import A, B, C, along, at, scene, tracks_of
from vistrials.evaluation.errors.causes import Fate, find_cause, frame_fates, is_spatial

ON, GAP, LATE, EARLY, LEAK, IDENTITY, NEITHER = (
    Fate.ON,
    Fate.GAP,
    Fate.LATE_START,
    Fate.EARLY_END,
    Fate.LEAK,
    Fate.IDENTITY,
    Fate.NEITHER,
)
EVERYWHERE = range(10)


def fates_of(truths, predictions):
    """Fates of the first true track and the prediction of highest score, whether spatial, and the cause."""
    data = [(masks, 1) for masks in truths]
    predicted = [(masks, 0.9 - 0.1 * place, 1) for place, masks in enumerate(predictions)]
    (video,) = tracks_of(*scene(data, predicted))
    fates = frame_fates(video, 0, 0)
    return [Fate(fate) for fate in fates], is_spatial(fates), find_cause(video, 0, 0, fates)


def test_late_start():
    # 4 of 10 frames are on: below 7 of 10, hence temporal.
    found = fates_of([at(A, EVERYWHERE)], [at(A, range(6, 10))])
    assert found == ([LATE] * 6 + [ON] * 4, False, LATE)


def test_early_end():
    found = fates_of([at(A, EVERYWHERE)], [at(A, range(4))])
    assert found == ([ON] * 4 + [EARLY] * 6, False, EARLY)


def test_gap():
    found = fates_of([at(A, EVERYWHERE)], [at(A, [0, 1, 8, 9])])
    assert found == ([ON] * 2 + [GAP] * 6 + [ON] * 2, False, GAP)


def test_leak():
    found = fates_of([at(A, range(4))], [at(A, EVERYWHERE)])
    assert found == ([ON] * 4 + [LEAK] * 6, False, LEAK)


def test_identity_the_missing_frames_are_covered_by_another_track():
    found = fates_of([at(A, EVERYWHERE)], [at(A, range(4)), at(A, range(4, 10))])
    assert found == ([ON] * 4 + [IDENTITY] * 6, False, IDENTITY)


def test_half_a_cover_is_a_cover():
    # (0, 10) of (0, 20) is an IoU of 1/2; one pixel less is none.
    assert fates_of([at(A, EVERYWHERE)], [at(A, range(4)), at((0, 10), range(4, 10))])[2] == IDENTITY
    assert fates_of([at(A, EVERYWHERE)], [at(A, range(4)), at((0, 9), range(4, 10))])[2] == EARLY


def test_identity_the_track_goes_over_to_objects_that_no_other_track_covers():
    truths = [at(A, range(4)), at(B, range(4, 7)), at(C, range(7, 10))]
    found = fates_of(truths, [along(*[A] * 4, *[B] * 3, *[C] * 3)])
    assert found == ([ON] * 4 + [IDENTITY] * 6, False, IDENTITY)


def test_a_mask_on_an_object_that_has_its_own_track_is_a_leak():
    truths = [at(A, range(4)), at(B, EVERYWHERE)]
    found = fates_of(truths, [along(*[A] * 4, *[B] * 6), at(B, EVERYWHERE)])
    assert found == ([ON] * 4 + [LEAK] * 6, False, LEAK)


def test_a_mask_beside_the_object_is_off_it():
    # (18, 38) holds 2 of the 38 pixels of either: below .1. It is no leak, for the object is there.
    found = fates_of([at(A, EVERYWHERE)], [along(*[A] * 4, *[(18, 38)] * 6)])
    assert found == ([ON] * 4 + [EARLY] * 6, False, EARLY)


def test_an_iou_of_a_tenth_is_not_yet_on():
    # 2 of 20 pixels, and 3 of 20.
    assert fates_of([at(A, EVERYWHERE)], [at((0, 2), EVERYWHERE)])[0] == [LATE] * 10
    assert fates_of([at(A, EVERYWHERE)], [at((0, 3), EVERYWHERE)])[0] == [ON] * 10


def test_frames_where_neither_exists_do_not_count():
    found = fates_of([at(A, range(2, 9))], [at(A, range(2, 6))])
    assert found == ([NEITHER] * 2 + [ON] * 4 + [EARLY] * 3 + [NEITHER], False, EARLY)


def test_spatial_is_a_part_of_the_frames_where_either_exists():
    # On in 5 of the 7 frames of the object; of all 10 it would be a half.
    assert fates_of([at(A, range(7))], [at((15, 35), range(5))])[1] is True
    assert fates_of([at(A, range(7))], [at((15, 35), range(4))])[1] is False


@pytest.mark.parametrize(("num_on", "expected"), [(6, False), (7, True)])
def test_spatial_from_seven_of_ten_frames_on(num_on, expected):
    # (15, 35) shares 5 of 35 pixels: on, but far from right.
    assert fates_of([at(A, EVERYWHERE)], [at((15, 35), range(num_on))])[1] is expected


def test_the_cause_is_the_one_that_loses_most_pixels_not_frames():
    small, large = (0, 4), (0, 40)
    # Late start: 4 frames of 4 pixels. Gap: 2 frames of 40.
    true = along(*[small] * 4, large, large, large, large, small, small)
    found = fates_of([true], [along(*[None] * 4, large, None, None, large, small, small)])
    assert found == ([LATE] * 4 + [ON, GAP, GAP, ON, ON, ON], False, GAP)


def test_pixels_that_both_hold_are_not_lost():
    # Late: twice 38 - 2 pixels, which is less than the 74 of the gap though the unions are more.
    found = fates_of([along(A, A, A, (0, 74), *[A] * 6)], [along((18, 38), (18, 38), A, None, *[A] * 6)])
    assert found == ([LATE] * 2 + [ON, GAP] + [ON] * 6, True, GAP)


def test_equal_losses_go_to_the_first_cause():
    # 3 frames are late, 3 early: late start comes first.
    found = fates_of([at(A, EVERYWHERE)], [at(A, range(3, 7))])
    assert found == ([LATE] * 3 + [ON] * 4 + [EARLY] * 3, False, LATE)
