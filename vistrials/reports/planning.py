"""What a study will cost, from runs that were measured or a given speed, and how many seeds and videos it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from scipy.special import ndtri

from vistrials.errors import RunError, SpecError
from vistrials.evaluation.intervals import Estimate
from vistrials.evaluation.verdicts import ERROR, Needed, find_needed
from vistrials.reports.comparison import BASELINE, estimate_differences
from vistrials.reports.found_runs import find_readable_runs
from vistrials.runs.provenance import read_provenance
from vistrials.specs.trial import TrialSpec

POWER = 0.8
"""Usual share of studies that are to find a difference which is there."""


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial of a study.

    starts_from: the trial that is trained before it, if there is one.
    iterations: of its training.
    steps_per_second: of its training.
    seconds: of a run: training, and predictions and scores where they were measured.
    device: that was measured; None with a given speed.
    cores: that share a run, 1 on a GPU.
    measured_on: the trial whose runs were measured; None with a given speed.
    """

    trial: str
    starts_from: str | None
    iterations: int
    steps_per_second: float | None
    seconds: float
    device: str | None
    cores: int
    measured_on: str | None

    @property
    def is_on_cpu(self) -> bool:
        """Whether its time is that of cores."""
        return self.device is not None and self.device.startswith("cpu")


@dataclass(frozen=True, slots=True)
class NeededFor:
    """What it takes to find a difference of a trial to the baseline.

    at_even_odds: where the difference that is measured is the true one: half of such studies find it.
    with_power: where POWER of them are to find it.
    measured_on: the trial whose variances these are.
    """

    trial: str
    at_even_odds: Needed
    with_power: Needed
    measured_on: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A study: its trials, each with so many seeds.

    needed: empty without a difference to find.
    """

    trials: tuple[PlannedTrial, ...]
    seeds: tuple[int, ...]
    needed: tuple[NeededFor, ...]

    @property
    def num_runs(self) -> int:
        return len(self.trials) * len(self.seeds)

    @property
    def hours(self) -> dict[str, float]:
        """Of all runs: GPU-hours, core-hours, or hours of what a given speed is of."""
        totals: dict[str, float] = {}
        for trial in self.trials:
            unit = "hours" if trial.device is None else "core-hours" if trial.is_on_cpu else "GPU-hours"
            totals[unit] = totals.get(unit, 0.0) + len(self.seeds) * trial.cores * trial.seconds / 3600
        return totals

    def to_json(self) -> dict[str, Any]:
        """Plain values, under the names of the fields."""
        return asdict(self) | {"num_runs": self.num_runs, "hours": self.hours}


def plan_study(
    specs: Sequence[TrialSpec],
    seeds: Sequence[int],
    results_dir: Path | str,
    *,
    speed: float | None = None,
    iterations: int | None = None,
    delta: float | None = None,
    split: str | None = None,
) -> Plan:
    """Plan a study.

    Args:
        specs: the resolved trials, of one profile.
        seeds: of the runs.
        results_dir: where runs of the profile may have been made, to measure.
        speed: steps per second of a training, instead of what was measured.
        iterations: of trainings whose length is in epochs, and whose trial has no run that says.
        delta: AP, in percent, by which a trial may differ from the baseline, and which is to be found.
        split: on which; the main one by default.

    Raises:
        SpecError: nothing says how fast a trial trains, or how many steps; or a number is not positive.
        RunError: there are no runs to take variances from.
        DataError: a file of a run cannot be used.
    """
    for name, value in {"speed": speed, "iters": iterations, "delta": delta}.items():
        if value is not None and not value > 0:
            raise SpecError(f"--{name} {value:g}: expected more than 0")
    measured = (
        {} if speed is not None and all(_steps(spec) for spec in specs) else _measure(results_dir, specs[0].profile)
    )
    trials = tuple(_plan_trial(spec, measured, speed, iterations) for spec in specs)
    needed = _needed(specs, results_dir, delta, split) if delta is not None else ()
    return Plan(trials, tuple(seeds), needed)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Of one run: of its training steps and seconds, of predictions and scores seconds."""

    iterations: int
    train_seconds: float
    more_seconds: float
    device: str
    cores: int


