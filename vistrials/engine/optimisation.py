"""Optimiser, and the learning rate as a pure function of the iteration."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from vistrials.specs.training import AdamWSpec, CosineSchedule, SGDSpec, StepSchedule


def build_optimizer(
    spec: SGDSpec | AdamWSpec, parameters: Iterable[nn.Parameter], fused: bool = True
) -> torch.optim.Optimizer:
    """The optimiser of all parameters that have a gradient, in one group: norms and biases decay too.

    Args:
        spec: kind and constants.
        parameters: of the model; frozen ones are left out.
        fused: one kernel per AdamW step. A gradient scaler (precision 16-mixed) cannot clip with it.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    if spec.kind == "sgd":
        return torch.optim.SGD(trainable, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    return torch.optim.AdamW(trainable, lr=spec.lr, weight_decay=spec.weight_decay, fused=fused)


def learning_rate_factor(
    schedule: StepSchedule | CosineSchedule, iteration: int, total_iters: int, epochs: int
) -> float:
    """What the optimiser's learning rate is multiplied by in one iteration.

    step: `gamma` for every milestone passed, and on top of it the linear warm-up
    1 - (1 - iteration / warmup_iters) * (1 - warmup_start); published: 1 - (1 - iteration / 500) * 2/3.
    A milestone lies at milestone / epochs of all iterations. For a training that runs its epochs that is the
    end of the milestone's epoch, as published; for one that `max_iters` cuts short (or draws out) the steps
    move in proportion, so that it still ends at the small learning rates. The warm-up keeps its length.

    cosine: a linear rise over the first `warmup_fraction` of the iterations, then half a cosine down. On the
    way up an iteration counts by its end, on the way down by its start: no step has learning rate 0.

    Args:
        schedule: of the spec.
        iteration: 0-based.
        total_iters: of the whole training.
        epochs: that the schedule's milestones refer to.

    Returns:
        A factor in (0, 1].
    """
    if schedule.kind == "step":
        passed = sum(iteration * epochs >= milestone * total_iters for milestone in schedule.milestones_epochs)
        factor = schedule.gamma**passed
        if iteration < schedule.warmup_iters:
            factor *= 1 - (1 - iteration / schedule.warmup_iters) * (1 - schedule.warmup_start)
        return factor
    warmup_iters = schedule.warmup_fraction * total_iters
    if iteration + 1 <= warmup_iters:
        return (iteration + 1) / warmup_iters
    descent = max(0.0, iteration - warmup_iters) / (total_iters - warmup_iters)
    return (1 + math.cos(math.pi * descent)) / 2
