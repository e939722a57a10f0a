"""Checks of how layers start. Tolerances are five standard errors of the sample, about one failure in two million."""

import math

from torch import Tensor


def assert_normal(weight: Tensor, std: float) -> None:
    """The numbers look like N(0, std): mean, deviation, and the share within one deviation (.683; uniform has .577)."""
    weight, n = weight.detach(), weight.numel()
    assert abs(float(weight.mean())) < 5 * std / math.sqrt(n)
    assert abs(float(weight.std()) / std - 1) < 5 / math.sqrt(2 * n)
    assert abs(float((weight.abs() < std).float().mean()) - 0.683) < 5 * math.sqrt(0.683 * 0.317 / n)


def assert_uniform(weight: Tensor, bound: float) -> None:
    """The numbers look uniform within +- bound: none beyond, some near it, and their mean and deviation."""
    weight, n, std = weight.detach(), weight.numel(), bound / math.sqrt(3)
    largest = float(weight.abs().max())
    assert bound * (1 - 15 / n) < largest <= bound * (1 + 1e-6)  # all n below: exp(-15)
    assert abs(float(weight.mean())) < 5 * std / math.sqrt(n)
    assert abs(float(weight.std()) / std - 1) < 5 / math.sqrt(2 * n)


def assert_zero(bias: Tensor) -> None:
    """All zero."""
    assert not bias.any()
