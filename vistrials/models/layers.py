"""Stacks of equal layers that several heads are made of."""

from torch import nn


def fully_connected(in_features: int, features: int, count: int) -> list[nn.Linear]:
    """`count` linear layers of `features` outputs, one after the other."""
    widths = [in_features] + [features] * count
    return [nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True)]


def convolutions(in_channels: int, channels: int, count: int) -> list[nn.Conv2d]:
    """`count` 3x3 convolutions of `channels` outputs that keep the size, one after the other."""
    widths = [in_channels] + [channels] * count
    return [nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths[:-1], widths[1:], strict=True)]
