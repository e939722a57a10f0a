"""A neck of one's own: each key feature moves towards the mean of the reference frame."""

import torch
from torch import Tensor, nn


class MeanNeck(nn.Module):
    """x + gain * W mean(reference), one 1x1 convolution W and one gain for each level."""

    def __init__(self, channels: int, num_levels: int, gain: float = 0.1) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(num_levels))
        self.gains = nn.Parameter(torch.full((num_levels,), gain))

    def forward(self, key_levels: list[Tensor], reference_levels: list[Tensor]) -> list[Tensor]:
        """Both (B, C, H, W) per level -> the key levels, changed."""
        means = [
            conv(level.mean(dim=(2, 3), keepdim=True)) for conv, level in zip(self.convs, reference_levels, strict=True)
        ]
        return [x + gain * mean for x, gain, mean in zip(key_levels, self.gains, means, strict=True)]
