"""RoI features: RoIAlign on the pyramid level that fits the RoI."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from vistrials.geometry import boxes as box_ops
from vistrials.models.precision import widen, without_autocast
from vistrials.specs.model import RoISpec

STRIDES = (4, 8, 16, 32)

# Up to this many cells, two dense matrix products per RoI beat torchvision's gather on the CPU
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
    features = widen(features)  # coordinates take the type of the features
    rois = rois.to(features.dtype)
    if features.device.type == "cpu" and features.shape[-1] * features.shape[-2] <= _MAX_SEPARABLE_CELLS:
        with without_autocast(features):
            return _align_separable(features, rois, image_index, size, stride)
    half = 0.5 * stride
    # torchvision's aligned RoIAlign puts pixel centres at half-integers and ends at x2: shift by half a cell, and end
    # at x2 + 1.
    shifted = rois + rois.new_tensor([half, half, half + 1, half + 1])
    rows = torch.cat([image_index[:, None].to(rois.dtype), shifted], dim=1)
    return roi_align(features, rows, (size, size), spatial_scale=1 / stride, sampling_ratio=2, aligned=True)


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
    extent = (end - start).clamp(min=0)
    offsets = (torch.arange(2 * size, dtype=start.dtype, device=start.device) + 0.5) / (2 * size)
    positions = start[:, None] + extent[:, None] * offsets
    outside = (positions < -1) | (positions > cells)
    positions = positions.clamp(0, cells - 1)
    # A hat function around every cell centre is linear interpolation.
    centres = torch.arange(cells, dtype=start.dtype, device=start.device)
    weights = (1 - (positions[..., None] - centres).abs()).clamp(min=0)
    weights = weights.masked_fill(outside[..., None], 0)
    return weights.reshape(len(start), size, 2, cells).mean(dim=2)
