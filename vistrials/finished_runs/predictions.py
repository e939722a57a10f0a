"""The predictions that a command is asked about: those of a finished run, or a file of any program."""

from pathlib import Path
from typing import NamedTuple

from vistrials.data.sources import resolve_split
from vistrials.errors import SpecError
from vistrials.formats.amodal import annotations_of
from vistrials.runs.directory import RunDirectory


class ScoredFiles(NamedTuple):
    """Annotations and the predictions for them (.json or .json.gz each)."""

    annotations: Path
    predictions: Path


def is_predictions_file(source: Path | str) -> bool:
    """Whether a name is that of a predictions file rather than of a run or trial."""
    name = str(source)
    is_json = name.endswith((".json", ".json.gz"))
    return is_json or (Path(name).is_file() and not name.endswith((".yaml", ".yml")))


def find_predictions(
    source: Path | str, annotations: Path | str | None = None, split: str | None = None, truth: str = "visible"
) -> ScoredFiles:
    """Find predictions and the annotations that they belong to.

    Args:
        source: a run's folder, results_dir/<profile>/<trial>/seed<N>, or a predictions file.
        annotations: needed for a file; for a run in the place of those of its split.
        split: one that the run has predicted; by default that of these annotations, or else its main one.
        truth: visible, or amodal for the annotations of whole objects that lie beside.

    Raises:
        RunError: there is no such run, or it has not predicted the split yet.
        SpecError: a file without annotations or with a split, or a split that the run does not have.
        DataError: the run's data are not there.
    """
    if is_predictions_file(source):
        if annotations is None:
            raise SpecError(f"{source}: a predictions file needs its annotations: --gt FILE")
        if split is not None:
            raise SpecError(f"{source}: --split: expected only with a run; a file holds the predictions of one split")
        return ScoredFiles(annotations_of(Path(annotations), truth), Path(source))
    directory, spec = RunDirectory.open(source)
    given = None if annotations is None else Path(annotations)
    split = directory.predicted_split(spec, split, given)
    if annotations is None:
        annotations = resolve_split(spec.data, split).annotations
    return ScoredFiles(annotations_of(Path(annotations), truth), directory.predictions(split))
