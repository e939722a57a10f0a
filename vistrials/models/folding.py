"""A network as inference runs it: the same outputs, but for rounding, from fewer operations."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_MIN_CHANNELS_LAST = 10**7
"""Parameters from which channels last are worth it; the embedded data's network has 4 million and gains nothing."""

Module = TypeVar("Module", bound=nn.Module)


def for_inference(model: Module) -> Module:
    """A copy in evaluation mode, batch norms folded into their convolutions; of a large network with channels last.

    It cannot be trained, and its parameters have other names than those in files of weights.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(model.modules()):
        _fold_children(module)
    is_large = sum(parameter.numel() for parameter in model.parameters()) >= _MIN_CHANNELS_LAST
    return model.to(memory_format=torch.channels_last) if is_large else model


def _fold_children(parent: nn.Module) -> None:
    # In ResNet's blocks as in sequences a batch norm is named right behind the convolution that it belongs to.
    children = list(parent.named_children())
    for (conv_name, conv), (norm_name, norm) in zip(children[:-1], children[1:], strict=True):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(parent, norm_name, nn.Identity())
