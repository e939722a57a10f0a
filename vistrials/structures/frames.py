"""Tensors that travel from the data to the model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the red, green and blue of photographs, 0 to 255: what a network expects to be subtracted and divided by."""


@dataclass(slots=True)
class Frame:
    """A frame ready for the network.

    image: (3, h, w) float32, resized and normalised, not padded.
    scale: resized size / original size, as one factor for both axes.
    original_size: (height, width) in pixels of the file.
    """

    image: Tensor
    scale: float
    original_size: tuple[int, int]


@dataclass(slots=True)
class FramePair:
    """A key frame with one of its reference frames.

    Boxes are x1, y1, x2, y2 with inclusive corners, in pixels of the resized frame.


    key_image, reference_image: (3, h, w) uint8 RGB.
    boxes: (N, 4) float32; labels: (N,) int64 in 1..K; masks: (N, h, w) uint8, of the key frame.
    reference_boxes: (R, 4) float32; reference_labels: (R,) int64 in 1..K, of the reference frame.
    reference_objects: (R,) int64, which of the objects 0, 1, ... that the reference frames of a key frame show.
    instance_match: (N,) int64; 0 where the object is absent from the reference frame, else 1 + its reference row.
    """

    key_image: Tensor
    reference_image: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor
    reference_boxes: Tensor
    reference_labels: Tensor
    reference_objects: Tensor
    instance_match: Tensor


@dataclass(slots=True)
class FramePairBatch:
    """Key frames with M reference frames each, padded right and bottom to one size (a multiple of 32).

    key_images (B, 3, H, W), reference_images (M B, 3, H, W): uint8 as they were loaded, a quarter of the bytes on the
        way to a device; floating-point ones are normalised already, with padding of 0.
    image_sizes: B times (height, width) before padding.
    The lists have one entry per image, as in `FramePair`; masks are padded to (N, H, W). What is of reference frames,
    instance_match too, has M B entries: those of the first one of every key frame, then those of the second, and so on.
    """

    key_images: Tensor
    reference_images: Tensor
    image_sizes: list[tuple[int, int]]
    boxes: list[Tensor]
    labels: list[Tensor]
    masks: list[Tensor]
    reference_boxes: list[Tensor]
    reference_labels: list[Tensor]
    reference_objects: list[Tensor]
    instance_match: list[Tensor]

    @property
    def num_references(self) -> int:
        """M, reference frames of each key frame."""
        return len(self.reference_images) // len(self.key_images)

    def by_reference(self) -> "list[FramePairBatch]":
        """M batches, in each of which the key frames have one reference frame."""
        count = len(self.key_images)
        return [
            replace(
                self,
                reference_images=self.reference_images[first : first + count],
                reference_boxes=self.reference_boxes[first : first + count],
                reference_labels=self.reference_labels[first : first + count],
                reference_objects=self.reference_objects[first : first + count],
                instance_match=self.instance_match[first : first + count],
            )
            for first in range(0, len(self.reference_images), count)
        ]

    def network_images(self) -> Tensor:
        """Key, then reference images, ((1 + M) B, 3, H, W), as the network takes them: normalised, padding 0."""
        images = torch.cat([self.key_images, self.reference_images])
        if images.is_floating_point():
            return images
        images = images.to(torch.float32)
        for channel, mean, std in zip(images.unbind(1), MEAN, STD, strict=True):
            # By a tensor: a number, a GPU would multiply by its reciprocal.
            channel.sub_(mean).div_(torch.full((), std, device=images.device))
        for image, (height, width) in zip(images, self.image_sizes * (1 + self.num_references), strict=True):
            image[:, height:] = 0
            image[:, :, width:] = 0
        return images

    def pin_memory(self) -> "FramePairBatch":
        """The batch in memory from which a GPU fetches it while the host goes on."""
        return self._changed(lambda tensor: tensor.pin_memory())

    def to(self, *args: Any, **kwargs: Any) -> "FramePairBatch":
        """The batch on another device (and, with a floating dtype given, images and boxes in that dtype).

        Pinned tensors travel while the host goes on.
        """

        def move(tensor: Tensor) -> Tensor:
            if tensor.is_pinned():
                kwargs.setdefault("non_blocking", True)
            if tensor.is_floating_point():
                return tensor.to(*args, **kwargs)
            dtypes = [a for a in args if not hasattr(a, "is_floating_point")]
            device_only = {k: v for k, v in kwargs.items() if k in ("device", "non_blocking")}
            return tensor.to(*dtypes, **device_only) if dtypes or "device" in device_only else tensor

        return self._changed(move)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "FramePairBatch":
        """With another tensor in the place of each."""
        return FramePairBatch(
            change(self.key_images),
            change(self.reference_images),
            self.image_sizes,
            *([change(t) for t in ts] for ts in (self.boxes, self.labels, self.masks)),
            *([change(t) for t in ts] for ts in (self.reference_boxes, self.reference_labels)),
            *([change(t) for t in ts] for ts in (self.reference_objects, self.instance_match)),
        )
