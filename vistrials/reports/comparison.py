"""Table 1: the trials of a profile side by side, from the figures that their runs have written."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Self

from vistrials.errors import DataError, RunError, SpecError
from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.intervals import MIN_DRAWS, MIN_VIDEOS, Estimate, Interval, compute_interval
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.verdicts import Judgement, judge
from vistrials.formats.json_file import load_json
from vistrials.machine import num_cores
from vistrials.reports.found_runs import find_readable_runs
from vistrials.reports.uncertainty import (
    RunDraws,
    compute_ap_interval,
    compute_superiority,
    estimate_difference,
    resample_run,
)
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.runs.provenance import read_provenance
from vistrials.runs.recorded_spec import RecordedSpec
from vistrials.runs.seed_plan import SeedPlan, read_seed_plan
from vistrials.specs.loading import load_table_rows
from vistrials.specs.merging import did_you_mean
from vistrials.specs.truths import scored_name, split_of

BASELINE = "baseline"
NUM_DRAWS = 10_000
MARGIN = 1.0
"""AP, in percent, by which trials may differ and still count as equal."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """Mean over networks in percent, and the standard deviation of a sample (n - 1) where there are two or more."""

    mean: float
    sd: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """That of some values, None of none."""
        return cls(mean(values), stdev(values) if len(values) > 1 else None) if values else None


@dataclass(frozen=True, slots=True)
class Row:
    """One trial.

    num_networks: how many different ones its seeds have; one where a trial trains for no step.
    figures: of `TABLE_FIGURES`; None where no category could be scored.
    interval: 95 % interval of AP; None without stored matches, or with too few videos. Of one network it covers the
        choice of videos only.
    difference: AP minus that of the trial compared with, of the same seed; None for that trial itself and without
        common seeds.
    difference_interval: that of the difference; covers videos only where either side is one network.
    superiority: P(A > B), the share of seeds and drawn videos on which it has more AP than the trial compared with.
    judgement: on the difference, in its family; None outside of the family, and where either side is one network,
        since nothing says how much others vary.
    footnotes: what makes its runs not comparable with the others.
    """

    trial: str
    seeds: tuple[int, ...]
    num_networks: int
    figures: dict[str, Statistic | None]
    interval: Interval | None
    difference: Statistic | None
    difference_interval: Interval | None
    superiority: float | None
    judgement: Judgement | None
    footnotes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Table 1 of a split, the runs that it lacks, and what else to know of those that it has.

    against: the trial that differences are to.
    num_draws: of videos, for the intervals; 0 without intervals.
    num_videos: how many there are to draw from, where runs have stored matches.
    margin: in AP in percent, within which trials count as equal.
    seed_plan: by which seeds were added until rows were decided; None where their number was fixed.
    """

    profile: str
    split: str
    against: str
    rows: tuple[Row, ...]
    num_draws: int
    num_videos: int | None
    margin: float
    seed_plan: SeedPlan | None
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    directory: RunDirectory
    recorded: RecordedSpec
    figures: dict[str, float]  # in percent; negative where there was nothing to score
    provenance: dict[str, Any]
    conditions: dict[str, str]  # what has to be the same for runs to be comparable
    footnotes: list[str] = field(default_factory=list)
    resampled: RunDraws | None = None

    @property
    def name(self) -> str:
        return f"{self.directory.trial} seed {self.directory.seed}"

    @property
    def settings_digest(self) -> str:
        """Tells settings that change the result apart; of a spec with unknown settings all that is written."""
        spec = self.recorded.spec
        return result_digest(spec) if spec else self.recorded.digest

    def network(self, split: str) -> str:
        """What tells its network from others: a digest of the weights, where the run has recorded one."""
        stages, start = self.provenance.get("stages", {}), self.provenance.get("initial_weights", {})
        inferred = stages.get(f"infer/{split_of(split)}", {})
        if digest := inferred.get("network_sha256"):
            return str(digest)
        # Runs of earlier versions: the digest of their file covers its seed too, so one network has many.
        untrained = stages.get("train", {}).get("iterations") == 0 and "fresh" not in (start.get("report") or "fresh")
        if untrained and start.get("sha256"):
            return str(start["sha256"])
        return str(inferred.get("weights_sha256") or self.name)


