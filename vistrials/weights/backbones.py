"""Trained backbones to start from: ImageNet and COCO weights of torchvision, timm or a package, or a file."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.models.objprop import ObjProp
from vistrials.models.timm_backbone import flat_name, import_timm
from vistrials.specs.model import ModelSpec, TimmSpec
from vistrials.weights import efficientnet_lite0
from vistrials.weights.files import read_tensors
from vistrials.weights.starts import SOURCES, coco_detector, describe_backbone
from vistrials.weights.torchvision_names import is_detector, torchvision_name, with_current_names

_STANDARD_WIDTH = 64
_TIMM_PREFIX = "backbone.network."


def load_backbone(model: ObjProp, source: str) -> str | None:
    """Put trained weights into the backbone (of a detector, such as coco: into the FPN too).

    Args: source: one of `SOURCES`, random, or the path of a file: torchvision's ResNet or one of its detectors, or for
        a network of timm a file of timm's names.
    Returns: what was loaded, from where and under which licence, in one line; None for random.
    Raises: CheckpointError: the weights cannot be had, or a named file cannot be read or does not fit.
    """
    if source == "random":
        return None
    num_loaded = _load(model, read_backbone(model.spec, source), source)
    start = describe_backbone(model.spec, source)
    return f"{num_loaded} tensors of {start.what} ({start.origin}; licence: {start.licence})"


def read_backbone(spec: ModelSpec, source: str) -> Mapping[str, Tensor]:
    """The tensors that `load_backbone` takes, downloaded once where they are no file; none for random.

    Raises: CheckpointError: as `load_backbone`, but for what fits.
    """
    if source == "random":
        return {}
    if source not in SOURCES:
        return _read(Path(source).expanduser())
    try:
        return _imagenet(spec) if source == "imagenet" else _coco(spec, source)
    except (OSError, RuntimeError, ValueError) as error:  # no connection, a damaged download, no such weights
        # Random numbers in their place would cost most of the AP, hours later and without a word.
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"init.backbone: expected {source} weights, found none here ({reason}); connect once, give a file with "
            "--set init.backbone=FILE, or start from random numbers with --set init.backbone=random"
        ) from None


def _imagenet(spec: ModelSpec) -> Mapping[str, Tensor]:
    if isinstance(spec.backbone, TimmSpec):
        return _timm(spec.backbone)
    from torchvision import models

    if spec.backbone.base_width != _STANDARD_WIDTH:
        raise ValueError(f"none exist for model.backbone.base_width {spec.backbone.base_width}")
    # V1 is what the published program started from; V2 was trained by another recipe.
    chosen = models.get_model_weights(f"resnet{spec.backbone.depth}")["IMAGENET1K_V1"]
    return chosen.get_state_dict(progress=False, check_hash=True)


def _timm(spec: TimmSpec) -> Mapping[str, Tensor]:
    """A classifier's tensors by timm's names: of the package, or of timm's hub."""
    # Without a tag the weights that need no connection; efficientnet_lite0.ra_in1k are those of the hub.
    if spec.name == efficientnet_lite0.NETWORK:
        return efficientnet_lite0.read_package()
    # The whole classifier, since timm says nothing of tensors that it misses for features alone.
    classifier = import_timm().create_model(spec.name, pretrained=True)
    tensors: Mapping[str, Tensor] = classifier.state_dict()
    return tensors


def _coco(spec: ModelSpec, source: str) -> Mapping[str, Tensor]:
    detector = coco_detector(spec, source)
    if detector is None or spec.fpn.channels != 256:
        raise ValueError(
            "they exist for ResNet-50 (coco, coco_v2) and for mobilenetv3_large_100 of timm (coco, coco_320), "
            "with a 256-channel FPN only"
        )
    from torchvision.models import get_model_weights

    return get_model_weights(detector)["COCO_V1"].get_state_dict(progress=False, check_hash=True)


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"init.backbone: {path}: expected {', '.join(SOURCES)}, random or a file; no such file")
    try:
        return read_tensors(path)
    except CheckpointError as error:
        raise CheckpointError(f"init.backbone: {error}") from None


def _load(model: ObjProp, state: Mapping[str, Tensor], source: str) -> int:
    """A classifier's parameters into the backbone, or a detector's into backbone and FPN. Returns: how many tensors."""
    current = model.state_dict()
    backbone = model.spec.backbone
    ours = [name for name in current if name.startswith("backbone.")]
    if isinstance(backbone, TimmSpec):
        names, settings = f"timm's names of {backbone.name}", "model.backbone.name"
    else:
        names, settings = f"torchvision's names of a ResNet-{backbone.depth}", "model.backbone.depth and base_width"
    if is_detector(state):
        state = with_current_names(state)
        theirs = {name: torchvision_name(name) or name for name in ours}
        # Detectors on MobileNetV3 have one of the FPN's levels.
        pyramid = {name: torchvision_name(name) or name for name in current if name.startswith("fpn.")}
        theirs |= {name: original for name, original in pyramid.items() if original in state}
    elif isinstance(backbone, TimmSpec):
        state = {flat_name(name): tensor for name, tensor in state.items()}
        theirs = {name: flat_name(name.removeprefix(_TIMM_PREFIX)) for name in ours}
    else:
        theirs = {name: name.removeprefix("backbone.") for name in ours}
    found = {}
    for name, original in theirs.items():
        if name.endswith("num_batches_tracked"):
            continue  # detectors store frozen batch norms, which count no batches
        if original not in state:
            raise CheckpointError(f"init.backbone: {source}: no {name}; expected {names}")
        if state[original].shape != current[name].shape:
            raise CheckpointError(
                f"init.backbone: {source}: {name} expected shape {tuple(current[name].shape)}, "
                f"found {tuple(state[original].shape)}; see {settings}"
            )
        found[name] = state[original]
    model.load_state_dict(found, strict=False)
    return len(found)
