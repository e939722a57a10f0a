"""What the losses of several heads share.

Not torch.nn.functional.smooth_l1_loss: its gradients differ in the last bit where beta is no power of two, and a
change would alter every training for nothing.
"""

import torch
from torch import Tensor


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """0.5 d^2 / beta below beta, d - 0.5 beta from there on. Returns: the shape of the inputs."""
    difference = (prediction - target).abs()
    return torch.where(difference < beta, 0.5 * difference**2 / beta, difference - 0.5 * beta)


def mean_losses(of_references: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of scalars over the reference frames, name by name; those of a single one as they are."""
    if len(of_references) == 1:
        return of_references[0]
    return {name: torch.stack([losses[name] for losses in of_references]).mean() for name in of_references[0]}