def compare_runs(
    results_dir: Path | str,
    profile: str,
    split: str | None = None,
    *,
    truth: str = "visible",
    against: str = BASELINE,
    mix: bool = False,
    num_draws: int = NUM_DRAWS,
    margin: float = MARGIN,
    family: Sequence[str] = (),
) -> Comparison:
    """Compare all trials of a profile that have been evaluated.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        split: evaluated by the runs; by default the main split of most.
        truth: visible, or amodal for whole objects, hidden or not.
        against: the trial that differences are to, and verdicts on.
        mix: compare also what is not comparable, with footnotes.
        num_draws: of videos, for the intervals; 0 leaves these out.
        margin: in AP in percent, within which trials count as equal.
        family: trials, or parts of the table (starts, study, neck, ...), to whose rows verdicts and their correction
            are confined; by default all rows, or those of a plan by which seeds were added until they were decided.

    Raises:
        SpecError: the number of draws is neither 0 nor enough, the margin is not positive, or `against` or a name of
            the family is no trial of the table.
        RunError: no run is evaluated on the split, or they are not comparable: their profile, annotations or
            version of this program differ, or the settings of a trial from seed to seed.
        DataError: a file of a run cannot be used.
    """
    if num_draws and num_draws < MIN_DRAWS:
        raise SpecError(f"bootstrap: expected 0 for no intervals, or {MIN_DRAWS} draws or more, found {num_draws}")
    check_margin(margin)
    found, unreadable = find_readable_runs(results_dir, profile)
    split = scored_name(split or _most_common(directory.main_split for directory, _ in found), truth)
    runs = [_read(*run, split) for run in found if run[0].is_evaluated(split)]
    if not runs:
        splits = ", ".join(sorted({name for _, recorded in found for name in recorded.splits}))
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
    notes = [*_notes(runs), *(f"left out: {line}" for line in unreadable)]
    if num_draws:
        notes += _resample(runs, split, num_draws)
    trials = list(dict.fromkeys(run.directory.trial for run in runs))
    if against not in trials and against != BASELINE:
        raise SpecError(f"against: no trial {against!r} in this table{did_you_mean(against, trials)}")
    plan = read_seed_plan(results_dir, profile, split)
    named = _members(family or ((BASELINE, *plan.trials) if plan else ()), trials)
    compared = [_row(trial, runs, split, against) for trial in trials]
    estimates = {row.trial: estimate for row, estimate in compared if estimate is not None and row.trial in named}
    judged = judge(estimates, margin, _errors(compared, plan))
    return Comparison(
        profile,
        split,
        against,
        tuple(replace(row, judgement=judged.get(row.trial)) for row, _ in compared),
        num_draws,
        next((len(run.resampled.video_ids) for run in runs if run.resampled), None),
        margin,
        plan,
        tuple(f"{run.trial} seed {run.seed}" for run, _ in found if not run.is_evaluated(split)),
        tuple(notes),
    )


def estimate_differences(results_dir: Path | str, profile: str, split: str | None = None) -> dict[str, Estimate]:
    """Mean differences of AP to the baseline, in percent, of trials with two networks or more; runs as they are.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        split: evaluated by the runs; by default the main split of most.

    Raises:
        RunError: there are no runs.
        DataError: a file of a run cannot be used.
    """
    found, _ = find_readable_runs(results_dir, profile)
    split = split or _most_common(directory.main_split for directory, _ in found)
    runs = [_read(*run, split) for run in found if run[0].is_evaluated(split)]
    for _ in _resample(runs, split, NUM_DRAWS):
        pass  # runs without stored matches give no estimate
    rows = (_row(trial, runs, split, BASELINE) for trial in dict.fromkeys(run.directory.trial for run in runs))
    return {row.trial: estimate for row, estimate in rows if estimate is not None}


def check_margin(margin: float) -> None:
    """Refuse a margin that is no size, before any work is done.

    Raises:
        SpecError: it is not positive, or infinite.
    """
    if not 0 < margin < math.inf:
        raise SpecError(f"margin: expected AP above 0 within which trials count as equal, found {margin:g}")


def _members(family: Sequence[str], trials: Sequence[str]) -> set[str]:
    """The trials that the names of a family mean; all of a table without names."""
    parts = load_table_rows()
    unknown = [name for name in family if name not in parts and name not in trials]
    if unknown:
        known = [*parts, *trials]
        raise SpecError(f"family: no trial {unknown[0]!r} in this table{did_you_mean(unknown[0], known)}")
    if not family:
        return set(trials)
    members = {trial for name in family for trial in parts.get(name, (name,))}
    if members.isdisjoint(trials):
        raise SpecError(f"family: no trial of {', '.join(family)} in this table; expected some of {', '.join(trials)}")
    return members


