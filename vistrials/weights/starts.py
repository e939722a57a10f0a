"""What a training starts from, in words: which weights, from where, under which licence."""

from pathlib import Path
from typing import NamedTuple

import torch

from vistrials.models.objprop import build_model
from vistrials.models.timm_backbone import import_timm
from vistrials.specs.model import ModelSpec, ResNetSpec
from vistrials.specs.training import InitSpec
from vistrials.weights import efficientnet_lite0
from vistrials.weights.files import WeightsReport, compare_tensors, read_tensors
from vistrials.weights.shipped import is_shipped, weights_file
from vistrials.weights.torchvision_variants import MOBILENET


class Start(NamedTuple):
    """Weights to start from. what: in words; origin: a file or an address; licence: as far as publishers say."""

    what: str
    origin: str
    licence: str


SOURCES = ("imagenet", "coco", "coco_v2", "coco_320")
"""What init.backbone can mean beside random and a file."""

_COCO_RESNET = {"coco": "maskrcnn_resnet50_fpn", "coco_v2": "maskrcnn_resnet50_fpn_v2"}
_COCO_MOBILENET = {
    "coco": "fasterrcnn_mobilenet_v3_large_fpn",
    "coco_320": "fasterrcnn_mobilenet_v3_large_320_fpn",
}
_UNKNOWN_LICENCE = "the file's own, which vistrials cannot tell"


def describe_starts(init: InitSpec, model: ModelSpec) -> list[Start]:
    """Everything that a training starts from, in the order in which it is loaded; asks no server.

    A trial to start from (init.from) is named, but what that one starts from is not looked up.
    """
    if init.weights is not None:
        path = weights_file(init.weights)
        licence = "Apache-2.0 (vistrials)" if is_shipped(init.weights) else _UNKNOWN_LICENCE
        start = Start("all that fits of a network's weights", str(path), licence)
        if not path.is_file():
            return [start._replace(origin=f"{path} (no such file)")]
        return [start] if holds_backbone(path, model) else [start, describe_backbone(model, init.backbone)]
    if init.from_trial is not None:
        return [Start("last checkpoint of a trial, trained first", init.from_trial, "that of what it starts from")]
    return [describe_backbone(model, init.backbone)]


def describe_backbone(model: ModelSpec, source: str) -> Start:
    """What init.backbone means for a network, whose heads then start from random numbers."""
    backbone = model.backbone
    if source == "random":
        return Start("random numbers", "init.backbone: random", "none needed")
    if source not in SOURCES:
        return Start("backbone of a file", source, _UNKNOWN_LICENCE)
    if source != "imagenet":
        detector = coco_detector(model, source)
        if detector is None:
            return Start(f"{source} weights", "nowhere: there are none for this backbone", "")
        return _of_torchvision(f"backbone and FPN of {detector}, COCO (COCO_V1)")
    if isinstance(backbone, ResNetSpec):
        return _of_torchvision(f"ResNet-{backbone.depth}, ImageNet-1k (IMAGENET1K_V1)")
    if backbone.name == efficientnet_lite0.NETWORK:
        path = efficientnet_lite0.find_package()
        origin = str(path) if path else f"not installed: {efficientnet_lite0.INSTALL}"
        what = f"EfficientNet-Lite0, ImageNet-1k, of the package {efficientnet_lite0.PACKAGE}"
        return Start(what, origin, efficientnet_lite0.LICENCE)
    config = import_timm().get_pretrained_cfg(backbone.name)
    if config is None or not (config.hf_hub_id or config.url):
        return Start(f"ImageNet weights of {backbone.name}", "nowhere: timm has none", "")
    name = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    origin = f"huggingface.co/{config.hf_hub_id}, kept in its cache" if config.hf_hub_id else config.url
    return Start(f"{name} of timm", origin, config.license or "not told by timm")


def coco_detector(model: ModelSpec, source: str) -> str | None:
    """The detector of torchvision that a source of COCO weights means for a network; None where there is none."""
    backbone = model.backbone
    if isinstance(backbone, ResNetSpec):
        known = _COCO_RESNET if (backbone.depth, backbone.base_width) == (50, 64) else {}
    else:
        known = _COCO_MOBILENET if backbone.name.split(".")[0] == MOBILENET else {}
    return known.get(source)


def _of_torchvision(what: str) -> Start:
    return Start(what, "torchvision: download.pytorch.org, kept in torch's cache", "BSD-3-Clause (torchvision)")


def holds_backbone(weights: Path, model: ModelSpec) -> bool:
    """Whether a file of weights fills any of a network's backbone; where not, init.backbone does.

    Raises:
        CheckpointError: missing or damaged file.
    """
    with torch.device("meta"):  # shapes are all that is needed, and class layers are not looked at
        expected = build_model(model, num_categories=1).state_dict()
    return fills_backbone(compare_tensors(read_tensors(weights), expected))


def fills_backbone(report: WeightsReport) -> bool:
    """Whether any tensor of the backbone was loaded."""
    return any(name.startswith("backbone.") for name in report.loaded)
