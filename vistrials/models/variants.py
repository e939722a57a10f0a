"""Where the kind of a part's spec is turned into a module: one of this package's, or a class of the user's own.

What a custom class gets and must give is in docs/custom_modules.md; what it gives is checked at every call.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from vistrials.errors import SpecError
from vistrials.models.affinity import Affinity
from vistrials.models.attention_neck import AttentionNeck
from vistrials.models.convolution_neck import ConvolutionNeck
from vistrials.models.matching import NEGATIVE, sample
from vistrials.specs.custom import CustomSpec
from vistrials.specs.model import (
    ConvolutionNeckSpec,
    CustomAffinitySpec,
    CustomNeckSpec,
    CustomSamplerSpec,
    NeckSpec,
    PlainAffinitySpec,
    SamplerSpec,
    WeightedAffinitySpec,
)
from vistrials.user_modules import build_custom

HeadT = TypeVar("HeadT", bound=nn.Module)

Sampler = Callable[[list[Tensor], list[Tensor], list[Tensor]], list[tuple[Tensor, Tensor]]]
"""Per image boxes (N, 4), ground truth (M, 4), assigned (N,) as `assign` returns -> per image the indices of positives
and of negatives."""


def build_neck(spec: NeckSpec | ConvolutionNeckSpec | CustomNeckSpec, channels: int, num_levels: int) -> nn.Module:
    """The neck of a spec: (key levels, reference levels) -> key levels of the same shapes."""
    if isinstance(spec, NeckSpec):
        return AttentionNeck(spec, channels)
    if isinstance(spec, ConvolutionNeckSpec):
        return ConvolutionNeck(spec, channels)
    arguments, parameters = {"channels": channels, "num_levels": num_levels}, ("key_levels", "reference_levels")
    neck: nn.Module = build_custom(spec, "model.neck", nn.Module, arguments, "forward", parameters)

    def check(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        _check_output(spec, "model.neck", "forward", _shapes(inputs[0]), _shapes(output))

    neck.register_forward_hook(check)
    return neck


def build_affinity(
    spec: PlainAffinitySpec | WeightedAffinitySpec | CustomAffinitySpec, channels: int, num_categories: int
) -> nn.Module:
    """The affinity of a spec, called as `Affinity.forward`; its `per_category` says whether labels matter."""
    if not isinstance(spec, CustomAffinitySpec):
        return Affinity(spec, channels, num_categories)
    part, parameters = "model.propagation.affinity", ("key", "reference", "sample", "label")
    arguments = {"channels": channels, "num_categories": num_categories}
    affinity: nn.Module = build_custom(spec, part, nn.Module, arguments, "forward", parameters)
    if not hasattr(affinity, "per_category"):
        affinity.per_category = False  # type: ignore[assignment]

    def check(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        expected = tuple(x[0].numel() for x in (inputs[1], inputs[0]))
        _check_output(spec, part, "forward", expected, _shapes(output))

    affinity.register_forward_hook(check)
    return affinity


def build_sampler(spec: SamplerSpec, part: str) -> Sampler:
    """The sampler of a spec; `part` is its dotted path, for errors."""
    if not isinstance(spec, CustomSamplerSpec):
        return lambda boxes, ground_truth, assigned: sample(assigned, spec)
    arguments = {"num": spec.num, "positive_fraction": spec.positive_fraction}
    parameters = ("boxes", "ground_truth", "assigned")
    sampler = build_custom(spec, part, object, arguments, "sample", parameters)

    def sample_image(boxes: Tensor, ground_truth: Tensor, assigned: Tensor) -> tuple[Tensor, Tensor]:
        positives, negatives = sampler.sample(boxes, ground_truth, assigned)
        if not ((assigned[positives] > 0).all() and (assigned[negatives] == NEGATIVE).all()):
            expected = "indices of positives (assigned > 0) and of negatives (assigned == 0)"
            raise _wrong_output(spec, part, "sample", expected, "others")
        return positives, negatives

    return lambda *per_image: [sample_image(*of_image) for of_image in zip(*per_image, strict=True)]


def build_head(head: type[HeadT], spec: Any, part: str, **arguments: Any) -> HeadT:
    """A head of this package, or the subclass of it that a custom spec names; `part` is its dotted path, for errors."""
    if not isinstance(spec, CustomSpec):
        return head(spec, **arguments)
    built: HeadT = build_custom(spec, part, head, {"spec": spec, **arguments})
    return built


def _shapes(output: Any) -> Any:
    if isinstance(output, Tensor):
        return tuple(output.shape)
    return [_shapes(item) for item in output] if isinstance(output, (list, tuple)) else type(output).__name__


def _check_output(spec: CustomSpec, part: str, method: str, expected: Any, found: Any) -> None:
    if expected != found:
        raise _wrong_output(spec, part, method, f"shape {expected}", f"{found}")


def _wrong_output(spec: CustomSpec, part: str, method: str, expected: str, found: str) -> SpecError:
    where = f"{part}: {spec.file.name}: {spec.class_name}: {method}"
    return SpecError(f"{where}: expected to return {expected}, found {found}")
