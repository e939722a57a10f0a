"""Losses that several heads share."""

import torch
from torch import Tensor


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """0.5 d^2 / beta below beta, d - 0.5 beta from there on. Returns: the shape of the inputs."""
    difference = (prediction - target).abs()
    return torch.where(difference < beta, 0.5 * difference**2 / beta, difference - 0.5 * beta)