def _measure(results_dir: Path | str, profile: str) -> dict[str, list[_Measured]]:
    """Finished runs of a profile, by trial."""
    measured: dict[str, list[_Measured]] = {}
    try:
        found, _ = find_readable_runs(results_dir, profile)
    except RunError:
        return {}
    for directory, recorded in found:
        if not all(directory.is_evaluated(split) for split in recorded.splits):
            continue
        content = read_provenance(directory.provenance)
        stages = content.get("stages", {})
        train = stages.get("train", {})
        if train.get("finished") and train.get("iterations"):
            more = sum(entry.get("seconds", 0.0) for name, entry in stages.items() if name != "train")
            is_on_cpu = train["device"].startswith("cpu")
            environment = train.get("environment") or content.get("environment", {})
            cores = environment.get("threads") or environment.get("cpu_count") or 1
            run = _Measured(train["iterations"], train["seconds"], more, train["device"], cores if is_on_cpu else 1)
            measured.setdefault(directory.trial, []).append(run)
    return measured


def _plan_trial(
    spec: TrialSpec, measured: Mapping[str, list[_Measured]], speed: float | None, iterations: int | None
) -> PlannedTrial:
    kind, name = spec.init.source
    start = name if kind == "trial" else None
    own = measured.get(spec.name, [])
    steps = _steps(spec, own[0].iterations if own else iterations)
    if steps is None:
        raise SpecError(
            f"{spec.name}: trains for {spec.train.epochs} epochs, and no run of it says how many steps these have; "
            "give --iters"
        )
    if speed is not None:
        return PlannedTrial(spec.name, start, steps, speed, steps / speed, None, 1, None)
    on, runs = (spec.name, own) if own else next(iter(measured.items()), ("", []))
    if not runs:
        raise SpecError(
            f"{spec.name}: no finished run of profile {spec.profile} says how fast it trains; give --speed, "
            "in steps per second, or --results"
        )
    rate = mean(run.iterations / run.train_seconds for run in runs)
    seconds = steps / rate + mean(run.more_seconds for run in runs)
    return PlannedTrial(spec.name, start, steps, rate, seconds, runs[0].device, runs[0].cores, on)


def _steps(spec: TrialSpec, otherwise: int | None = None) -> int | None:
    return spec.train.max_iters if spec.train.max_iters is not None else otherwise


def _needed(
    specs: Sequence[TrialSpec], results_dir: Path | str, delta: float, split: str | None
) -> tuple[NeededFor, ...]:
    """What each trial takes; one without runs as the one that varies most between seeds."""
    estimates = estimate_differences(results_dir, specs[0].profile, split)
    if not estimates:
        raise RunError(
            f"{Path(results_dir) / specs[0].profile}: no trial has figures of two seeds beside {BASELINE}, so nothing "
            "says how much they vary; `vistrials run-all --seeds 0,1,2` of two trials does"
        )
    most = max(estimates, key=lambda trial: estimates[trial].seed_variance)
    trials = [spec.name for spec in specs if spec.name != BASELINE]
    certain = delta * _certain_share(ERROR / max(1, len(trials)))
    found = []
    for trial in trials:
        on = trial if trial in estimates else most
        even, surely = (_find(estimates[on], size, len(trials)) for size in (delta, certain))
        found.append(NeededFor(trial, even, surely, on))
    return tuple(found)


def _find(estimate: Estimate, delta: float, num_rows: int) -> Needed:
    """As `find_needed` for a difference of delta, were there no runs yet."""
    # Only a difference is looked for: with a margin of its own size nothing can be found equal.
    return find_needed(replace(estimate, value=delta, num_networks=1), delta, num_rows)


def _certain_share(error: float) -> float:
    """The part of a difference that POWER of all studies find at least, in normal approximation."""
    critical = float(ndtri(1 - error / 2))
    return critical / (critical + float(ndtri(POWER)))
