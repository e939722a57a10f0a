"""Attention neck: pyramid features of the key frame enriched by attention to the reference frame."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

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
        self.window_cells = spec.window_cells
        self.conv1 = convolution_branch(channels, spec.num_convs)
        self.conv2 = convolution_branch(channels, spec.num_convs)
        self.gamma = nn.Parameter(torch.full((1,), spec.gamma_init), requires_grad=not spec.gamma_frozen)

    def forward(self, key_levels: list[Tensor], reference_levels: list[Tensor]) -> list[Tensor]:
        """Both (B, C, H, W) per level -> the enriched key levels; levels that it does not serve are unchanged."""
        return [
            self._attend(x, reference) if level in self.levels else x
            for level, (x, reference) in enumerate(zip(key_levels, reference_levels, strict=True))
        ]

    def _attend(self, x: Tensor, reference: Tensor) -> Tensor:
        query, key, value = (widen(features) for features in (self.conv1(x), self.conv1(reference), self.conv2(x)))
        with without_autocast(x):
            if self.window_cells is None:
                cells = scaled_dot_product_attention(_as_cells(query), _as_cells(key), _as_cells(value), scale=1.0)
                attention = cells.transpose(-1, -2).reshape(x.shape)
            else:
                attention = attention_nearby(query, key, value, self.window_cells)
        return x + self.gamma * attention


def attention_nearby(query: Tensor, key: Tensor, value: Tensor, reach: int) -> Tensor:
    """Attention, without scaling, to the cells at most `reach` rows and columns away.

    Args: query, key, value (B, C, H, W); reach 1 or more.
    Returns: (B, C, H, W). It holds (2 reach + 1)^2 scores a cell.
    """
    height, width = query.shape[-2:]
    offsets = [(dy, dx) for dy in range(2 * reach + 1) for dx in range(2 * reach + 1)]

    def shifted(padded: Tensor, dy: int, dx: int) -> Tensor:
        return padded[..., dy : dy + height, dx : dx + width]

    key, value = (pad(features, (reach,) * 4) for features in (key, value))
    is_inside = pad(query.new_ones(height, width), (reach,) * 4)
    scores = [
        (query * shifted(key, *offset)).sum(dim=1).masked_fill(shifted(is_inside, *offset) == 0, -torch.inf)
        for offset in offsets
    ]
    shares = torch.stack(scores).softmax(dim=0)
    attention = torch.zeros_like(query)
    for share, offset in zip(shares, offsets, strict=True):
        attention = attention + share[:, None] * shifted(value, *offset)
    return attention


def convolution_branch(channels: int, num_convs: int) -> nn.Sequential:
    """3x3 convolutions, each with a ReLU behind it."""
    layers: list[nn.Module] = []
    for conv in convolutions(channels, channels, num_convs):
        xavier_(conv)
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)


def _as_cells(features: Tensor) -> Tensor:
    # (B, 1, S, C), contiguous: with a strided last dimension PyTorch silently falls back to the explicit matrix on CPU.
    return features.flatten(2).transpose(1, 2).contiguous()[:, None]
