"""Run-length masks: agreement with pixels and with pycocotools, and hostile input refused in one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from pycocotools import mask as coco_mask

from vistrials.errors import DataError
from vistrials.formats import rle
from vistrials.formats.track_masks import tight_boxes

MASKS = np_st.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def area(mask):
    return int(rle.foreground_intervals(rle.decode_runs([mask])).areas()[0])


def box(mask):
    (found,) = tight_boxes(rle.foreground_intervals(rle.decode_runs([mask]))).tolist()
    return tuple(map(int, found))


@given(MASKS, st.data())
def test_a_crop_is_encoded_as_the_mask_that_it_lies_in(crop, data):
    above, below, before, behind = (data.draw(st.integers(0, 2)) for _ in range(4))
    if data.draw(st.booleans()):
        crop = np.full_like(crop, data.draw(st.booleans()))
    mask = np.pad(crop, ((above, below), (before, behind)))
    assert rle.encode_crop(crop.T, above, before, mask.shape) == rle.encode(mask)


@pytest.mark.parametrize(("shape", "top", "left"), [((0, 3), 7, 1), ((3, 0), 1, 9), ((0, 0), 0, 0)])
def test_a_crop_without_pixels_is_an_empty_mask(shape, top, left):
    assert rle.encode_crop(np.zeros(shape, bool).T, top, left, (7, 9)) == rle.encode(np.zeros((7, 9)))


@given(np_st.arrays(np.int32, np_st.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 3)))
def test_labels_are_the_masks_of_their_values(labels):
    expected = {value: rle.encode(labels == value) for value in (1, 2, 3) if (labels == value).any()}
    assert rle.encode_labels(labels) == expected


@given(MASKS, st.data())
def test_a_union_has_the_pixels_of_any(mask, data):
    masks = [mask, *(data.draw(np_st.arrays(bool, mask.shape)) for _ in range(data.draw(st.integers(0, 2))))]
    united = rle.unite([rle.encode(each) for each in masks])
    np.testing.assert_array_equal(rle.decode(united), np.logical_or.reduce([each != 0 for each in masks]))


def test_hand_worked_mask():
    mask = np.array(
        [
            [0, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 0],
        ]
    )
    # Down the columns: 3 off, 2 on, 1 + 1 off, 2 on, 3 off.
    runs = rle.decode_runs([rle.encode(mask)])
    assert runs.lengths.tolist() == [3, 2, 2, 2, 3]
    assert area(rle.encode(mask)) == 4
    assert box(rle.encode(mask)) == (1, 0, 2, 3)


@given(MASKS)
def test_decode_undoes_encode(mask):
    encoded = rle.encode(mask)
    assert encoded["size"] == list(mask.shape)
    assert isinstance(encoded["counts"], str)
    decoded = rle.decode(encoded)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, mask)


@given(MASKS)
def test_area_and_box_are_those_of_the_pixels(mask):
    encoded = rle.encode(mask)
    assert area(encoded) == mask.sum()
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        assert box(encoded) == (0, 0, 0, 0)
    else:
        x, y = columns.min(), rows.min()
        assert box(encoded) == (x, y, columns.max() - x + 1, rows.max() - y + 1)


@given(MASKS)
def test_area_and_box_agree_with_pycocotools(mask):
    encoded = rle.encode(mask)
    assert area(encoded) == coco_mask.area(encoded)
    assert list(box(encoded)) == coco_mask.toBbox(encoded).tolist()


@given(st.lists(MASKS, max_size=6))
def test_many_masks_decode_as_each_alone(masks):
    encoded = [rle.encode(mask) for mask in masks]
    runs = rle.decode_runs(encoded)
    assert len(runs.offsets) == len(masks) + 1
    for n, (mask, one) in enumerate(zip(masks, encoded, strict=True)):
        own = runs.lengths[runs.offsets[n] : runs.offsets[n + 1]]
        assert own.tolist() == rle.decode_runs([one]).lengths.tolist()
        assert runs.sizes[n].tolist() == list(mask.shape)
    assert rle.foreground_intervals(runs).areas().tolist() == [mask.sum() for mask in masks]


@given(MASKS)
def test_all_encodings_of_a_mask_become_one(mask):
    height, width = mask.shape
    text = rle.encode(mask)
    as_bytes = {"size": text["size"], "counts": text["counts"].encode()}
    as_list = {"size": text["size"], "counts": rle.decode_runs([text]).lengths.tolist()}
    assert rle.to_rle(text, height, width) == text
    assert rle.to_rle(as_bytes, height, width) == text
    assert rle.to_rle(as_list, height, width) == text


def test_polygons_are_joined():
    # Two rectangles of 2 x 3 and 2 x 2 pixels that share nothing: 6 + 4 pixels.
    polygons = [[1, 1, 3, 1, 3, 4, 1, 4], [5, 0, 7, 0, 7, 2, 5, 2]]
    mask = rle.decode(rle.to_rle(polygons, height=6, width=8))
    expected = np.zeros((6, 8), dtype=np.uint8)
    expected[1:4, 1:3] = 1
    expected[0:2, 5:7] = 1
    np.testing.assert_array_equal(mask, expected)


def test_a_run_length_mask_keeps_its_own_size():
    encoded = rle.encode(np.ones((3, 5)))
    assert rle.to_rle(encoded, height=30, width=50)["size"] == [3, 5]


def test_large_runs_take_several_characters():
    mask = np.zeros((720, 1280), dtype=bool)
    mask[100:600, 200:1000] = True
    np.testing.assert_array_equal(rle.decode(rle.encode(mask)), mask)
    assert area(rle.encode(mask)) == 500 * 800
    assert box(rle.encode(mask)) == (200, 100, 800, 500)


def test_empty_runs_in_the_middle_change_nothing():
    assert rle.decode({"size": [2, 3], "counts": [1, 2, 0, 1, 2]}).T.ravel().tolist() == [0, 1, 1, 1, 0, 0]
    intervals = rle.foreground_intervals(rle.decode_runs([{"size": [2, 3], "counts": [1, 0, 2, 1, 2]}]))
    assert list(zip(intervals.starts, intervals.ends, strict=True)) == [(3, 4)]


def test_intervals_count_from_the_first_pixel_of_their_own_mask():
    runs = rle.decode_runs([{"size": [2, 3], "counts": counts} for counts in ([1, 2, 3], [0, 1, 4, 1], [6])])
    intervals = rle.foreground_intervals(runs)
    assert list(zip(intervals.starts, intervals.ends, strict=True)) == [(1, 3), (0, 1), (5, 6)]
    assert intervals.offsets.tolist() == [0, 1, 3, 3]


GOOD = rle.encode(np.eye(4))["counts"]


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        (None, "a segmentation is NoneType"),
        ("text", "a segmentation is str"),
        ({}, "size is None"),
        ({"size": [4], "counts": GOOD}, r"size is \[4\]"),
        ({"size": [4, 4.5], "counts": GOOD}, "two whole numbers"),
        ({"size": [0, 4], "counts": GOOD}, "expected positive sides"),
        ({"size": [-4, -4], "counts": GOOD}, "expected positive sides"),
        ({"size": [1 << 20, 1 << 20], "counts": GOOD}, "at most"),
        ({"size": [1 << 70, 1], "counts": GOOD}, "at most"),
        ({"size": [4, 4]}, "counts are NoneType"),
        ({"size": [4, 4], "counts": ""}, "empty counts"),
        ({"size": [4, 4], "counts": "é"}, "a character that no run-length string has"),
        ({"size": [4, 4], "counts": "\ud800"}, "a character that no run-length string has"),
        ({"size": [4, 4], "counts": "1 2"}, "a character that no run-length string has"),
        ({"size": [4, 4], "counts": "p"}, "a character that no run-length string has"),
        ({"size": [4, 4], "counts": "0\0"}, "a character that no run-length string has"),
        ({"size": [4, 4], "counts": GOOD + "P"}, "the string is cut short"),
        ({"size": [4, 4], "counts": "ooooooooo0"}, "beyond any image size"),
        ({"size": [4, 4], "counts": "O0"}, "negative or longer"),
        ({"size": [4, 4], "counts": GOOD[:-1]}, r"the runs sum to 15 pixels; expected 4 x 4 = 16"),
        ({"size": [4, 5], "counts": GOOD}, r"the runs sum to 16 pixels; expected 4 x 5 = 20"),
        ({"size": [4, 4], "counts": []}, "the runs sum to 0 pixels"),
        ({"size": [4, 4], "counts": [8, 9]}, "the runs sum to 17 pixels"),
        ({"size": [4, 4], "counts": [-1, 17]}, "negative or longer"),
        ({"size": [4, 4], "counts": [1 << 70, 16]}, "other things than whole numbers"),
        ({"size": [4, 4], "counts": [8.5, 7.5]}, "other things than whole numbers"),
        ({"size": [4, 4], "counts": [float("nan"), 16]}, "other things than whole numbers"),
        ({"size": [4, 4], "counts": [float("inf"), 16]}, "negative or longer"),
        ({"size": [4, 4], "counts": ["8", "8"]}, "other things than whole numbers"),
        ({"size": [4, 4], "counts": [[8, 8]]}, "other things than whole numbers"),
        ([], "without a polygon of 3 points"),
        ([[0, 0, 3, 3]], "without a polygon of 3 points"),
        ([[0, 0, 3, 3], [1, 1], []], "without a polygon of 3 points"),
        ([[0, 0, 3, 0, 3, 3], [1, 1, 2]], "a polygon has 3 numbers"),
        ([[0.0, 0.0, 0.5, 0.0, 0.5, 0.5]], "fractions of the frame; expected pixels: x times 4, y times 4"),
        ([[0, 0, 3, 3, 3, 0, 1]], "a polygon has 7 numbers"),
        ([[0, 0, 3, 3, 3, float("nan")]], "not finite"),
        ([[0, 0, 3, 3, 3, 1e30]], "not finite or beyond"),
        ([0, 0, 3, 3, 3, 0], "expected a list of numbers"),
        ([["a", 0, 3, 3, 3, 0]], "expected a list of numbers"),
        ([[[0, 0], [3, 3], [3]]], "expected a list of numbers"),
        ([None], "expected a list of numbers"),
    ],
)
def test_what_is_no_mask_is_refused_in_one_line(segmentation, expected):
    with pytest.raises(DataError, match=expected) as error:
        rle.to_rle(segmentation, 4, 4)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_a_mask_pixel_by_pixel_does_not_pass_for_polygons():
    with pytest.raises(DataError, match="4 lists of 6 zeros and ones, a mask pixel by pixel"):
        rle.to_rle([[0, 0, 1, 1, 0, 0]] * 4, 4, 6)


def test_whole_floats_are_whole_numbers():
    assert rle.to_rle({"size": [4.0, 4.0], "counts": [8.0, 8.0]}, 4, 4) == rle.to_rle(
        {"size": [4, 4], "counts": [8, 8]}, 4, 4
    )


def test_polygons_of_fewer_than_three_points_are_left_out_beside_others():
    square = [0, 0, 3, 0, 3, 3, 0, 3]
    segmentation = [[], [1, 1], square, [0, 3, 3, 0]]
    assert rle.to_rle(segmentation, 4, 4) == rle.to_rle([square], 4, 4)
    assert rle.count_strays(segmentation) == 3
    assert rle.count_strays([square]) == rle.count_strays({"size": [4, 4]}) == rle.count_strays(None) == 0


def test_the_first_bad_mask_of_many_is_named():
    good = {"size": [4, 4], "counts": GOOD}
    with pytest.raises(DataError, match="^mask 2: counts end inside"):
        rle.decode_runs([good, good, {"size": [4, 4], "counts": GOOD + "P"}, good])
    with pytest.raises(DataError, match="^frame 1!: size is None"):
        rle.decode_runs([good, {}], name=lambda index: f"frame {index}!")


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_is_a_mask_that_fills_the_image_or_refused(text):
    try:
        runs = rle.decode_runs([{"size": [5, 7], "counts": text}])
    except DataError:
        return
    assert (runs.lengths >= 0).all()
    assert runs.lengths.sum() == 5 * 7
    assert area({"size": [5, 7], "counts": text}) == coco_mask.area({"size": [5, 7], "counts": text})


@pytest.mark.parametrize("mask", [np.zeros((0, 4)), np.zeros(4), np.zeros((2, 2, 1))])
def test_an_array_that_is_no_mask_is_refused(mask):
    with pytest.raises(DataError, match="expected an array of height x width"):
        rle.encode(mask)
