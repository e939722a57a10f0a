"""A network as inference runs it: the same outputs, but for rounding, from fewer operations."""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vistrials.models.backbone import ResNet
from vistrials.models.propagation_head import PropagationHead
from vistrials.models.residual_blocks import BasicBlock, Bottleneck

_MIN_LARGE = 6 * 10**6
"""Parameters of a large network. The embedded data's has 4 million: threads gain nothing there. A frame of profile
laptop, 9 million, took 59 ms of two threads and 97 ms of one."""

Module = TypeVar("Module", bound=nn.Module)


def for_inference(model: Module) -> Module:
    """A copy in evaluation mode, batch norms folded into their convolutions, channels last in memory.

    It cannot be trained, and its parameters have other names than those in files of weights.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(model.modules()):
        # Only where convolutions and batch norms are known to follow one another as they are named: not in backbones of
        # timm, whose batch norms may hold an activation, nor in modules of the user's own.
        if isinstance(module, ResNet | BasicBlock | Bottleneck):
            _fold_children(module)
            _fold_children(getattr(module, "downsample", None))
        elif isinstance(module, PropagationHead):
            _fold_children(module.features)
    return model.to(memory_format=torch.channels_last)


def is_large(model: nn.Module) -> bool:
    """Whether a single frame is work enough for several threads to be worth it."""
    return sum(parameter.numel() for parameter in model.parameters()) >= _MIN_LARGE


def _fold_children(parent: nn.Module | None) -> None:
    children = list(parent.named_children()) if parent is not None else []
    for (conv_name, conv), (norm_name, norm) in pairwise(children):
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(parent, norm_name, nn.Identity())
