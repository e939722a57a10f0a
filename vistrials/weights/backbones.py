"""Trained backbones to start from: torchvision's ImageNet and COCO weights, or a file of torchvision's names."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.models.objprop import ObjProp
from vistrials.specs.model import ModelSpec
from vistrials.weights.torchvision_names import is_detector, torchvision_name, with_current_names

_STANDARD_WIDTH = 64


def load_backbone(model: ObjProp, source: str) -> None:
    """Put trained weights into the backbone (coco: into the FPN too).

    Args: source: imagenet, coco, random, or the path of a file with torchvision's ResNet or Mask R-CNN parameter names.
    Raises: CheckpointError: the weights cannot be had, or a named file cannot be read or does not fit.
    """
    if source != "random":
        _load(model, read_backbone(model.spec, source), source)


def read_backbone(spec: ModelSpec, source: str) -> Mapping[str, Tensor]:
    """The tensors that `load_backbone` takes, downloaded once where they are torchvision's; none for random.

    Raises: CheckpointError: as `load_backbone`, but for what fits.
    """
    if source == "random":
        return {}
    if source not in ("imagenet", "coco"):
        return _read(Path(source).expanduser())
    try:
        return _imagenet(spec) if source == "imagenet" else _coco(spec)
    except (OSError, RuntimeError, ValueError) as error:  # no connection, a damaged download, no such weights
        # Random numbers in their place would cost most of the AP, hours later and without a word.
        raise CheckpointError(
            f"init.backbone: expected {source} weights, found none here ({error}); connect once, give a file with "
            "--set init.backbone=FILE, or start from random numbers with --set init.backbone=random"
        ) from None


def _imagenet(spec: ModelSpec) -> Mapping[str, Tensor]:
    from torchvision import models

    if spec.backbone.base_width != _STANDARD_WIDTH:
        raise ValueError(f"none exist for model.backbone.base_width {spec.backbone.base_width}")
    # V1 is what the published program started from; V2 was trained by another recipe.
    chosen = models.get_model_weights(f"resnet{spec.backbone.depth}")["IMAGENET1K_V1"]
    return chosen.get_state_dict(progress=False, check_hash=True)


def _coco(spec: ModelSpec) -> Mapping[str, Tensor]:
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    if (spec.backbone.depth, spec.backbone.base_width, spec.fpn.channels) != (50, _STANDARD_WIDTH, 256):
        raise ValueError("they exist for ResNet-50 with a 256-channel FPN only")
    return MaskRCNN_ResNet50_FPN_Weights.COCO_V1.get_state_dict(progress=False, check_hash=True)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"init.backbone: {path}: expected imagenet, coco, random or a file; no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"init.backbone: {path}: expected a PyTorch or safetensors file of tensors, found {reason}"
        ) from None
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"init.backbone: {path}: expected a mapping of names to tensors, found {type(state).__name__}"
        )
    nested = state.get("state_dict")
    return nested if isinstance(nested, Mapping) else state


def _load(model: ObjProp, state: Mapping[str, Tensor], source: str) -> None:
    """A classifier's parameters into the backbone, or a detector's into backbone and FPN."""
    current = model.state_dict()
    if is_detector(state):
        state = with_current_names(state)
        parts = [name for name in current if name.startswith(("backbone.", "fpn."))]
        theirs = {name: original for name in parts if (original := torchvision_name(name)) is not None}
    else:
        theirs = {name: name.removeprefix("backbone.") for name in current if name.startswith("backbone.")}
    found = {}
    for name, original in theirs.items():
        if name.endswith("num_batches_tracked"):
            continue  # detectors store frozen batch norms, which count no batches
        if original not in state:
            depth = model.spec.backbone.depth
            raise CheckpointError(
                f"init.backbone: {source}: no {name}; expected torchvision's names of a ResNet-{depth}"
            )
        if state[original].shape != current[name].shape:
            raise CheckpointError(
                f"init.backbone: {source}: {name} expected shape {tuple(current[name].shape)}, "
                f"found {tuple(state[original].shape)}; see model.backbone.depth and base_width"
            )
        found[name] = state[original]
    model.load_state_dict(found, strict=False)
