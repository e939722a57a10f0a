"""Attention neck: pyramid features of the key frame enriched by attention to the reference frame."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from vistrials.models.initialisation import xavier_
from vistrials.models.layers import convolutions
from vistrials.models.precision import widen, without_autocast
from vistrials.specs.model import NeckSpec


class AttentionNeck(nn.Module):
    """x + gamma * attention, one module shared by all levels.

    Query = ReLU(conv1(key)), key = ReLU(conv1(reference)), value = ReLU(conv2(key)); softmax over reference cells
    without scaling. As scaled-dot-product attention it never holds the S x S matrix (944 MB at P2 of 640 x 384).
    Source: the trial "attention neck" of Exploring Attention in Video Instance Segmentation.
    """

    def __init__(self, spec: NeckSpec, channels: int) -> None:
        super().__init__()
        self.levels = frozenset(spec.levels)
        self.conv1 = _branch(channels, spec.num_convs)
        self.conv2 = _branch(channels, spec.num_convs)
        self.gamma = nn.Parameter(torch.full((1,), spec.gamma_init))

    def forward(self, key_levels: list[Tensor], reference_levels: list[Tensor]) -> list[Tensor]:
        """Both (B, C, H, W) per level -> the enriched key levels; levels that it does not serve are unchanged."""
        return [
            self._attend(x, reference) if level in self.levels else x
            for level, (x, reference) in enumerate(zip(key_levels, reference_levels, strict=True))
        ]

    def _attend(self, x: Tensor, reference: Tensor) -> Tensor:
        query, key, value = (_as_cells(widen(f)) for f in (self.conv1(x), self.conv1(reference), self.conv2(x)))
        with without_autocast(x):
            attention = scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gamma * attention.transpose(-1, -2).reshape(x.shape)


def _branch(channels: int, num_convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for conv in convolutions(channels, channels, num_convs):
        xavier_(conv)
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)


def _as_cells(features: Tensor) -> Tensor:
    # (B, 1, S, C), contiguous: with a strided last dimension PyTorch silently falls back to the explicit matrix on CPU.
    return features.flatten(2).transpose(1, 2).contiguous()[:, None]
