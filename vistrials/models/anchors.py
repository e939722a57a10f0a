"""Anchors of the RPN: inclusive boxes around every cell of every pyramid level."""

import math

import torch
from torch import Tensor

from vistrials.specs.model import AnchorSpec


def base_anchors(stride: int, spec: AnchorSpec) -> Tensor:
    """The anchors of the cell at the origin: (A, 4) float64, corners rounded to integers, one row per ratio."""
    centre = (stride - 1) / 2
    rows = []
    for ratio in spec.ratios:
        half_width = (stride * spec.scale / math.sqrt(ratio) - 1) / 2
        half_height = (stride * spec.scale * math.sqrt(ratio) - 1) / 2
        rows.append([centre - half_width, centre - half_height, centre + half_width, centre + half_height])
    return torch.tensor(rows, dtype=torch.float64).round()


def level_anchors(height: int, width: int, stride: int, spec: AnchorSpec) -> Tensor:
    """Anchors of a level of height x width cells. Returns: (height * width * A, 4) float64 by row, column, anchor."""
    y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + base_anchors(stride, spec)).reshape(-1, 4)


def inside(anchors: Tensor, size: tuple[int, int]) -> Tensor:
    """Which anchors lie wholly in an image of (height, width) before padding. Args: (N, 4). Returns: (N,) bool."""
    height, width = size
    return (anchors[:, :2] >= 0).all(dim=1) & (anchors[:, 2] < width) & (anchors[:, 3] < height)
