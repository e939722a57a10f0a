"""The runs that lie in a results folder."""

from pathlib import Path

from vistrials.errors import RunError
from vistrials.runs.directory import RunDirectory
from vistrials.runs.recorded_spec import RecordedSpec
from vistrials.specs.loading import load_table_rows

FoundRun = tuple[RunDirectory, RecordedSpec]


def find_runs(results_dir: Path | str, profile: str) -> list[FoundRun]:
    """All runs of a profile, by trial in the order of tables, then by seed.

    Raises:
        RunError: there is none, or the spec of one is damaged.
    """
    runs, unreadable = find_readable_runs(results_dir, profile)
    if unreadable:
        raise RunError(unreadable[0])
    return runs


def find_readable_runs(results_dir: Path | str, profile: str) -> tuple[list[FoundRun], list[str]]:
    """Those of `find_runs` whose spec is no damaged file, and for each other one a line that says what is wrong.

    Raises:
        RunError: none can be read.
    """
    runs, unreadable = [], []
    for folder in sorted((Path(results_dir) / profile).glob("*/seed*")):
        seed = folder.name.removeprefix("seed")
        if not seed.isdecimal():
            continue
        directory = RunDirectory(Path(results_dir), profile, folder.parent.name, int(seed), "")
        if not directory.spec.exists():
            if directory.has_results():
                unreadable.append(
                    f"{directory.spec}: is gone, so nobody knows what the results beside it come from; put it back, or "
                    "redo the run with --force"
                )
            continue
        try:
            runs.append(RunDirectory.find(folder))
        except RunError as error:
            unreadable.append(str(error))
    if not runs and unreadable:
        raise RunError(unreadable[0])
    if not runs:
        raise RunError(f"{Path(results_dir) / profile}: no runs here; `vistrials run-all -p {profile}` makes them")
    rows = [trial for part in load_table_rows().values() for trial in part]
    return sorted(runs, key=lambda run: _position(run[0], rows)), unreadable


def _position(run: RunDirectory, rows: list[str]) -> tuple[int, str, int]:
    return (rows.index(run.trial) if run.trial in rows else len(rows), run.trial, run.seed)
