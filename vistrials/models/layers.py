"""Layers that several heads are made of."""

import torch
from torch import Tensor, nn


def fully_connected(in_features: int, features: int, count: int) -> list[nn.Linear]:
    """`count` linear layers of `features` outputs, one after the other."""
    widths = [in_features] + [features] * count
    return [nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]


def convolutions(in_channels: int, channels: int, count: int) -> list[nn.Conv2d]:
    """`count` 3x3 convolutions of `channels` outputs that keep the size, one after the other."""
    widths = [in_channels] + [channels] * count
    return [nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths[:-1], widths[1:], strict=True)]


def map_of_label(maps: nn.Conv2d, x: Tensor, labels: Tensor) -> Tensor:
    """What a 1x1 convolution to one map per label gives for each row's own label; a single map serves all.

    Args: maps, C to K + 1 channels or to 1; x (n, C, h, w); labels (n,) in 0..K. Returns: (n, h, w).
    """
    if maps.out_channels == 1:
        return maps(x)[:, 0]
    weight, bias = maps.weight[labels].flatten(1), maps.bias[labels]  # type: ignore[index]
    return torch.baddbmm(bias[:, None, None], weight[:, None], x.flatten(2)).unflatten(2, x.shape[2:])[:, 0]
