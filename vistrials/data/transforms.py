"""From a decoded frame and its annotations to network input: resize, normalise, flip, pad. Pure functions.

Boxes are x1, y1, x2, y2 with inclusive corners.
"""

from math import ceil, floor

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vistrials.geometry.boxes import clip
from vistrials.structures.frames import MEAN, STD

_MEAN, _STD = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
SIZE_DIVISOR = 32


def resize_shape(size: tuple[int, int], image_size_px: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Size and factor that fit a frame into a long and a short edge, keeping its ratio.

    Args:
        size: (height, width) in pixels.
        image_size_px: (long edge, short edge) in pixels.

    Returns:
        (height, width), each rounded half up, and the exact factor resized / original.
    """
    scale = min(max(image_size_px) / max(size), min(image_size_px) / min(size))
    height, width = (max(1, floor(side * scale + 0.5)) for side in size)
    return (height, width), scale


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly, without antialiasing.

    Args:
        image: uint8 (3, h, w).
        size: (height, width) in pixels.

    Returns:
        uint8 (3, height, width).

    Source: OpenCV's bilinear resize, but in floats in the place of fixed point. Halved images are equal;
    otherwise 12 % of the values differ, by one grey level.
    """
    if image.shape[1:] == size:
        return image
    if image.shape[1:] == (2 * size[0], 2 * size[1]):
        return _halve(image)
    resized = F.interpolate(image[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    return resized.add_(0.5).to(torch.uint8)


def _halve(image: Tensor) -> Tensor:
    """The mean of every 2 x 2 pixels, rounded half up: the same values, in a third of the time of the floats."""
    halved = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).reduce(2)
    return torch.from_numpy(np.array(halved)).permute(2, 0, 1)


def resize_masks(masks: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize by nearest neighbour: each row and column takes the source's at floor(index * source / target).

    Args:
        masks: (N, h, w).
        size: (height, width) in pixels.

    Returns:
        (N, height, width).
    """
    if masks.shape[1:] == size:
        return masks
    rows, columns = (_nearest(n, m) for n, m in zip(masks.shape[1:], size, strict=True))
    return masks[:, rows][:, :, columns]


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    # Two divisions, as in OpenCV: source / target alone picks another column for 854 -> 640.
    return np.minimum(np.arange(target) * (1 / (target / source)), source - 1).astype(np.intp)


def normalise(image: Tensor) -> Tensor:
    """Subtract the mean, divide by the deviation. Args: uint8 RGB (3, h, w). Returns: float32 (3, h, w)."""
    # In NumPy, like the flip: torch hands even small frames to its threads, which may be kept waiting.
    normalised = image.numpy().astype(np.float32, order="C")
    normalised -= _MEAN
    normalised /= _STD
    return torch.from_numpy(normalised)


def flip_image(image: Tensor) -> Tensor:
    """Mirror left to right. Args: (.., h, w), any dtype. Returns: a copy."""
    return torch.from_numpy(np.ascontiguousarray(image.numpy()[..., ::-1]))


def inclusive_boxes(bboxes: list[list[float]]) -> Tensor:
    """Corners of x, y, w, h boxes. Args: N lists of four. Returns: (N, 4) float32; x2 = x + w - 1."""
    boxes = torch.tensor(bboxes, dtype=torch.float64).reshape(-1, 4)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1], dim=1).to(torch.float32)


def resize_boxes(boxes: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """Multiply corners by the exact factor and clip them to the resized frame.

    Args:
        boxes: (N, 4) in pixels of the file.
        scale: resized / original.
        size: (height, width) of the resized frame.
    """
    return clip(boxes * scale, size)


def flip_boxes(boxes: Tensor, width: int) -> Tensor:
    """Mirror boxes left to right: x -> width - 1 - x. Args: boxes (N, 4); width of the frame in pixels."""
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return torch.stack([width - 1 - x2, y1, width - 1 - x1, y2], dim=1)


def padded_size(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The common size that images are padded to: the largest, rounded up to a multiple of 32.

    Args:
        sizes: (height, width) of every image of the batch.
    """
    heights, widths = zip(*sizes, strict=True)
    height, width = (ceil(max(sides) / SIZE_DIVISOR) * SIZE_DIVISOR for sides in (heights, widths))
    return height, width


def pad_alone(image: Tensor) -> Tensor:
    """An image (3, h, w) padded right and bottom with 0, as in a batch of its own: (1, 3, H, W)."""
    height, width = image.shape[-2:]
    padded_height, padded_width = padded_size([(height, width)])
    return F.pad(image, (0, padded_width - width, 0, padded_height - height))[None]