def _errors(compared: Iterable[tuple[Row, Estimate | None]], plan: SeedPlan | None) -> dict[str, float]:
    """The errors that rows may have at the look at which they stand; none where their number of seeds was fixed."""
    if plan is None:
        return {}
    of_looks = find_errors(plan.max_seeds)
    return {row.trial: of_looks[min(estimate.num_networks, plan.max_seeds)] for row, estimate in compared if estimate}


def _read(directory: RunDirectory, recorded: RecordedSpec, split: str) -> _Run:
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
    return _Run(directory, recorded, figures, provenance, conditions)


def _note_differences(runs: Sequence[_Run]) -> None:
    """Footnotes to runs that differ from most in a condition, or from the first seed of their trial in settings."""
    first: dict[str, _Run] = {}
    for run in runs:
        other = first.setdefault(run.directory.trial, run)
        if run.settings_digest != other.settings_digest:
            run.footnotes.append(f"{run.name} has other settings than seed {other.directory.seed}")
        for condition, value in run.conditions.items():
            usual = _most_common(other.conditions[condition] for other in runs)
            if value != usual:
                run.footnotes.append(f"{run.name}: {condition} {value}, other runs have {usual}")


def _notes(runs: Sequence[_Run]) -> Iterable[str]:
    """What may matter, and does not keep runs from being compared: commits, settings by hand, unknown settings."""
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


def _resample(runs: Sequence[_Run], split: str, num_draws: int) -> Iterable[str]:
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


def _try_to_resample(run: _Run, split: str, num_draws: int) -> RunDraws | DataError:
    try:
        return resample_run(run.directory.matches(split), run.figures["AP"], num_draws)
    except DataError as error:
        return error


def _row(trial: str, runs: Sequence[_Run], split: str, against: str) -> tuple[Row, Estimate | None]:
    """A row without its judgement, and the difference to judge, if there is one of several networks."""
    own = [run for run in runs if run.directory.trial == trial]
    networks = _one_per_network(own, split)
    values = {name: [run.figures[name] for run in networks if run.figures[name] >= 0] for name in TABLE_FIGURES}
    pairs, one_network = _paired(trial, runs, split, against)
    differences = [run.figures["AP"] - other.figures["AP"] for run, other in pairs]
    difference = Statistic.of(differences)
    resampled, base = _all_resampled([run for run, _ in pairs]), _all_resampled([run for _, run in pairs])
    estimate = estimate_difference(resampled, base, trial, one_network=one_network) if resampled and base else None
    row = Row(
        trial,
        tuple(run.directory.seed for run in own),
        len(networks),
        {name: Statistic.of(of_networks) for name, of_networks in values.items()},
        compute_ap_interval(_all_resampled(_one_per_network(_scored(trial, runs), split)), trial),
        # With one network on a side, the spread over pairs is that of the other side alone.
        difference and (Statistic(difference.mean, None) if one_network else difference),
        compute_interval(estimate) if estimate else None,
        compute_superiority(resampled, base) if estimate else None,
        None,
        tuple(note for run in own for note in run.footnotes),
    )
    return row, None if one_network else estimate


def _paired(trial: str, runs: Sequence[_Run], split: str, against: str) -> tuple[list[tuple[_Run, _Run]], bool]:
    """Runs with those of the same seed of the other trial, no network twice, and whether a side has one network only.

    Against one network stand all of the other side.
    """
    base = {run.directory.seed: run for run in _scored(against, runs)}
    scored = _scored(trial, runs) if trial != against else []
    pairs = [(run, base[run.directory.seed]) for run in scored if run.directory.seed in base]
    distinct: list[tuple[_Run, _Run]] = []
    seen: set[str] = set()
    for pair in pairs:
        networks = {run.network(split) for run in pair}
        if not networks & seen:
            distinct.append(pair)
            seen |= networks
    return (distinct, False) if len(distinct) > 1 else (pairs, True)


def _one_per_network(runs: Sequence[_Run], split: str) -> list[_Run]:
    """Of runs with the same network the first."""
    return list({run.network(split): run for run in reversed(runs)}.values())[::-1]


def _scored(trial: str, runs: Sequence[_Run]) -> list[_Run]:
    return [run for run in runs if run.directory.trial == trial and run.figures["AP"] >= 0]


def _all_resampled(runs: Sequence[_Run]) -> list[RunDraws]:
    """None of them unless all are: the mean is over all seeds."""
    resampled = [run.resampled for run in runs if run.resampled]
    return resampled if len(resampled) == len(runs) else []


def _most_common(values: Iterable[str]) -> str:
    return Counter(values).most_common(1)[0][0]
