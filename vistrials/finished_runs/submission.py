"""A finished run -> the archive that a benchmark server takes: joins the run's folder, its data and the checks."""

from pathlib import Path

from vistrials.data.sources import resolve_split
from vistrials.evaluation.submission import Submission, submit_files
from vistrials.runs.directory import RunDirectory


def submit_run(
    run_folder: Path | str,
    out: Path | str,
    *,
    split: str | None = None,
    annotations: Path | str | None = None,
    replace: bool = False,
) -> Submission:
    """Write what a run predicted as an archive for a server.

    Args:
        run_folder: results_dir/<profile>/<trial>/seed<N>.
        out: the .zip to write.
        split: one that the run has predicted; its main one by default.
        annotations: the server's annotation file; the split's own by default.
        replace: replace an archive that is there already.

    Raises:
        RunError: there is no such run, or it has not predicted the split yet.
        SpecError: the run has no such split.
        DataError: annotations or predictions are missing or broken, the archive is there already, or the predictions
            are refused.
    """
    directory, spec = RunDirectory.open(run_folder)
    split = directory.predicted_split(spec, split)
    if annotations is None:
        annotations = resolve_split(spec.data, split).annotations
    return submit_files(directory.predictions(split), annotations, out, replace=replace)
