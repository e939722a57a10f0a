"""Batches on their way to the network."""

import numpy as np
import torch

from vistrials.data.transforms import normalise
from vistrials.structures.frames import FramePairBatch


def batch_of(images: torch.Tensor, sizes: list[tuple[int, int]]) -> FramePairBatch:
    empty: list[torch.Tensor] = [torch.zeros(0) for _ in sizes]
    return FramePairBatch(images, images.flip(0), sizes, *([empty] * 7))


def test_every_grey_level_is_normalised_as_a_single_frame_is() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    image = torch.from_numpy(levels)
    batch = batch_of(torch.stack([image, 255 - image]), [(16, 16), (9, 12)])
    found = batch.network_images()
    assert found.dtype == torch.float32 and torch.equal(found[0], normalise(image))
    # Reference images come second, here in the other order.
    assert torch.equal(found[2], normalise(255 - image))
    assert torch.equal(found[3, :, :9, :12], normalise(image)[:, :9, :12])
    expected = torch.zeros(3, 16, 16)
    expected[:, :9, :12] = normalise(255 - image)[:, :9, :12]
    assert torch.equal(found[1], expected)
    assert batch.key_images.dtype == torch.uint8  # and is left as it is


def test_padding_of_reference_images_is_that_of_their_key_images() -> None:
    image = torch.full((3, 8, 8), 200, dtype=torch.uint8)
    found = batch_of(torch.stack([image, image]), [(8, 8), (5, 6)]).network_images()
    filled = (found != 0).all(1)
    assert [int(frame.sum()) for frame in filled] == [64, 30, 64, 30]


def test_images_that_are_normalised_already_stay() -> None:
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(batch_of(images, [(4, 4)]).network_images(), torch.cat([images, images]))


def test_integers_keep_their_type_when_boxes_change_theirs() -> None:
    moved = batch_of(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [(8, 8)]).to(torch.float64)
    assert moved.key_images.dtype == torch.uint8 and moved.boxes[0].dtype == torch.float64
