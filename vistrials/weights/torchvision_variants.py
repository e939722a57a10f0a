"""torchvision's later detectors under the names of its first Mask R-CNN: Mask R-CNN v2, Faster R-CNN on MobileNetV3."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

MOBILENET = "mobilenetv3_large_100"
"""timm's name of the network that torchvision calls mobilenet_v3_large."""

# v2 normalises after the convolutions of these parts; ours have biases in the place of norms.
_NORMED_PARTS = ("backbone.fpn.", "roi_heads.box_head.", "roi_heads.mask_head.")
_NORM_EPS = 1e-5

# Blocks per stage of timm; torchvision numbers them through, after the stem.
_BLOCKS = (1, 2, 3, 4, 2, 3, 1)
_LAST = len(_BLOCKS) - 1
_WITH_SQUEEZE = (2, 4, 5)
_BLOCK = re.compile(r"blocks\.(\d)\.(\d)\.(.+)\.(\w+)")

# Anchors at every cell of torchvision's MobileNets: three ratios, each in five sizes. Ours have one size, of 8 strides,
# which at their finest level, of stride 32, is the fourth.
_NUM_SIZES, _SIZE = 5, 3


def is_mobilenet(state: Mapping[str, Tensor]) -> bool:
    """Whether a detector's backbone is MobileNetV3."""
    return "backbone.body.0.0.weight" in state


def settings_for(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Settings that give a trial's network the form of this detector; none where they are the published ones."""
    if is_mobilenet(state):
        return (f"model.backbone={{kind: timm, name: {MOBILENET}}}",)
    if "rpn.head.conv.1.0.weight" in state:
        return ("model.rpn.num_convs=2", "model.box_head.num_convs=4", "model.box_head.num_fcs=1")
    return ()


def in_first_form(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A detector's state dict with the names and shapes that torchvision's first Mask R-CNN has for the same layers.

    v2: norms behind convolutions of FPN, box and mask head go into the convolutions, which computes the same as
    running statistics do. MobileNetV3: both levels of its FPN have stride 32; the last one stays, as the coarsest of
    four, and of the RPN's 15 anchors a cell the three of 8 strides.
    """
    state = _without_norms(state)
    if is_mobilenet(state):
        state = _with_four_levels(state)
    return {re.sub(r"^roi_heads\.box_head\.5\.", "roi_heads.box_head.fc6.", name): v for name, v in state.items()}


def mobilenet_name(timm_name: str) -> str | None:
    """torchvision's name, inside the backbone, of a tensor of timm's mobilenetv3_large_100; None where it has none."""
    layer, _, kind = timm_name.rpartition(".")
    if layer in ("conv_stem", "bn1"):
        return f"0.{0 if layer == 'conv_stem' else 1}.{kind}"
    match = _BLOCK.fullmatch(timm_name)
    if match is None:
        return None
    stage, block, layer, kind = int(match[1]), int(match[2]), match[3], match[4]
    if stage > _LAST or block >= _BLOCKS[stage]:
        return None
    number = 1 + sum(_BLOCKS[:stage]) + block
    if stage == _LAST:
        place = {"conv": "0", "bn1": "1"}.get(layer)
        return place and f"{number}.{place}.{kind}"
    place = _places(stage).get(layer)
    return place and f"{number}.block.{place}.{kind}"


def _places(stage: int) -> dict[str, str]:
    """timm's layers of a block -> torchvision's."""
    if stage == 0:  # no expansion
        return {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1.0", "bn2": "1.1"}
    places = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1"}
    if stage in _WITH_SQUEEZE:
        return places | {"se.conv_reduce": "2.fc1", "se.conv_expand": "2.fc2", "conv_pwl": "3.0", "bn3": "3.1"}
    return places | {"conv_pwl": "2.0", "bn3": "2.1"}


def _without_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions `X.0` without bias, each followed by a batch norm `X.1`, as convolutions with bias."""
    norms = [
        name.removesuffix(".1.running_var")
        for name in state
        if name.startswith(_NORMED_PARTS) and name.endswith(".1.running_var")
    ]
    folded = {
        name: value for name, value in state.items() if not name.startswith(tuple(f"{norm}.1." for norm in norms))
    }
    for norm in norms:
        weight, bias, mean, variance = (
            state[f"{norm}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = weight * torch.rsqrt(variance + _NORM_EPS)
        folded[f"{norm}.0.weight"] = state[f"{norm}.0.weight"] * factor[:, None, None, None]
        folded[f"{norm}.0.bias"] = bias - mean * factor
    return folded


def _with_four_levels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        level = re.match(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.", name)
        if level and level[2] == "0":
            continue
        if level:
            name = name.replace("_blocks.1.", "_blocks.3.")
        elif name.startswith(("rpn.head.cls_logits.", "rpn.head.bbox_pred.")):
            numbers = 4 if "bbox_pred" in name else 1
            by_size = value.unflatten(0, (-1, _NUM_SIZES, numbers))
            value = by_size[:, _SIZE].flatten(0, 1)
        found[name] = value
    return found
