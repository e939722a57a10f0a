"""A run or a file of weights -> a network ready to track, and what its labels mean."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vistrials.engine.devices import choose_device, inference_autocast
from vistrials.errors import CheckpointError, RunError, SpecError
from vistrials.models.folding import for_inference
from vistrials.models.objprop import ObjProp, build_model
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import load_trial, parse_spec
from vistrials.specs.trial import TrialSpec
from vistrials.structures.video import Category
from vistrials.weights.files import load_weights, read_metadata
from vistrials.weights.recorded import check_recorded
from vistrials.weights.shipped import weights_file


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights, on its device, as inference runs it.

    categories: of label 1, 2, ..; ids are those of the training data.
    """

    model: ObjProp
    spec: TrialSpec
    categories: tuple[Category, ...]
    device: torch.device


@dataclass(frozen=True, slots=True)
class Weights:
    """Where a network is; found before torch has anything to do."""

    path: Path
    spec: TrialSpec
    categories: tuple[Category, ...]


def find_run(folder: Path | str, overrides: Sequence[str] = ()) -> Weights:
    """The weights of a run.

    Args:
        folder: results_dir/<profile>/<trial>/seed<N>.
        overrides: of its spec, such as inference.nms_iou=0.4.

    Raises:
        RunError: there is no such run, or it has no weights, or others than those that it has recorded.
        CheckpointError: they are damaged, or do not say which categories they know.
        SpecError: an override does not fit.
    """
    directory, spec = RunDirectory.open(folder)
    if not directory.is_trained():
        evaluated = any(directory.is_evaluated(split) for split in spec.data.splits)
        command = directory.command("run", *(["--force"] if evaluated else []))
        raise RunError(f"{directory.path}: no weights here; `{command}` makes them, or name others with --weights FILE")
    check_recorded(directory)
    if overrides:
        spec = load_trial(directory.spec, None, overrides)
    return Weights(directory.weights, spec, _categories(directory.weights, read_metadata(directory.weights)))


def find_weights(
    name: str, trial: str | None = None, profile: str | None = None, overrides: Sequence[str] = ()
) -> Weights:
    """A file of weights, and the settings of its network.

    Args:
        name: a file, or shipped:NAME.
        trial, profile: whose network it is. Where the trial is left out the file says it: in full where a run wrote it,
            or by the name of its trial.
        overrides: of the spec.

    Raises:
        CheckpointError: no such file, a damaged one, or one that does not say which categories it knows.
        SpecError: it does not say whose network it holds, or trial, profile or an override do not fit.
    """
    path = weights_file(name)
    metadata = read_metadata(path)
    if trial is None and profile is None and "spec" in metadata:
        spec = parse_spec(metadata["spec"], str(path), overrides)
    else:
        trial = trial or metadata.get("trial")
        if trial is None:
            raise SpecError(f"{path}: does not say whose network it holds; say it with --trial TRIAL --profile PROFILE")
        spec = load_trial(trial, profile or metadata.get("profile"), overrides)
    return Weights(path, spec, _categories(path, metadata))


def load_network(weights: Weights, device: str = "auto") -> Network:
    """Build the network and fill it, to the last tensor.

    Raises:
        CheckpointError: the weights belong to another network.
        SpecError: no such device here, or one without the precision of `inference.precision`.
    """
    chosen = choose_device(device)
    inference_autocast(weights.spec.inference.precision, chosen)
    model = build_model(weights.spec.model, len(weights.categories))
    load_weights(model, weights.path, allow_missing=False)
    return Network(for_inference(model.to(chosen)), weights.spec, weights.categories, chosen)


def _categories(path: Path, metadata: dict[str, str]) -> tuple[Category, ...]:
    try:
        names = json.loads(metadata["category_names"])
        # Older files do not have the ids, which were 1, 2, .. in nearly all data sets.
        ids = json.loads(metadata.get("category_ids", json.dumps(list(range(1, len(names) + 1)))))
        return tuple(Category(int(number), str(name)) for number, name in zip(ids, names, strict=True))
    except (KeyError, ValueError, TypeError):
        raise CheckpointError(
            f"{path}: expected the names of its categories in its metadata, as runs and import-checkpoint write them, "
            f"found {', '.join(sorted(metadata)) or 'none'}; import it with `vistrials import-checkpoint`"
        ) from None
