"""Backbones of the package timm, which is optional."""

import difflib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from vistrials.errors import SpecError
from vistrials.models.backbone import Backbone
from vistrials.models.roi_features import STRIDES
from vistrials.specs.model import TimmSpec

INSTALL = "pip install 'vistrials[timm]'"


class TimmBackbone(Backbone):
    """Images (B, 3, H, W) -> features at strides 4, 8, 16, 32 of a network of timm.

    Images come normalised by ImageNet's mean and deviation; a network that timm trains with others gets its own.
    Stage n ends with the feature of stride 2^(n + 1); layers count to stages in the order in which timm lists them.

    Source: timm (PyTorch Image Models), `features_only`.
    """

    _scale: Tensor | None
    _shift: Tensor | None

    def __init__(self, spec: TimmSpec) -> None:
        super().__init__(spec.norm)
        self.name = spec.name
        self.network = _create(spec)
        strides, channels = self.network.feature_info.reduction(), self.network.feature_info.channels()
        chosen = _choose(spec, strides)
        self._chosen = chosen
        self.out_channels = [channels[i] for i in chosen]
        modules = self.network.feature_info.module_name()
        self._freeze(spec.frozen_stages, [modules[i] for i in chosen])
        if spec.norm == "batch_stats" and not any(isinstance(m, nn.BatchNorm2d) for m in self.modules()):
            raise SpecError(f"model.backbone.norm: {spec.name} has no batch norm, so batch_stats would do nothing")
        scale, shift = _own_normalisation(spec.name)
        self.register_buffer("_scale", scale, persistent=False)
        self.register_buffer("_shift", shift, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        if self._scale is not None and self._shift is not None:
            images = images * self._scale + self._shift
        features = self.network(images)
        return [features[i] for i in self._chosen]

    def _freeze(self, frozen_stages: int, stages: list[str]) -> None:
        """Take the gradient from the first stages, and from whatever timm lists before them.

        Args: frozen_stages of the spec; stages: timm's name of the module that ends each stage.
        """
        if frozen_stages < 0:
            return
        parameters = list(self.network.named_parameters())
        stage = stages[max(frozen_stages, 1) - 1]
        of_stage = [i for i, (name, _) in enumerate(parameters) if is_part(name, stage)]
        if not of_stage:
            raise SpecError(
                f"model.backbone.frozen_stages: timm's stage {stage} of {self.name} has no layers of its own, so it is "
                "unclear what to freeze; set it to -1"
            )
        end = of_stage[-1] + 1 if frozen_stages else of_stage[0]
        for _, parameter in parameters[:end]:
            parameter.requires_grad_(False)


def flat_name(name: str) -> str:
    """A name under which parameters of a classifier and of its features are the same: timm joins some of the levels."""
    return name.replace(".", "_")


def is_part(name: str, module: str) -> bool:
    """Whether a parameter's name lies below a module's."""
    return flat_name(name).startswith(flat_name(module) + "_")


def import_timm() -> ModuleType:
    """The package timm.

    Raises:
        SpecError: it is not installed.
    """
    try:
        import timm
    except ImportError:
        raise SpecError(
            f"model.backbone: kind timm needs the package timm, which is not installed; {INSTALL}"
        ) from None
    module: ModuleType = timm
    return module


def _create(spec: TimmSpec) -> Any:
    timm = import_timm()
    name = spec.name.split(".")[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "; timm.list_models() lists them"
        raise SpecError(f"model.backbone.name: timm {timm.__version__} has no network {spec.name!r}{hint}")
    known = timm.list_pretrained(f"{name}.*")
    if "." in spec.name and spec.name not in known:
        raise SpecError(
            f"model.backbone.name: timm {timm.__version__} has no weights {spec.name!r}; "
            f"expected {name} or one of {', '.join(known) or '(none)'}"
        )
    config = timm.get_pretrained_cfg(spec.name)
    if config is not None and config.fixed_input_size:
        size = " x ".join(str(side) for side in config.input_size[1:])
        raise SpecError(f"model.backbone.name: {spec.name} takes images of {size} pixels alone, and videos have others")
    arguments = {} if spec.out_indices is None else {"out_indices": spec.out_indices}
    try:
        return timm.create_model(spec.name, features_only=True, **arguments)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpecError(f"model.backbone: timm makes no features of {spec.name} ({reason}); name another") from None


def _choose(spec: TimmSpec, strides: list[int]) -> list[int]:
    """Positions, among the features that timm returns, of those at strides 4, 8, 16 and 32."""
    if all(stride in strides for stride in STRIDES) and (spec.out_indices is None or tuple(strides) == STRIDES):
        return [len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES]
    chosen = "" if spec.out_indices is None else f" for out_indices {list(spec.out_indices)}"
    raise SpecError(
        f"model.backbone: expected features at strides {', '.join(map(str, STRIDES))}, {spec.name} "
        f"has {', '.join(map(str, strides))}{chosen}; choose other out_indices or a network with a pyramid"
    )


def _own_normalisation(name: str) -> tuple[Tensor | None, Tensor | None]:
    """Factor and summand (1, 3, 1, 1) from ImageNet's normalisation to a network's own; None, None where they agree."""
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    config = import_timm().get_pretrained_cfg(name)
    if config is None or (config.mean, config.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
        return None, None
    mean, std, own_mean, own_std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, config.mean, config.std)
    )
    return std / own_std, (mean - own_mean) / own_std
