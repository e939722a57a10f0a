"""Tensors that travel from the data room to the model."""

from dataclasses import dataclass

from torch import Tensor


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
    """A training sample. Boxes are x1, y1, x2, y2 with inclusive corners, in pixels of the resized frame.

    key_image, reference_image: (3, h, w) float32.
    boxes: (N, 4) float32; labels: (N,) int64 in 1..K; masks: (N, h, w) uint8, of the key frame.
    reference_boxes: (R, 4) float32; reference_labels: (R,) int64 in 1..K, of the reference frame.
    instance_match: (N,) int64; 0 where the object is absent from the reference frame, else 1 + its reference row.
    """

    key_image: Tensor
    reference_image: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor
    reference_boxes: Tensor
    reference_labels: Tensor
    instance_match: Tensor


@dataclass(slots=True)
class FramePairBatch:
    """Frame pairs padded right and bottom with 0 to one size (a multiple of 32).

    key_images, reference_images: (B, 3, H, W).
    image_sizes: B times (height, width) before padding.
    The lists have one entry per image, as in `FramePair`; masks are padded to (N, H, W).
    """

    key_images: Tensor
    reference_images: Tensor
    image_sizes: list[tuple[int, int]]
    boxes: list[Tensor]
    labels: list[Tensor]
    masks: list[Tensor]
    reference_boxes: list[Tensor]
    reference_labels: list[Tensor]
    instance_match: list[Tensor]

    def to(self, *args, **kwargs) -> "FramePairBatch":
        """The batch on another device (and, with a floating dtype given, images and boxes in that dtype)."""
        device_only = {k: v for k, v in kwargs.items() if k in ("device", "non_blocking")}

        def move(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                return tensor.to(*args, **kwargs)
            dtypes = [a for a in args if not hasattr(a, "is_floating_point")]
            return tensor.to(*dtypes, **device_only) if dtypes or device_only else tensor

        return FramePairBatch(
            move(self.key_images),
            move(self.reference_images),
            self.image_sizes,
            *([move(t) for t in ts] for ts in (self.boxes, self.labels, self.masks)),
            *([move(t) for t in ts] for ts in (self.reference_boxes, self.reference_labels, self.instance_match)),
        )
