"""Weights of other programs -> weights of a trial."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.formats.files import WEIGHTS_SUFFIX, check_suffix, sha256_of
from vistrials.models.objprop import build_model
from vistrials.specs.trial import TrialSpec
from vistrials.weights.files import (
    check_finite,
    compare_tensors,
    read_checkpoint,
    read_metadata,
    save_tensors,
)
from vistrials.weights.known_names import describe_names
from vistrials.weights.mmdetection_names import LATER_VERSION, in_first_form, is_later_version
from vistrials.weights.original_names import CLASS_LAYER, original_name
from vistrials.weights.torchvision_names import (
    CLASS_ROWS,
    NUM_COCO_ROWS,
    coco_rows,
    is_detector,
    take_category_rows,
    torchvision_name,
    with_current_names,
)
from vistrials.weights.torchvision_variants import settings_for

_COUNTS = "num_batches_tracked"  # PyTorch before 0.4.1 and frozen batch norms store none
_MASK_PARTS = "roi_heads.mask_"
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """A tensor that keeps a checkpoint from fitting a trial, by the checkpoint's name of it."""

    name: str
    kind: Literal["missing", "unexpected", "of another shape"]
    expected: tuple[int, ...] | None
    found: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ForeignCheckpoint:
    """A checkpoint of another program, held against the network of a trial."""

    path: Path
    program: str
    category_names: tuple[str, ...] | None
    num_categories: int
    tensors: dict[str, Tensor]
    """What fits, under our names."""
    faults: tuple[Fault, ...]
    fresh_parts: tuple[str, ...]
    """Parts of the trial's network of which the file has nothing: they start from fresh numbers."""
    trained_categories: tuple[str, ...] | None
    """Where the checkpoint is of other categories: those whose rows of the class layers are taken from it."""
    notes: tuple[str, ...] = ()
    """What was chosen of the file, and how its network differs."""
    class_rows: str = ""
    """Where the rows of the class layers come from, as far as the file itself shows it."""
    settings: tuple[str, ...] = ()
    """Settings under which its network has the file's form, where these are not the published ones."""


def read_foreign(
    path: Path,
    spec: TrialSpec,
    category_names: Sequence[str] | None = None,
    names_of_data: Callable[[], Sequence[str]] | None = None,
    key: str | None = None,
) -> ForeignCheckpoint:
    """Read a checkpoint of mmdetection or of a detector of torchvision, told apart by their names.

    Args:
        path: a torch file (state dict, or {"state_dict", "meta"}) or .safetensors.
        spec: the trial that is to start from it.
        category_names: of the data it is meant for; by default the checkpoint's own.
        names_of_data: gives those of the trial's data, for weights of torchvision where `category_names` is left out.
        key: of the part of the file to take; by default the trained network.

    Returns:
        What fits, and everything that does not.

    Raises:
        CheckpointError: not a checkpoint of these programs, damaged, with code in it, or of other categories.
        VistrialsError: as `names_of_data`.
    """
    state, notes = read_checkpoint(path, key)
    if is_detector(state):
        names = category_names or (names_of_data() if names_of_data else None)
        if names is None:
            raise CheckpointError(f"{path}: holds COCO's categories: say which the data have with --categories")
        return replace(_read_torchvision(path, state, spec, names), notes=notes)
    program = "mmdetection 1"
    if is_later_version(state):
        program, notes = "mmdetection 2 or 3", (*notes, LATER_VERSION)
        state = in_first_form(state, one_mask=spec.model.mask_head.class_agnostic)
    class_layer = state.get(CLASS_LAYER)
    if class_layer is None or class_layer.dim() != 2 or len(class_layer) < 2:
        shown = ", ".join(list(state)[:_NAMES_SHOWN]) or "nothing"
        raise CheckpointError(
            f"{path}: expected the names of the original program (with a {CLASS_LAYER} of 1 + categories rows) "
            f"or of torchvision's Mask R-CNN (backbone.body...), found {shown}{describe_names(state)}"
        )
    num_categories = len(class_layer) - 1
    own_names = json.loads(read_metadata(path).get("category_names", "null"))
    names = _agreed_names(path, num_categories, own_names, category_names)
    with torch.device("meta"):  # shapes are all that is needed
        expected = build_model(spec.model, num_categories).state_dict()
    theirs = {name: original for name in expected if (original := original_name(name)) is not None}
    tensors, faults = _match(path, state, expected, theirs)
    fresh = _without_counterpart(expected, theirs)
    in_order = f"{len(class_layer)} rows, background and {num_categories} categories"
    if names is not None and not _is_list_of(own_names, num_categories):
        in_order += ", which the file does not name: taken to be the given ones in their order"
    return ForeignCheckpoint(path, program, names, num_categories, tensors, faults, fresh, None, notes, in_order)


