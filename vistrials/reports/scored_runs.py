"""The runs of a profile that have figures on a split: read, checked against each other, and resampled once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vistrials.errors import DataError, RunError
from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.intervals import MIN_VIDEOS
from vistrials.formats.json_file import load_json
from vistrials.machine import num_cores
from vistrials.reports.found_runs import find_readable_runs
from vistrials.reports.uncertainty import RunDraws, resample_run
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.runs.provenance import read_provenance
from vistrials.runs.recorded_spec import RecordedSpec
from vistrials.specs.truths import scored_name, split_of


@dataclass(slots=True)
class ScoredRun:
    """A run that has figures on the split.

    figures: of `TABLE_FIGURES` in percent; negative where there was nothing to score.
    conditions: what has to be the same for runs to be comparable.
    footnotes: what makes it not comparable with the others.
    resampled: None without stored matches, or before `ScoredRuns.resample`.
    """

    directory: RunDirectory
    recorded: RecordedSpec
    figures: dict[str, float]
    provenance: dict[str, Any]
    conditions: dict[str, str]
    footnotes: list[str] = field(default_factory=list)
    resampled: RunDraws | None = None

    @property
    def name(self) -> str:
        """As tables and messages call it."""
        return f"{self.directory.trial} seed {self.directory.seed}"

    @property
    def settings_digest(self) -> str:
        """Tells settings that change the result apart; of a spec with unknown settings all that is written."""
        spec = self.recorded.spec
        return result_digest(spec) if spec else self.recorded.digest

    @property
    def start(self) -> str | None:
        """The trial whose weights, with the same seed, it has started from."""
        kind, name = self.recorded.spec.init.source if self.recorded.spec else ("", "")
        return name if kind == "trial" else None

    def start_digest(self, split: str) -> str | None:
        """That of the weights it has started from, where the run has recorded one, or has not trained since."""
        recorded = self.provenance.get("initial_weights", {}).get("network_sha256")
        untrained = self.recorded.spec is not None and self.recorded.spec.train.max_iters == 0
        return recorded or (self.network_digest(split) if untrained else None)

    def network_digest(self, split: str) -> str | None:
        """That of the weights that predicted the split, where the run has recorded one."""
        inferred = self.provenance.get("stages", {}).get(f"infer/{split_of(split)}", {})
        return inferred.get("network_sha256")

    def network(self, split: str) -> str:
        """What tells its network from others: a digest of the weights, where the run has recorded one."""
        if digest := self.network_digest(split):
            return digest
        stages, start = self.provenance.get("stages", {}), self.provenance.get("initial_weights", {})
        inferred = stages.get(f"infer/{split_of(split)}", {})
        # Runs of earlier versions: the digest of their file covers its seed too, so one network has many.
        untrained = stages.get("train", {}).get("iterations") == 0 and "fresh" not in (start.get("report") or "fresh")
        if untrained and start.get("sha256"):
            return str(start["sha256"])
        return str(inferred.get("weights_sha256") or self.name)


@dataclass(slots=True)
class ScoredRuns:
    """The runs of a profile on a split, by trial in the order of tables, then by seed.

    split: with its truth, such as occlusion.amodal.
    unfinished: runs without figures on the split.
    notes: what to know of those that have some.
    num_draws: of videos, that `resample` has made.
    """

    results_dir: Path
    profile: str
    split: str
    runs: tuple[ScoredRun, ...]
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]
    num_draws: int = 0
    _lines: list[str] = field(default_factory=list)

    @property
    def trials(self) -> list[str]:
        """Their names, each once."""
        return list(dict.fromkeys(run.directory.trial for run in self.runs))

    def resample(self, num_draws: int) -> list[str]:
        """Resample the videos of each run, unless these draws are there; lines on runs where that is not possible.

        With 0 draws there are none.
        """
        if self.num_draws != num_draws:
            for run in self.runs:
                run.resampled = None
            self._lines = list(_resample(self.runs, self.split, num_draws)) if num_draws else []
            self.num_draws = num_draws
        return self._lines


def find_scored_runs(
    results_dir: Path | str, profile: str, split: str | None = None, *, truth: str = "visible", mix: bool = False
) -> ScoredRuns:
    """Read the figures of all runs of a profile that have been evaluated.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        split: evaluated by the runs; by default the main split of most.
        truth: visible, or amodal for whole objects, hidden or not.
        mix: take also what is not comparable, with footnotes.

    Raises:
        RunError: no run is evaluated on the split, or they are not comparable: their profile, annotations or
            version of this program differ, or the settings of a trial from seed to seed.
        DataError: a file of a run cannot be used.
    """
    found, unreadable = find_readable_runs(results_dir, profile)
    split = scored_name(split or _most_common(directory.main_split for directory, _ in found), truth)
    runs = [_read(*run, split) for run in found if run[0].is_evaluated(split)]
    if not runs:
        known = {name for _, recorded in found for name in recorded.splits}
        splits = ", ".join(sorted(known))
        if split_of(split) not in known:
            raise RunError(f"{Path(results_dir) / profile}: no split {split_of(split)!r} here; runs have {splits}")
        if split_of(split) != split and any(run.is_evaluated(split_of(split)) for run, _ in found):
            raise RunError(
                f"{Path(results_dir) / profile}: no run has figures against amodal truth on split {split_of(split)}; "
                "a profile that says data.truths: [visible, amodal] makes them, and "
                f"`vistrials run TRIAL -p {profile} --set 'data.truths=[visible, amodal]'` scores runs with predictions"
            )
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
    return ScoredRuns(
        Path(results_dir),
        profile,
        split,
        tuple(runs),
        tuple(f"{run.trial} seed {run.seed}" for run, _ in found if not run.is_evaluated(split)),
        (*_notes(runs, split), *(f"left out: {line}" for line in unreadable)),
    )


def _read(directory: RunDirectory, recorded: RecordedSpec, split: str) -> ScoredRun:
    path = directory.metrics(split)
    metrics, provenance = load_json(path), read_provenance(directory.provenance)
    try:
        figures = {name: 100 * float(metrics[name]) for name in TABLE_FIGURES}
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: expected the figures {', '.join(TABLE_FIGURES)}; redo the run with --force") from None
    digests = {name: entry.get("sha256", "unknown")[:12] for name, entry in provenance.get("data", {}).items()}
    environments = [provenance, *provenance.get("stages", {}).values()]
    versions = {part["environment"].get("vistrials", "unknown") for part in environments if "environment" in part}
    conditions = {
        "profile": str(metrics.get("profile", "unknown")),
        f"annotations of {split}": digests.get(split, "unknown"),
        "annotations of train": digests.get("train", "unknown"),
        "vistrials": " and ".join(sorted(versions)) or "unknown",
    }
    return ScoredRun(directory, recorded, figures, provenance, conditions)


def _note_differences(runs: Sequence[ScoredRun]) -> None:
    """Footnotes to runs that differ from most in a condition, or from the first seed of their trial in settings."""
    first: dict[str, ScoredRun] = {}
    for run in runs:
        other = first.setdefault(run.directory.trial, run)
        if run.settings_digest != other.settings_digest:
            run.footnotes.append(f"{run.name} has other settings than seed {other.directory.seed}")
        for condition, value in run.conditions.items():
            usual = _most_common(other.conditions[condition] for other in runs)
            if value != usual:
                run.footnotes.append(f"{run.name}: {condition} {value}, other runs have {usual}")


def _notes(runs: Sequence[ScoredRun], split: str) -> Iterable[str]:
    """What may matter, and does not keep runs from being compared: commits, settings by hand, other weights, ..."""
    commits: Counter[str] = Counter()
    for run in runs:
        environment = run.provenance.get("environment", {})
        commits[(environment.get("commit") or "unknown")[:7] + " with changes" * bool(environment.get("dirty"))] += 1
    if len(commits) > 1:
        yield "runs come from several commits: " + ", ".join(f"{name} ({count})" for name, count in commits.items())
    overrides = {run.name: " ".join(run.provenance.get("overrides", [])) for run in runs}
    if len(set(overrides.values())) > 1:
        yield "settings given by hand: " + "; ".join(f"{name} {text}" for name, text in overrides.items() if text)
    unknown = ", ".join(f"{run.name} ({run.recorded.problem})" for run in runs if run.recorded.problem)
    if unknown:
        yield f"compared by their figures alone, since this version does not know all of their settings: {unknown}"
    digests = {(run.directory.trial, run.directory.seed): run.network_digest(split) for run in runs}
    other_starts = []
    for run in runs:
        beside, taken = digests.get((run.start or "", run.directory.seed)), run.start_digest(split)
        if beside and taken and beside != taken:
            other_starts.append(f"{run.name} ({run.start})")
    if other_starts:
        yield (
            "start from other weights than the run of the same seed here has, so that the difference to it is that of "
            f"two trainings as well: {', '.join(other_starts)}"
        )


def _resample(runs: Sequence[ScoredRun], split: str, num_draws: int) -> Iterable[str]:
    """Resample the videos of each run; lines on those where that is not possible."""
    scored = [run for run in runs if run.figures["AP"] >= 0]
    missing = [run for run in scored if not run.directory.matches(split).exists()]
    stored = [run for run in scored if run not in missing]
    with ThreadPoolExecutor(num_cores()) as threads:
        resampled = threads.map(lambda run: _try_to_resample(run, split, num_draws), stored)
    for run, outcome in zip(stored, resampled, strict=True):
        if isinstance(outcome, DataError):
            yield f"{run.name} has no interval: {outcome}"
        else:
            run.resampled = outcome
    fewest = min((len(run.resampled.video_ids) for run in runs if run.resampled), default=None)
    if missing:
        first = missing[0].directory
        yield (
            f"no interval, because {first.matches(split).name} is missing: {', '.join(run.name for run in missing)}; "
            f"where {first.predictions(split_of(split)).name} is left, delete {first.metrics(split).name} and "
            f"`vistrials run {first.trial}` only scores it again"
        )
    if fewest is not None and fewest < MIN_VIDEOS:
        yield f"no interval from {fewest} videos: it takes {MIN_VIDEOS} or more"


def _try_to_resample(run: ScoredRun, split: str, num_draws: int) -> RunDraws | DataError:
    try:
        return resample_run(run.directory.matches(split), run.figures["AP"], num_draws)
    except DataError as error:
        return error


def _most_common(values: Iterable[str]) -> str:
    return Counter(values).most_common(1)[0][0]
