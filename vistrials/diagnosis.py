"""A finished run -> its error analysis: joins data and predictions."""

from pathlib import Path

from vistrials.data.sources import resolve_split
from vistrials.errors import RunError, SpecError
from vistrials.evaluation.error_analysis import Diagnosis, diagnose_files
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
    split = split or directory.main_split
    if split not in spec.data.splits:
        raise SpecError(f"{directory.path}: no split {split!r}; it has {', '.join(spec.data.splits)}")
    if not directory.is_inferred(split):
        raise RunError(
            f"{directory.path}: split {split} is not predicted yet; `vistrials run {spec.name}` does it first"
        )
    return diagnose_files(resolve_split(spec.data, split).annotations, directory.predictions(split))
