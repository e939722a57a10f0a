import math

import torch

from vistrials.models.anchors import base_anchors, inside, level_anchors
from vistrials.specs.model import AnchorSpec


def test_a_square_anchor_is_centred_on_its_cell() -> None:
    # Stride 4, scale 8: side 32; centre (4 - 1) / 2 = 1.5; corners 1.5 -+ (32 - 1) / 2.
    assert base_anchors(4, AnchorSpec(ratios=(1,))).tolist() == [[-14, -14, 17, 17]]


def test_ratios_are_height_over_width_at_equal_area() -> None:
    # Ratio 2: width 32 / sqrt(2) = 22.63, height 45.25; corners 1.5 -+ 10.81 and 1.5 -+ 22.13, rounded.
    wide, square, tall = base_anchors(4, AnchorSpec(ratios=(0.5, 1, 2))).tolist()
    assert wide == [-21, -9, 24, 12]
    assert square == [-14, -14, 17, 17]
    assert tall == [-9, -21, 12, 24]


def test_anchors_grow_with_stride_and_scale() -> None:
    # 16 * 3 = 48 around (16 - 1) / 2 = 7.5: 7.5 -+ 23.5.
    assert base_anchors(16, AnchorSpec(scale=3, ratios=(1,))).tolist() == [[-16, -16, 31, 31]]


def test_corners_are_rounded_and_sides_stay_within_a_pixel() -> None:
    for stride in (4, 8, 16, 32, 64):
        boxes = base_anchors(stride, AnchorSpec())
        assert torch.equal(boxes, boxes.round())
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        for (width, height), ratio in zip(sides.tolist(), (0.5, 1, 2), strict=True):
            assert abs(width - 8 * stride / math.sqrt(ratio)) <= 1
            assert abs(height - 8 * stride * math.sqrt(ratio)) <= 1


def test_a_level_lists_rows_then_columns_then_anchors() -> None:
    spec = AnchorSpec(scale=1, ratios=(1, 4))
    # Scale 1 of stride 4 around 1.5: the cell itself, 0..3; ratio 4 has width 2 and height 8: 1..2 and -2..5.
    square, tall = [0, 0, 3, 3], [1, -2, 2, 5]
    anchors = level_anchors(2, 3, 4, spec)
    moved = [(0, 0), (4, 0), (8, 0), (0, 4), (4, 4), (8, 4)]
    expected = [[x1 + x, y1 + y, x2 + x, y2 + y] for x, y in moved for x1, y1, x2, y2 in (square, tall)]
    assert anchors.tolist() == expected


def test_a_larger_level_has_the_same_anchors_and_more() -> None:
    small = {tuple(row) for row in level_anchors(3, 4, 8, AnchorSpec()).tolist()}
    large = {tuple(row) for row in level_anchors(5, 6, 8, AnchorSpec()).tolist()}
    assert small < large and len(large) == 5 * 6 * 3


def test_inside_ends_with_the_last_pixel_of_the_image() -> None:
    boxes = torch.tensor([[0, 0, 29, 19], [-1, 0, 9, 9], [0, -1, 9, 9], [0, 0, 30, 9], [0, 0, 9, 20]])
    assert inside(boxes, (20, 30)).tolist() == [True, False, False, False, False]
