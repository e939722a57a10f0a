"""Weights of one list of categories for data of another: rows of class layers are taken by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.model import ModelSpec
from vistrials.weights.files import WeightsReport, load_weights, read_metadata


class ClassLayer(NamedTuple):
    """How the rows of a tensor belong to categories: num_shared rows (background), then num_rows for each category."""

    num_shared: int
    num_rows: int


def category_names(path: Path) -> list[str] | None:
    """The categories that a file of weights names, by label; None where it names none.

    Raises:
        CheckpointError: missing or damaged file.
    """
    names = json.loads(read_metadata(path).get("category_names", "null"))
    return list(map(str, names)) if isinstance(names, list) else None


def load_for_categories(
    model: ObjProp, path: Path, wanted: Sequence[str], *, allow_mismatch: bool = False
) -> WeightsReport:
    """Load weights from a file into a model of these categories, whatever their number and order in the file.

    Args:
        model: changed in place.
        path: as for `load_weights`; where it names no categories, its rows are taken as they are.
        wanted: the model's category names by label.
        allow_mismatch: as for `load_weights`; also leaves class layers fresh where no category is shared.

    Returns:
        What became of each tensor, and of the categories where the lists differ.

    Raises:
        CheckpointError: as `load_weights`, or the file knows none of the categories.
    """
    trained = category_names(path)
    if trained is None or trained == list(wanted):
        report = load_weights(model, path, allow_mismatch=allow_mismatch)
        note = "the file names no categories: its rows are taken to be those of the data in their order"
        return report if trained is not None else replace(report, notes=(*report.notes, note))
    known = [wanted[label - 1] for label in shared_labels(wanted, trained)]
    if not known and not allow_mismatch:
        raise CheckpointError(
            f"{path}: expected weights of the data's categories, {_some(wanted)}; found those of {_some(trained)}; "
            "init.allow_mismatch: true leaves layers of categories fresh"
        )
    layers = class_layers(model.spec)
    report = load_weights(
        model,
        path,
        allow_mismatch=allow_mismatch,
        change=lambda found, fresh: rows_by_name(found, fresh, layers, trained, wanted),
    )
    fresh = [name for name in wanted if name not in known]
    notes = [f"rows of {len(known)} categories taken by name"] if known else []
    notes += [f"rows of {len(fresh)} fresh ({_some(fresh)})"] if fresh else []
    return replace(report, notes=(*report.notes, *notes))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", .." if len(names) > 3 else "")


def class_layers(spec: ModelSpec) -> dict[str, ClassLayer]:
    """The tensors of a network whose first axis depends on the categories."""
    with torch.device("meta"):  # shapes are all that is needed
        one, two = (build_model(spec, num_categories).state_dict() for num_categories in (1, 2))
    layers = {}
    for name, value in one.items():
        if value.dim() and value.shape != two[name].shape and value.shape[1:] == two[name].shape[1:]:
            num_rows = len(two[name]) - len(value)
            layers[name] = ClassLayer(len(value) - num_rows, num_rows)
    return layers


def shared_labels(wanted: Sequence[str], trained: Sequence[str]) -> dict[int, int]:
    """Label (1..K) of the data -> label of the weights, for names that occur once on both sides."""
    label_of = {name: label for label, name in enumerate(trained, start=1) if trained.count(name) == 1}
    return {
        label: label_of[name]
        for label, name in enumerate(wanted, start=1)
        if name in label_of and wanted.count(name) == 1
    }


def rows_by_name(
    found: Mapping[str, Tensor],
    fresh: Mapping[str, Tensor],
    layers: Mapping[str, ClassLayer],
    trained: Sequence[str],
    wanted: Sequence[str],
) -> dict[str, Tensor]:
    """A state dict with class layers for other categories.

    Args:
        found: of a network of the trained categories.
        fresh: of one of the wanted categories.
        layers: the tensors that depend on them.
        trained, wanted: category names by label.

    Returns:
        `found`, its class layers with the rows of the wanted categories: those of names that both know, and those that
        belong to no category, trained, the others fresh. Without a shared name class layers that would fit are left
        out. A layer of other rows than the trained categories have stays as it is.
    """
    labels = shared_labels(wanted, trained)
    taken = dict(found)
    for name, layer in layers.items():
        value, target = found.get(name), fresh.get(name)
        if value is None or target is None or value.shape[1:] != target.shape[1:]:
            continue
        if len(value) != layer.num_shared + layer.num_rows * len(trained):
            continue
        if not labels:
            if value.shape == target.shape:
                del taken[name]
            continue
        made = target.detach().cpu().clone().to(value.dtype)
        made[: layer.num_shared] = value[: layer.num_shared]
        for label, theirs in labels.items():
            made[_rows(layer, label)] = value[_rows(layer, theirs)]
        taken[name] = made
    return taken


def _rows(layer: ClassLayer, label: int) -> slice:
    first = layer.num_shared + (label - 1) * layer.num_rows
    return slice(first, first + layer.num_rows)
