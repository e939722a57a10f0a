"""Convolution neck: the attention neck's control, as large but blind to the reference frame."""

import torch
from torch import Tensor, nn

from vistrials.models.attention_neck import convolution_branch
from vistrials.specs.model import ConvolutionNeckSpec


class ConvolutionNeck(nn.Module):
    """x + gamma * f(x), f being 2 * num_convs convolutions with ReLUs; one module shared by all levels.

    The attention neck with as many convolutions a branch has the same number of parameters, of the same shapes.
    """

    def __init__(self, spec: ConvolutionNeckSpec, channels: int) -> None:
        super().__init__()
        self.levels = frozenset(spec.levels)
        self.convs = convolution_branch(channels, 2 * spec.num_convs)
        self.gamma = nn.Parameter(torch.full((1,), spec.gamma_init))

    def forward(self, key_levels: list[Tensor], reference_levels: list[Tensor]) -> list[Tensor]:
        """(B, C, H, W) per level -> the changed key levels; levels that it does not serve are unchanged."""
        return [x + self.gamma * self.convs(x) if level in self.levels else x for level, x in enumerate(key_levels)]
