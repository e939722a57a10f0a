"""A finished run -> its error analysis: joins data and predictions."""

from pathlib import Path

from vistrials.data.sources import resolve_split
from vistrials.evaluation.errors.analysis import Diagnosis, diagnose_files
from vistrials.runs.directory import RunDirectory


def diagnose_run(run_folder: Path | str, split: str | None = None) -> Diagnosis:
    """Diagnose what a run has predicted.

    Args:
        run_folder: results_dir/<profile>/<trial>/seed<N>.
        split: one that the run has predicted; its main one by default.

    Raises:
        RunError: there is no such run, or it has not predicted the split yet.
        SpecError: the run has no such split.
        DataError: annotations or predictions are missing or broken.
    """
    directory, spec = RunDirectory.open(run_folder)
    split = directory.predicted_split(spec, split)
    return diagnose_files(resolve_split(spec.data, split).annotations, directory.predictions(split))
