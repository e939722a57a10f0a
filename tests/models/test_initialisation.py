import math

import torch
from torch import nn

from tests.models.starts import assert_normal, assert_uniform, assert_zero
from vistrials.models.initialisation import kaiming_, normal_, xavier_


def test_normal_has_the_deviation_given() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(100, 50)
    normal_(layer, 0.03)
    assert_normal(layer.weight, 0.03)
    assert_zero(layer.bias)


def test_xavier_is_uniform_within_a_bound_of_both_fans() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(10, 40, 3)
    xavier_(layer)
    assert_uniform(layer.weight, math.sqrt(6 / (10 * 9 + 40 * 9)))
    assert_zero(layer.bias)


def test_kaiming_counts_the_fan_out() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(10, 40, 3)
    kaiming_(layer)
    assert_normal(layer.weight, math.sqrt(2 / (40 * 9)))
    assert_zero(layer.bias)


def test_kaiming_takes_another_fan_out() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4000, 1, 1)
    kaiming_(layer, fan_out=8)
    assert_normal(layer.weight, math.sqrt(2 / 8))
    assert_zero(layer.bias)


def test_a_layer_without_bias_may_start_too() -> None:
    for start in (xavier_, kaiming_):
        start(nn.Conv2d(2, 3, 1, bias=False))
