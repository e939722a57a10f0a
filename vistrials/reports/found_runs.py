"""The runs that lie in a results folder."""

from pathlib import Path

from vistrials.errors import RunError
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec

PUBLISHED_ORDER = (
    *("masktrack_rcnn", "masktrack_rcnn_continued", "baseline", "baseline_tuning_1", "baseline_tuning_2"),
    *("baseline_ordered", "additional_training", "attention_neck", "attention_neck_ordered", "weighted_affinity"),
)


def find_runs(results_dir: Path | str, profile: str) -> list[tuple[RunDirectory, TrialSpec]]:
    """All runs of a profile, by trial in the published order (further ones by name), then by seed.

    Raises:
        RunError: there is none, or the spec of one cannot be read.
    """
    runs = []
    for folder in (Path(results_dir) / profile).glob("*/seed*"):
        seed = folder.name.removeprefix("seed")
        if (
            seed.isdecimal()
            and RunDirectory(Path(results_dir), profile, folder.parent.name, int(seed), "").spec.exists()
        ):
            runs.append(RunDirectory.open(folder))
    if not runs:
        raise RunError(f"{Path(results_dir) / profile}: no runs here; `vistrials run-all -p {profile}` makes them")
    return sorted(runs, key=lambda run: _position(run[0]))


def _position(run: RunDirectory) -> tuple[int, str, int]:
    known = run.trial in PUBLISHED_ORDER
    return (PUBLISHED_ORDER.index(run.trial) if known else len(PUBLISHED_ORDER), run.trial, run.seed)
