"""Table 1: the trials of a profile side by side, from the figures that their runs have written."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Self

from vistrials.errors import DataError, RunError
from vistrials.reports.found_runs import find_runs
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.runs.provenance import read_provenance
from vistrials.specs.trial import TrialSpec
from vistrials.structures.json_file import load_json

FIGURES = ("AP", "AP50", "AP75", "AR1", "AR10")
BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Statistic:
    """Mean over seeds in percent, and the standard deviation of a sample (n - 1) where there are two or more."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """That of some values, None of none."""
        return cls(mean(values), stdev(values) if len(values) > 1 else None) if values else None


@dataclass(frozen=True, slots=True)
class Row:
    """One trial.

    figures: of `FIGURES`; None where no category could be scored.
    to_baseline: AP minus the baseline's AP of the same seed; None for the baseline and without common seeds.
    footnotes: what makes its runs not comparable with the others.
    """

    trial: str
    seeds: tuple[int, ...]
    figures: dict[str, Statistic | None]
    to_baseline: Statistic | None
    footnotes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Table 1 of a split, the runs that it lacks, and what else to know of those that it has."""

    profile: str
    split: str
    rows: tuple[Row, ...]
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    directory: RunDirectory
    spec: TrialSpec
    figures: dict[str, float]  # in percent; negative where there was nothing to score
    provenance: dict[str, Any]
    conditions: dict[str, str]  # what has to be the same for runs to be comparable
    footnotes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.directory.trial} seed {self.directory.seed}"


def compare_runs(results_dir: Path | str, profile: str, split: str | None = None, *, mix: bool = False) -> Comparison:
    """Compare all trials of a profile that have been evaluated.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        split: evaluated by the runs; by default the main split of most.
        mix: compare also what is not comparable, with footnotes.

    Raises:
        RunError: no run is evaluated on the split, or they are not comparable: their profile, annotations or
            version of this program differ, or the settings of a trial from seed to seed.
        DataError: a file of a run cannot be used.
    """
    found = find_runs(results_dir, profile)
    split = split or _most_common(directory.main_split for directory, _ in found)
    runs = [_read(*run, split) for run in found if run[0].is_evaluated(split)]
    if not runs:
        splits = ", ".join(sorted({name for _, spec in found for name in spec.data.splits}))
        raise RunError(
            f"{Path(results_dir) / profile}: none of its {len(found)} runs is evaluated on split {split} yet "
            f"(their splits: {splits}); `vistrials run-all -p {profile}` goes on with them"
        )
    _note_differences(runs)
    different = [run for run in runs if run.footnotes]
    if different and not mix:
        more = f" (and {len(different) - 1} more runs)" if len(different) > 1 else ""
        raise RunError(
            f"not comparable: {different[0].footnotes[0]}{more}; "
            "redo what differs with `vistrials run TRIAL --force`, or compare nevertheless with --mix"
        )
    return Comparison(
        profile,
        split,
        tuple(_row(trial, runs) for trial in dict.fromkeys(run.directory.trial for run in runs)),
        tuple(f"{run.trial} seed {run.seed}" for run, _ in found if not run.is_evaluated(split)),
        tuple(_notes(runs)),
    )


def _read(directory: RunDirectory, spec: TrialSpec, split: str) -> _Run:
    path = directory.metrics(split)
    metrics, provenance = load_json(path), read_provenance(directory.provenance)
    try:
        figures = {name: 100 * float(metrics[name]) for name in FIGURES}
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: expected the figures {', '.join(FIGURES)}; redo the run with --force") from None
    digests = {name: entry.get("sha256", "unknown")[:12] for name, entry in provenance.get("data", {}).items()}
    environments = [provenance, *provenance.get("stages", {}).values()]
    versions = {part["environment"].get("vistrials", "unknown") for part in environments if "environment" in part}
    conditions = {
        "profile": str(metrics.get("profile", "unknown")),
        f"annotations of {split}": digests.get(split, "unknown"),
        "annotations of train": digests.get("train", "unknown"),
        "vistrials": " and ".join(sorted(versions)) or "unknown",
    }
    return _Run(directory, spec, figures, provenance, conditions)


def _note_differences(runs: Sequence[_Run]) -> None:
    """Footnotes to runs that differ from most in a condition, or from the first seed of their trial in settings."""
    first: dict[str, _Run] = {}
    for run in runs:
        other = first.setdefault(run.directory.trial, run)
        if result_digest(run.spec) != result_digest(other.spec):
            run.footnotes.append(f"{run.name} has other settings than seed {other.directory.seed}")
        for condition, value in run.conditions.items():
            usual = _most_common(other.conditions[condition] for other in runs)
            if value != usual:
                run.footnotes.append(f"{run.name}: {condition} {value}, other runs have {usual}")


def _notes(runs: Sequence[_Run]) -> Iterable[str]:
    """What may matter, and does not keep runs from being compared: commits, and settings changed by hand."""
    trials_of: dict[str, dict[str, None]] = {}
    for run in runs:
        environment = run.provenance.get("environment", {})
        commit = (environment.get("commit") or "unknown")[:7] + (" with changes" if environment.get("dirty") else "")
        trials_of.setdefault(commit, {})[run.directory.trial] = None
    if len(trials_of) > 1:
        yield "runs come from several commits: " + "; ".join(
            f"{commit} {', '.join(names)}" for commit, names in trials_of.items()
        )
    overrides = {run.name: " ".join(run.provenance.get("overrides", [])) for run in runs}
    if len(set(overrides.values())) > 1:
        yield "settings given by hand: " + "; ".join(f"{name} {text}" for name, text in overrides.items() if text)


def _row(trial: str, runs: Sequence[_Run]) -> Row:
    own = [run for run in runs if run.directory.trial == trial]
    values = {
        name: {run.directory.seed: run.figures[name] for run in own if run.figures[name] >= 0} for name in FIGURES
    }
    base = {run.directory.seed: run.figures["AP"] for run in runs if run.directory.trial == BASELINE}
    differences = [ap - base[seed] for seed, ap in values["AP"].items() if base.get(seed, -1) >= 0]
    return Row(
        trial,
        tuple(run.directory.seed for run in own),
        {name: Statistic.of(list(of_seeds.values())) for name, of_seeds in values.items()},
        None if trial == BASELINE else Statistic.of(differences),
        tuple(note for run in own for note in run.footnotes),
    )


def _most_common(values: Iterable[str]) -> str:
    return Counter(values).most_common(1)[0][0]
