"""IoU of tracks: each rule by hand, and all of them against counted pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.building import strip
from vistrials.errors import DataError
from vistrials.evaluation.track_iou import decode_tracks, mean_nonzero, track_iou
from vistrials.formats import rle


def iou(prediction, truth):
    """The IoU of one pair, in an image of one row."""
    return float(track_iou(decode_tracks([prediction], 1, 100), decode_tracks([truth], 1, 100))[0, 0])


def test_sums_over_frames_are_divided_not_frames_averaged():
    # Frame 0: 10 shared of 10; frame 1: 20 shared of 40. The mean of frames would be (1 + 1/2) / 2.
    assert iou([strip(0, 10), strip(0, 30)], [strip(0, 10), strip(10, 40)]) == (10 + 20) / (10 + 40)


def test_a_frame_where_one_is_absent_adds_the_area_of_the_other():
    assert iou([strip(0, 10), None], [strip(0, 10), strip(0, 30)]) == 10 / (10 + 30)
    assert iou([strip(0, 10), strip(0, 30)], [strip(0, 10), None]) == 10 / (10 + 30)


def test_a_short_prediction_is_compared_over_the_common_frames():
    assert iou([strip(0, 10)], [strip(0, 20), strip(0, 50)]) == 10 / 20
    assert iou([strip(0, 10), strip(0, 50)], [strip(0, 20)]) == 10 / 20
    assert iou([], [strip(0, 20)]) == 0


def test_masks_of_different_sizes_add_nothing_to_either_sum():
    other_size = strip(0, 40, width=50)
    assert iou([strip(0, 10), other_size], [strip(0, 20), strip(0, 40)]) == 10 / 20
    # Alone, such a mask adds its own area.
    assert iou([strip(0, 10), other_size], [strip(0, 20), None]) == 10 / (20 + 40)
    # The same number of pixels is not the same size.
    assert track_iou(
        decode_tracks([[rle.encode(np.ones((2, 3)))]], 2, 3),
        decode_tracks([[rle.encode(np.ones((3, 2)))]], 2, 3),
    ).tolist() == [[0.0]]


def test_equal_masks_of_another_size_than_the_video_overlap():
    assert iou([strip(0, 10, width=50)], [strip(0, 20, width=50)]) == 10 / 20


def test_an_empty_union_is_no_overlap():
    assert iou([None], [None]) == 0
    assert iou([strip(0, 0)], [strip(0, 0)]) == 0
    assert iou([strip(0, 0)], [strip(0, 10)]) == 0


@pytest.mark.parametrize("absent", [None, [], {}])
def test_what_counts_as_absent(absent):
    (masks,) = decode_tracks([[absent, strip(0, 7)]], 1, 100)
    assert masks.areas.tolist() == [0, 7]
    assert masks.sizes.tolist() == [[0, 0], [1, 100]]


def test_without_tracks_on_one_side_the_table_is_empty():
    masks = decode_tracks([[strip(0, 10)]], 1, 100)
    assert track_iou([], masks).shape == (0, 1)
    assert track_iou(masks, []).shape == (1, 0)


def test_mean_area_leaves_out_zeros():
    (masks,) = decode_tracks([[strip(0, 10), strip(0, 0), None, strip(0, 30)]], 1, 100)
    assert masks.mean_area == (10 + 30) / 2
    assert mean_nonzero([10, 0, 30]) == (10 + 30) / 2
    assert mean_nonzero([]) == mean_nonzero([0]) == 0


def test_a_bad_mask_is_named_by_track_and_frame():
    with pytest.raises(DataError, match="^track 1 frame 2: size is None"):
        decode_tracks([[strip(0, 10)], [None, strip(0, 10), {"counts": "0"}]], 1, 100)


SIZES = [(3, 4), (4, 3), (2, 5)]


@st.composite
def pixel_tracks(draw):
    """Tracks of 0..3 frames: None or pixels, mostly of one size."""
    frames = st.none() | st.sampled_from([SIZES[0], SIZES[0], *SIZES]).flatmap(
        lambda size: st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
            lambda bits: np.array(bits).reshape(size)
        )
    )
    return draw(st.lists(st.lists(frames, max_size=3), max_size=4))


def counted_iou(one, other):
    intersection = union = 0
    for a, b in zip(one, other, strict=False):
        if a is None or b is None:
            union += sum(mask.sum() for mask in (a, b) if mask is not None)
        elif a.shape == b.shape:
            intersection += (a & b).sum()
            union += (a | b).sum()
    return intersection / union if union else 0.0


@given(pixel_tracks(), pixel_tracks())
def test_iou_is_that_of_counted_pixels(predictions, truths):
    def masks(tracks):
        return decode_tracks([[None if mask is None else rle.encode(mask) for mask in track] for track in tracks], 3, 4)

    expected = [[counted_iou(d, g) for g in truths] for d in predictions]
    assert track_iou(masks(predictions), masks(truths)).tolist() == expected