def _read_torchvision(
    path: Path, state: Mapping[str, Tensor], spec: TrialSpec, category_names: Sequence[str]
) -> ForeignCheckpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same file and categories, the same weights
        expected = build_model(spec.model, len(category_names)).state_dict()
    theirs = {name: original for name in expected if (original := torchvision_name(name)) is not None}
    if not any(name.startswith(_MASK_PARTS) for name in state):  # a Faster R-CNN
        theirs = {name: original for name, original in theirs.items() if not original.startswith(_MASK_PARTS)}
    settings = settings_for(state)
    found = with_current_names(state)
    num_rows = len(found[CLASS_ROWS]) if CLASS_ROWS in found else 0
    taken = take_category_rows(found, expected, category_names)
    tensors, faults = _match(path, taken, expected, theirs)
    by_name, trained = (
        num_rows == NUM_COCO_ROWS,
        tuple(category_names[label - 1] for label in coco_rows(category_names)),
    )
    if by_name:
        told = f"{num_rows} rows and no names, as many as COCO's list has: taken by name for {len(trained)} categories"
    elif num_rows == len(category_names) + 1:
        told = f"{num_rows} rows and no names: taken to be background and the given categories in their order"
    else:
        told = (
            f"{num_rows} rows, neither COCO's {NUM_COCO_ROWS} nor the {len(category_names) + 1} of the given categories"
        )
    fresh = _without_counterpart(expected, theirs)
    names = tuple(category_names)
    trained_names = trained if by_name else None
    return ForeignCheckpoint(
        *(path, "torchvision", names, len(names), tensors, faults, fresh, trained_names),
        class_rows=told,
        settings=settings,
    )


def save_foreign(checkpoint: ForeignCheckpoint, spec: TrialSpec, out: Path) -> None:
    """Save what fits of a checkpoint as weights of the trial, for init.weights.

    Raises:
        DataError: `out` is not called .safetensors.
        CheckpointError: nothing fits, or a tensor holds NaN or infinity.
    """
    check_suffix(out, [WEIGHTS_SUFFIX])
    if not checkpoint.tensors:
        raise CheckpointError(f"{checkpoint.path}: no tensor fits {spec.name} under {spec.profile}; name its own trial")
    check_finite(checkpoint.path, checkpoint.tensors)
    metadata = {
        "trial": spec.name,
        "profile": spec.profile,
        "program": checkpoint.program,
        "imported_from": checkpoint.path.name,
        "imported_sha256": sha256_of(checkpoint.path),
        "num_categories": str(checkpoint.num_categories),
    }
    if checkpoint.category_names is not None:
        metadata["category_names"] = json.dumps(checkpoint.category_names)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(out, checkpoint.tensors, metadata)


def _match(
    path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor], theirs: Mapping[str, str]
) -> tuple[dict[str, Tensor], tuple[Fault, ...]]:
    """The tensors that fit under our names, and what keeps the others from fitting.

    Args: state by their names; expected by ours; theirs: our name -> theirs.
    """
    wanted = {original: expected[name] for name, original in theirs.items()}
    report = compare_tensors(state, wanted)
    loaded = set(report.loaded)
    tensors = {name: state[original] for name, original in theirs.items() if original in loaded}
    for name in theirs:
        if name.endswith(_COUNTS) and name not in tensors and name.replace(_COUNTS, "running_mean") in tensors:
            tensors[name] = torch.zeros((), dtype=torch.int64)
    faults = [
        Fault(name, "missing", tuple(wanted[name].shape), None) for name in report.missing if not name.endswith(_COUNTS)
    ]
    faults += [Fault(name, "unexpected", None, tuple(state[name].shape)) for name in report.unexpected]
    faults += [
        Fault(name, "of another shape", tuple(wanted[name].shape), tuple(state[name].shape))
        for name in report.mismatched
    ]
    return tensors, tuple(faults)


def _without_counterpart(expected: Mapping[str, Tensor], theirs: Mapping[str, str]) -> tuple[str, ...]:
    """Whole parts where the other program has nothing of them, else single tensors."""
    known_parts = {_part(name) for name in theirs}
    fresh = expected.keys() - theirs.keys()
    return tuple(sorted({name if _part(name) in known_parts else _part(name) for name in fresh}))


def _part(name: str) -> str:
    return name.partition(".")[0]


def _agreed_names(
    path: Path, num_categories: int, own: Sequence[str] | None, wanted: Sequence[str] | None
) -> tuple[str, ...] | None:
    """The checkpoint's own category names or those of the data; both at once must agree."""
    if wanted is not None and len(wanted) != num_categories:
        raise CheckpointError(f"{path}: expected {len(wanted)} categories as in the data, found {num_categories}")
    if own is not None and len(own) != num_categories:
        own = None  # a note for people, no part of the weights
    if own is not None and wanted is not None and list(own) != list(wanted):
        mine, theirs = next((a, b) for a, b in zip(own, wanted, strict=True) if a != b)
        raise CheckpointError(
            f"{path}: expected the categories of the data in their order, found {mine!r} where the data list {theirs!r}"
        )
    names = own or wanted
    return None if names is None else tuple(names)


def _is_list_of(names: object, number: int) -> bool:
    return isinstance(names, list) and len(names) == number
