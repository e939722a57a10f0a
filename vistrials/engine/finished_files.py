"""What is gone or damaged of the files that a finished run leaves."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from vistrials.engine.loss_log import check_log
from vistrials.errors import RunError, VistrialsError
from vistrials.evaluation.stored_matches import load_matches
from vistrials.evaluation.track_files import load_predictions
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import read_provenance
from vistrials.weights.recorded import check_recorded


def find_damage(directory: RunDirectory, splits: Sequence[str]) -> list[str]:
    """Look at all that a finished run has recorded.

    A run that was published without weights and predictions lacks nothing but these.

    Args:
        directory: of the run.
        splits: that it has scored.

    Returns:
        A line for each file that can no longer be used, and what to do.
    """
    return list(_faults(directory, splits))


def _faults(directory: RunDirectory, splits: Sequence[str]) -> Iterator[str]:
    stages = {}
    try:
        stages = read_provenance(directory.provenance).get("stages", {})
        if not stages:
            yield (
                f"{directory.provenance}: has no record of how the results came about; put it back, or redo the run "
                "with --force"
            )
    except RunError as error:
        yield str(error)
    iterations = stages.get("train", {}).get("iterations")
    checks: list[Callable[[], object]] = []
    if isinstance(iterations, int):
        checks.append(partial(check_log, directory.losses, iterations))
    if directory.is_trained():
        checks.append(partial(check_recorded, directory))
    elif any(map(directory.is_inferred, splits)):
        yield f"{directory.weights}: is gone; put it back, or redo the run with --force"
    for split in splits:
        if directory.is_inferred(split):
            checks.append(partial(load_predictions, directory.predictions(split)))
        checks.append(partial(load_matches, directory.matches(split)))
    for check in checks:
        try:
            check()
        except VistrialsError as error:
            cure = "" if "--force" in str(error) else "; put it back, or redo the run with --force"
            yield f"{error}{cure}"
