"""Layers of partial settings -> one validated spec, and errors that name the layer at fault."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from vistrials.errors import SpecError, shortened
from vistrials.specs.base import Spec

SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True, slots=True)
class Layer:
    """Partial settings, and where they were written."""

    source: str
    values: dict[str, Any]
    folder: Path = Path()
    """Where relative paths in it start from."""


def merge_layers(spec_class: type[SpecT], layers: Sequence[Layer]) -> SpecT:
    """Lay partial settings over the defaults of a spec, later layers on top, and validate the result.

    Mappings merge recursively; lists and scalars replace; null replaces. A mapping of another `kind` than the
    one below it, or over null, starts from the defaults of its own spec; of two kinds one of which derives from the
    other (a custom head from the published one) the settings that both have stay. A mapping without `kind` over null is
    of the first kind: what was recorded before there were others stays readable.

    Raises:
        SpecError: an unknown key or an invalid value, with the layer that wrote it.
    """
    values = default_values(spec_class)
    for layer in layers:
        values = _merge(values, layer.values, spec_class, layer.source, "")
    try:
        return spec_class.model_validate(values)
    except ValidationError as error:
        raise SpecError(_one_line(error, values, layers)) from None


def default_values(spec_class: type[Spec]) -> dict[str, Any]:
    """The defaults of a spec as plain values under the keys that YAML uses; without required fields."""
    return {
        key: _plain(field.get_default(call_default_factory=True))
        for key, field in _fields_by_key(spec_class).items()
        if not field.is_required()
    }


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, else the list of them."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(known) or '(none)'}"


def source_of(path: str, layers: Sequence[Layer]) -> str:
    """The source of `layer_of`, or `defaults`."""
    layer = layer_of(path, layers)
    return layer.source if layer else "defaults"


def layer_of(path: str, layers: Sequence[Layer]) -> Layer | None:
    """The topmost layer that wrote the value at a dotted path, or else the nearest mapping around it."""
    keys = path.split(".") if path else []
    for depth in range(len(keys), 0, -1):
        for layer in reversed(layers):
            if _holds(layer.values, keys[:depth]):
                return layer
    return layers[-1] if layers else None


def layer_number(path: str, layers: Sequence[Layer]) -> int:
    """Number of the topmost layer that wrote the value at a dotted path; -1 where none did."""
    holding = [number for number, layer in enumerate(layers) if _holds(layer.values, path.split("."))]
    return holding[-1] if holding else -1


def value_at(path: str, values: Any) -> Any:
    """The value at a dotted path that is there."""
    for key in path.split("."):
        values = values[key]
    return values


def _merge(base: Any, change: Any, annotation: Any, source: str, path: str) -> Any:
    variants = _spec_classes(annotation)
    if isinstance(change, Mapping) and isinstance(base, Mapping) and get_origin(annotation) is dict:
        return {**base, **change}
    if not isinstance(change, Mapping) or not variants:
        return change
    base = base if isinstance(base, Mapping) else {}
    spec_class = _variant(variants, change.get("kind", base.get("kind")))
    if spec_class is None:
        return change  # validation names the kinds there are
    fields = _fields_by_key(spec_class)
    if not base or base.get("kind") != _kind(spec_class):
        below = _variant(variants, base.get("kind")) or spec_class
        related = issubclass(spec_class, below) or issubclass(below, spec_class)
        kept = {key: value for key, value in base.items() if related and key in fields and key != "kind"}
        base = default_values(spec_class) | kept
    merged = dict(base)
    for key, value in change.items():
        inner = f"{path}.{key}" if path else str(key)
        if key not in fields:
            raise SpecError(f"{source}: {inner}: unknown key{did_you_mean(key, fields)}")
        merged[key] = _merge(merged.get(key), value, fields[key].annotation, source, inner)
    return merged


def _fields_by_key(spec_class: type[Spec]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in spec_class.model_fields.items()}


def _spec_classes(annotation: Any) -> list[type[Spec]]:
    """The specs in an annotation: one for a plain part, several where `kind` chooses, none for a value."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _spec_classes(argument)]


def _variant(variants: list[type[Spec]], kind: Any) -> type[Spec] | None:
    if len(variants) == 1 or kind is None:
        return variants[0]
    return next((variant for variant in variants if _kind(variant) == kind), None)


def _kind(spec_class: type[Spec]) -> str | None:
    field = spec_class.model_fields.get("kind")
    return field.default if field else None


def _plain(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.model_dump(mode="json", by_alias=True)
    return list(value) if isinstance(value, tuple) else value


def _holds(values: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(values, Mapping) or key not in values:
            return False
        values = values[key]
    return True


def _one_line(error: ValidationError, values: dict[str, Any], layers: Sequence[Layer]) -> str:
    details = error.errors(include_url=False)
    first = details[0]
    path = _key_path(first["loc"], values, keep_last=first["type"] == "missing")
    others = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return ": ".join([source_of(path, layers), *([path] if path else []), _explain(first) + others])


def _key_path(location: tuple[int | str, ...], values: Any, keep_last: bool) -> str:
    """A dotted path as YAML has it: without list positions and the kinds that pydantic puts between."""
    path: list[str] = []
    for position, part in enumerate(location):
        if isinstance(values, Mapping) and part in values:
            values = values[part]
            path.append(str(part))
        elif keep_last and position == len(location) - 1:
            path.append(str(part))
    return ".".join(path)


def _explain(detail: Any) -> str:
    found, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "expected a value, found none"
        case "union_tag_not_found":
            return "expected a mapping with the key kind, found none"
        case "union_tag_invalid":
            kinds = [tag.strip("'") for tag in context["expected_tags"].split(", ")]
            return f"unknown kind {context['tag']!r}{did_you_mean(context['tag'], kinds)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a mapping, found {shortened(found)}"
        case "tuple_type":
            return f"expected a list, found {shortened(found)}"
        case "string_pattern_mismatch":
            return f"expected text like {context['pattern']}, found {shortened(found)}"
        case _:
            expected = detail["msg"].replace("Input should be", "expected", 1)
            return f"{expected}, found {shortened(found)}"
