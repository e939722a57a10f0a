import numpy as np
import pytest
import torch

from vistrials.data.transforms import (
    flip_boxes,
    flip_image,
    inclusive_boxes,
    normalise,
    pad_alone,
    padded_size,
    resize_boxes,
    resize_image,
    resize_masks,
    resize_shape,
)


@pytest.mark.parametrize(
    ("size", "limits", "expected", "scale"),
    [
        ((720, 1280), (640, 360), (360, 640), 0.5),
        ((1280, 720), (640, 360), (640, 360), 0.5),  # long and short edge, not width and height
        ((240, 432), (640, 360), (356, 640), 640 / 432),  # 240 * 1.4815 = 355.6
        ((480, 640), (640, 360), (360, 480), 0.75),  # the short edge binds
        ((360, 640), (640, 360), (360, 640), 1.0),
        ((5, 10), (5, 3), (3, 5), 0.5),  # 2.5 goes up
        ((7, 10), (5, 5), (4, 5), 0.5),  # 3.5 goes up
        ((1, 1000), (100, 100), (1, 100), 0.1),  # never 0
    ],
)
def test_resize_shape(size, limits, expected, scale):
    assert resize_shape(size, limits) == (expected, scale)


def test_bilinear_resize_by_hand():
    image = torch.tensor([[[0, 100]]], dtype=torch.uint8).expand(3, 1, 2)
    # Centres of the four pixels lie at -.25, .25, .75, 1.25 of the two; the border is repeated.
    assert resize_image(image, (1, 4))[0].tolist() == [[0, 25, 75, 100]]


def test_halving_averages_four_pixels_and_rounds_halves_up():
    image = torch.tensor([[[0, 1, 10, 20], [0, 1, 30, 41]]], dtype=torch.uint8).expand(3, 2, 4)
    assert resize_image(image, (1, 2))[2].tolist() == [[1, 25]]  # 2/4 -> 1, 101/4 = 25.25


def test_halving_gives_what_floats_give():
    image = torch.randint(0, 256, (6, 10, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = image.permute(2, 0, 1)
    floats = torch.nn.functional.interpolate(image[None].float(), size=(3, 5), mode="bilinear")[0]
    assert torch.equal(resize_image(image, (3, 5)), floats.add(0.5).to(torch.uint8))


def test_no_antialiasing():
    image = torch.zeros(3, 1, 9, dtype=torch.uint8)
    image[..., 4] = 90
    # Centres at 1, 4, 7: the middle one reads just one pixel.
    assert resize_image(image, (1, 3))[0].tolist() == [[0, 90, 0]]


def test_a_frame_of_the_right_size_is_passed_on():
    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    assert resize_image(image, (4, 6)) is image


def test_nearest_resize_of_masks():
    mask = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert resize_masks(mask, (1, 2)).tolist() == [[[1, 2]]]  # columns floor(0), floor(1.5); row floor(0)
    assert resize_masks(mask, (4, 3)).tolist() == [[[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]]


def test_nearest_resize_picks_the_column_that_opencv_picks():
    # 320 * 854 / 640 is exactly 427, which OpenCV's arithmetic misses by one rounding error.
    columns = np.arange(854) % 251
    resized = resize_masks(columns.astype(np.uint8)[None, None], (1, 640))[0, 0]
    assert resized[320] == 426 % 251
    assert resized[319] == 425 % 251  # 425.66
    assert resized[639] == 852 % 251  # 852.67


def test_normalise_per_channel():
    image = torch.tensor([[[0, 255]], [[0, 255]], [[0, 255]]], dtype=torch.uint8)
    expected = [
        [(0 - 123.675) / 58.395, (255 - 123.675) / 58.395],
        [(0 - 116.28) / 57.12, (255 - 116.28) / 57.12],
        [(0 - 103.53) / 57.375, (255 - 103.53) / 57.375],
    ]
    assert normalise(image).dtype == torch.float32
    torch.testing.assert_close(normalise(image)[:, 0], torch.tensor(expected))


def test_boxes_are_inclusive():
    assert inclusive_boxes([[4, 6, 10, 20], [0, 0, 1, 1]]).tolist() == [[4, 6, 13, 25], [0, 0, 0, 0]]
    assert inclusive_boxes([]).shape == (0, 4)


def test_boxes_scale_by_the_factor_and_are_clipped_to_the_last_pixel():
    boxes = torch.tensor([[10.0, 4, 30, 8], [-6, 2, 100, 200]])
    # The factor is .3, though the frame's width went from 101 to 30 (30 / 101 = .297).
    scaled = resize_boxes(boxes, 0.3, (16, 30))
    torch.testing.assert_close(scaled, torch.tensor([[3.0, 1.2, 9, 2.4], [0, 0.6, 29, 15]]))


def test_flip_maps_a_box_as_its_pixels():
    mask = torch.zeros(1, 6, 10, dtype=torch.uint8)
    mask[0, 2:4, 1:4] = 1
    flipped = flip_image(mask)[0]
    columns = flipped.any(0).nonzero().flatten()
    box = flip_boxes(torch.tensor([[1.0, 2, 3, 3]]), 10)[0]
    assert box.tolist() == [6, 2, 8, 3]
    assert [columns.min().item(), columns.max().item()] == [6, 8]
    torch.testing.assert_close(flip_boxes(box[None], 10)[0], torch.tensor([1.0, 2, 3, 3]))


def test_padded_size_is_the_largest_up_to_a_multiple_of_32():
    assert padded_size([(356, 640)]) == (384, 640)
    assert padded_size([(356, 640), (640, 360)]) == (640, 640)
    assert padded_size([(32, 33)]) == (32, 64)


def test_an_image_alone_is_padded_right_and_below():
    padded = pad_alone(torch.ones(3, 33, 40))
    assert padded.shape == (1, 3, 64, 64)
    assert padded[0, :, :33, :40].min() == 1 and padded.sum() == 3 * 33 * 40
