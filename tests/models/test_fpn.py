import math

import torch
from torch import nn

from tests.models.starts import assert_uniform, assert_zero
from vistrials.models.fpn import FPN
from vistrials.specs.model import FPNSpec


def identity_fpn(num_levels: int = 5) -> FPN:
    """One channel; each convolution passes its centre on, so that a level is the sum of its stage and those above."""
    fpn = FPN(FPNSpec(channels=1, num_levels=num_levels), [1, 1, 1, 1])
    for module in fpn.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            middle = module.kernel_size[0] // 2
            module.weight.data[0, 0, middle, middle] = 1
    return fpn


def stages(*values: float) -> list[torch.Tensor]:
    """Constant maps of 8 x 8, 4 x 4, 2 x 2 and 1 x 1 cells."""
    return [torch.full((1, 1, 8 >> i, 8 >> i), value) for i, value in enumerate(values)]


def test_each_level_adds_the_coarser_ones() -> None:
    levels = identity_fpn()(stages(1000.0, 100.0, 10.0, 1.0))
    assert [level.mean().item() for level in levels] == [1111, 111, 11, 1, 1]
    assert [tuple(level.shape[-2:]) for level in levels] == [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]


def test_coarse_cells_are_repeated_not_interpolated() -> None:
    maps = stages(0.0, 0.0, 0.0, 0.0)
    maps[2][0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    level = identity_fpn()(maps)[1][0, 0]
    assert level.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_the_fifth_level_is_every_second_cell_of_the_fourth() -> None:
    maps = [torch.zeros(1, 1, 32 >> i, 32 >> i) for i in range(4)]
    maps[3][0, 0] = torch.arange(16.0).reshape(4, 4)
    levels = identity_fpn()(maps)
    assert levels[4][0, 0].tolist() == [[0, 2], [8, 10]]
    assert len(identity_fpn(num_levels=4)(maps)) == 4


def test_no_activation_cuts_negative_values() -> None:
    assert [level.mean().item() for level in identity_fpn()(stages(-1.0, -2.0, -3.0, -4.0))] == [-10, -9, -7, -4, -4]


def test_convolutions_are_1x1_and_3x3_and_start_uniform_with_zero_bias() -> None:
    torch.manual_seed(0)
    convs = [m for m in FPN(FPNSpec(channels=40), [8, 16, 24, 32]).modules() if isinstance(m, nn.Conv2d)]
    lateral, output = ([c for c in convs if c.kernel_size == (k, k)] for k in (1, 3))
    assert [c.in_channels for c in lateral] == [8, 16, 24, 32] and len(output) == 4 and len(convs) == 8
    for conv in convs:
        area = conv.kernel_size[0] ** 2
        assert_uniform(conv.weight, math.sqrt(6 / ((conv.in_channels + conv.out_channels) * area)))
        assert_zero(conv.bias)
