"""RoI features: RoIAlign on the pyramid level that fits the RoI."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from vistrials.geometry import boxes as box_ops
from vistrials.models.precision import widen, without_autocast
from vistrials.specs.model import RoISpec

STRIDES = (4, 8, 16, 32)

# Up to this many cells, two dense matrix products per RoI beat gathering on the CPU
# (forward + backward of a training step of the embedded data: 90 ms against 250 ms; equal to 7e-6 in float32).
_MAX_SEPARABLE_CELLS = 8192


def roi_features(levels: list[Tensor], boxes: list[Tensor], size: int, spec: RoISpec) -> Tensor:
    """Features of boxes, each from its level.

    Args:
        levels: pyramid from P2 on, (B, C, H, W) each.
        boxes: B tensors (n, 4), inclusive corners in pixels of the network input.
        size: output cells per side.
    Returns: (sum of n, C, size, size), images in order, never in 16 bits.
    Source: docs/method.md, section 2.6; level = floor(log2(sqrt(w h) / finest scale)), from the published Mask R-CNN
        implementation.
    """
    image_index = torch.cat([torch.full((len(b),), i, device=b.device) for i, b in enumerate(boxes)])
    rois = torch.cat(boxes)
    widths, heights = box_ops.sides(rois)
    level_index = torch.log2((widths * heights).sqrt() / spec.finest_scale_px + 1e-6).floor()
    level_index = level_index.clamp(0, spec.num_levels - 1).long()
    if not _is_separable(levels[0]):
        return _align_by_gathering(levels[: spec.num_levels], rois, image_index, level_index, size, STRIDES)
    pooled = widen(levels[0][:0]).new_zeros(len(rois), levels[0].shape[1], size, size)
    for i in range(spec.num_levels):
        rows = (level_index == i).nonzero().flatten()
        if len(rows):
            pooled = pooled.index_copy(0, rows, align(levels[i], rois[rows], image_index[rows], size, STRIDES[i]))
    return pooled


def align(features: Tensor, rois: Tensor, image_index: Tensor, size: int, stride: int) -> Tensor:
    """RoIAlign over [x1/stride, (x2 + 1)/stride], pixel centres at integers, 2 samples per bin side.

    Args: features (B, C, H, W); rois (n, 4); image_index (n,). Returns: (n, C, size, size).
    """
    if not _is_separable(features):
        only_level = torch.zeros_like(image_index)
        return _align_by_gathering([features], rois, image_index, only_level, size, (stride,))
    features = widen(features)  # coordinates take the type of the features
    with without_autocast(features):
        return _align_separable(features, rois.to(features.dtype), image_index, size, stride)


def _is_separable(features: Tensor) -> bool:
    return features.device.type == "cpu" and features.shape[-1] * features.shape[-2] <= _MAX_SEPARABLE_CELLS


def _align_by_gathering(
    levels: list[Tensor], rois: Tensor, image_index: Tensor, level_index: Tensor, size: int, strides: tuple[int, ...]
) -> Tensor:
    """Each bin as the weighted sum of the 4 x 4 cells that its samples lie between, of all levels at once.

    The cells of all levels and images are rows of one table, channels last, so that a sum runs along the channels; the
    result is (n, C, size, size) with channels last in memory.
    """
    channels = levels[0].shape[1]
    table = widen(torch.cat([level.permute(0, 2, 3, 1).reshape(-1, channels) for level in levels]))
    sizes = tuple((level.shape[2], level.shape[3]) for level in levels)
    shapes = _level_shapes(sizes, strides, len(levels[0]), rois.device)[level_index]
    first, stride, height, width = shapes.unbind(dim=1)
    first = first + image_index * height * width
    rois = rois.to(table.dtype)
    rows, row_weights = _taps(rois[:, 1] / stride, (rois[:, 3] + 1) / stride, height, size)
    columns, column_weights = _taps(rois[:, 0] / stride, (rois[:, 2] + 1) / stride, width, size)
    row_starts = first[:, None, None] + rows * width[:, None, None]
    cells = row_starts[:, :, None, :, None] + columns[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    bins = embedding_bag(
        cells.reshape(-1, 16), table, mode="sum", per_sample_weights=weights.reshape(-1, 16).to(table.dtype)
    )
    return bins.reshape(len(rois), size, size, channels).permute(0, 3, 1, 2)


@lru_cache(maxsize=32)
def _level_shapes(
    sizes: tuple[tuple[int, int], ...], strides: tuple[int, ...], num_images: int, device: torch.device
) -> Tensor:
    """Per level the row of its first cell in the table, its stride, height and width: (levels, 4) int64."""
    shapes, first = [], 0
    for (height, width), stride in zip(sizes, strides, strict=False):
        shapes.append([first, stride, height, width])
        first += num_images * height * width
    return torch.tensor(shapes, device=device)


def _taps(start: Tensor, end: Tensor, cells: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two times two cells that the two linear samples of each bin lie between, along one axis, and their weights.

    Args: start, end (n,) in cells; cells (n,), the length of the axis. Returns: (n, size, 4) int64 and floating.
    """
    positions, outside = _samples(start, end, cells[:, None], size)
    last = (cells - 1)[:, None]
    low = positions.long()
    fraction = positions - low
    weights = torch.stack([1 - fraction, fraction], dim=-1).masked_fill(outside[..., None], 0) / 2
    taps = torch.stack([low, (low + 1).minimum(last)], dim=-1)
    return taps.reshape(-1, size, 4), weights.reshape(-1, size, 4)


def _samples(start: Tensor, end: Tensor, cells: Tensor | int, size: int) -> tuple[Tensor, Tensor]:
    """Positions (n, 2 size) of two samples per bin along an axis, and which lie too far outside to count."""
    extent = (end - start).clamp(min=0)
    offsets = (torch.arange(2 * size, dtype=start.dtype, device=start.device) + 0.5) / (2 * size)
    positions = start[:, None] + extent[:, None] * offsets
    outside = (positions < -1) | (positions > cells)
    return positions.clamp(min=0).clamp(max=cells - 1), outside


def _align_separable(features: Tensor, rois: Tensor, image_index: Tensor, size: int, stride: int) -> Tensor:
    height, width = features.shape[-2:]
    channels = features.shape[1]
    along_x = _interpolation(rois[:, 0] / stride, (rois[:, 2] + 1) / stride, width, size)
    along_y = _interpolation(rois[:, 1] / stride, (rois[:, 3] + 1) / stride, height, size)
    parts, order = [], []
    for i in image_index.unique():
        rows = (image_index == i).nonzero().flatten()
        by_row = features[int(i)].permute(1, 0, 2).reshape(height, channels * width)
        lines = (along_y[rows].reshape(-1, height) @ by_row).reshape(len(rows), size * channels, width)
        bins = torch.bmm(lines, along_x[rows].transpose(1, 2))
        parts.append(bins.reshape(len(rows), size, channels, size).transpose(1, 2))
        order.append(rows)
    return torch.cat(parts)[torch.cat(order).argsort()]


def _interpolation(start: Tensor, end: Tensor, cells: int, size: int) -> Tensor:
    """Weights (n, size, cells) of the mean of two linear samples per bin along one axis."""
    positions, outside = _samples(start, end, cells, size)
    # A hat function around every cell centre is linear interpolation.
    centres = torch.arange(cells, dtype=start.dtype, device=start.device)
    weights = (1 - (positions[..., None] - centres).abs()).clamp(min=0)
    weights = weights.masked_fill(outside[..., None], 0)
    return weights.reshape(len(start), size, 2, cells).mean(dim=2)
