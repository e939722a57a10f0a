"""The runs that lie in a results folder."""

from pathlib import Path

from vistrials.errors import RunError
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec

STUDY = (
    *("baseline", "baseline_tuning_1", "baseline_tuning_2", "baseline_ordered"),
    *("additional_training", "attention_neck", "attention_neck_ordered", "weighted_affinity"),
)
"""The eight trials of the published study, in its order."""

_ORDER = (
    *("masktrack_rcnn", "masktrack_rcnn_continued"),
    *STUDY,
    *("masktrack_rcnn_deep", "attention_neck_deep", "weighted_affinity_shared", "weighted_affinity_per_category"),
    "baseline_window",
)

FoundRun = tuple[RunDirectory, TrialSpec]


def find_runs(results_dir: Path | str, profile: str) -> list[FoundRun]:
    """All runs of a profile, by trial in the published order (further ones by name), then by seed.

    Raises:
        RunError: there is none, or the spec of one cannot be read.
    """
    runs, unreadable = find_readable_runs(results_dir, profile)
    if unreadable:
        raise RunError(unreadable[0])
    return runs


def find_readable_runs(results_dir: Path | str, profile: str) -> tuple[list[FoundRun], list[str]]:
    """Those of `find_runs` whose spec can be read, and for each other one a line that says why not.

    Raises:
        RunError: none can be read.
    """
    runs, unreadable = [], []
    for folder in sorted((Path(results_dir) / profile).glob("*/seed*")):
        seed = folder.name.removeprefix("seed")
        if not seed.isdecimal():
            continue
        if not RunDirectory(Path(results_dir), profile, folder.parent.name, int(seed), "").spec.exists():
            continue
        try:
            runs.append(RunDirectory.open(folder))
        except RunError as error:
            unreadable.append(str(error))
    if not runs and unreadable:
        raise RunError(unreadable[0])
    if not runs:
        raise RunError(f"{Path(results_dir) / profile}: no runs here; `vistrials run-all -p {profile}` makes them")
    return sorted(runs, key=lambda run: _position(run[0])), unreadable


def _position(run: RunDirectory) -> tuple[int, str, int]:
    known = run.trial in _ORDER
    return (_ORDER.index(run.trial) if known else len(_ORDER), run.trial, run.seed)
