"""Table 1: the trials of a profile side by side, from the figures that their runs have written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Self

from vistrials.errors import SpecError
from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.intervals import MAX_DRAWS, MIN_DRAWS, Estimate, Interval, compute_interval
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.verdicts import Judgement, judge
from vistrials.reports.scored_runs import ScoredRun, ScoredRuns, find_scored_runs
from vistrials.reports.uncertainty import RunDraws, compute_ap_interval, compute_superiority, estimate_difference
from vistrials.runs.seed_plan import SeedPlan, read_seed_plan
from vistrials.specs.loading import load_table_rows
from vistrials.specs.merging import did_you_mean

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


def compare_runs(
    results_dir: Path | str,
    profile: str,
    split: str | None = None,
    *,
    truth: str = "visible",
    against: str = BASELINE,
    mix: bool = False,
    num_draws: int = NUM_DRAWS,
    margin: float | None = None,
    family: Sequence[str] = (),
) -> Comparison:
    """Compare all trials of a profile that have been evaluated.

    Args:
        results_dir, profile, split, truth, mix: as in `find_scored_runs`.
        against: the trial that differences are to, and verdicts on.
        num_draws: of videos, for the intervals; 0 leaves these out.
        margin: in AP in percent, within which trials count as equal; by default MARGIN, or that of a plan by which
            seeds were added until rows were decided.
        family: trials, or parts of the table (starts, study, neck, ...), to whose rows verdicts and their correction
            are confined; by default all rows, or those of such a plan.

    Raises:
        SpecError: the number of draws is neither 0 nor enough, or too large, the margin is not positive, or `against`
            or a name of the family is no trial of the table.
        RunError: as in `find_scored_runs`.
        DataError: a file of a run cannot be used.
    """
    _check_numbers(num_draws, margin)
    found = find_scored_runs(results_dir, profile, split, truth=truth, mix=mix)
    return compare_scored(found, against=against, num_draws=num_draws, margin=margin, family=family)


def compare_scored(
    found: ScoredRuns,
    *,
    against: str = BASELINE,
    num_draws: int = NUM_DRAWS,
    margin: float | None = None,
    family: Sequence[str] = (),
) -> Comparison:
    """Compare runs that have been read, which may be asked several questions: draws of videos are kept between them.

    Args:
        found: runs of a profile on a split.
        against, num_draws, margin, family: as in `compare_runs`.

    Raises:
        SpecError: as in `compare_runs`.
        DataError: the plan by which seeds were added is damaged.
    """
    _check_numbers(num_draws, margin)
    runs, trials = found.runs, found.trials
    if against not in trials and against != BASELINE:
        raise SpecError(f"against: no trial {against!r} in this table{did_you_mean(against, trials)}")
    plan = read_seed_plan(found.results_dir, found.profile, found.split)
    if margin is None:
        margin = plan.margin if plan else MARGIN
    named = {BASELINE, *plan.trials} if plan and not family else _members(family, trials)
    notes = [*found.notes, *found.resample(num_draws)]
    if plan and not family and (absent := [trial for trial in plan.trials if trial not in trials]):
        notes.append(f"verdicts are corrected for fewer rows than planned: no figures yet of {', '.join(absent)}")
    compared = [_row(trial, runs, found.split, against) for trial in trials]
    estimates = {row.trial: estimate for row, estimate in compared if estimate is not None and row.trial in named}
    judged = judge(estimates, margin, find_errors(plan.max_seeds) if plan else None)
    return Comparison(
        found.profile,
        found.split,
        against,
        tuple(replace(row, judgement=judged.get(row.trial)) for row, _ in compared),
        num_draws,
        next((len(run.resampled.video_ids) for run in runs if run.resampled), None),
        margin,
        plan,
        found.unfinished,
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
    found = find_scored_runs(results_dir, profile, split, mix=True)
    found.resample(NUM_DRAWS)  # runs without stored matches give no estimate
    rows = (_row(trial, found.runs, found.split, BASELINE) for trial in found.trials)
    return {row.trial: estimate for row, estimate in rows if estimate is not None}


def _check_numbers(num_draws: int, margin: float | None) -> None:
    if num_draws and not MIN_DRAWS <= num_draws <= MAX_DRAWS:
        raise SpecError(
            f"bootstrap: expected 0 for no intervals, or {MIN_DRAWS} to {MAX_DRAWS:,} draws, found {num_draws}"
        )
    if margin is not None:
        check_margin(margin)


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


def _row(trial: str, runs: Sequence[ScoredRun], split: str, against: str) -> tuple[Row, Estimate | None]:
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


def _paired(
    trial: str, runs: Sequence[ScoredRun], split: str, against: str
) -> tuple[list[tuple[ScoredRun, ScoredRun]], bool]:
    """Runs with those of the same seed of the other trial, no network twice, and whether a side has one network only.

    Against one network stand all of the other side.
    """
    base = {run.directory.seed: run for run in _scored(against, runs)}
    scored = _scored(trial, runs) if trial != against else []
    pairs = [(run, base[run.directory.seed]) for run in scored if run.directory.seed in base]
    distinct: list[tuple[ScoredRun, ScoredRun]] = []
    seen: set[str] = set()
    for pair in pairs:
        networks = {run.network(split) for run in pair}
        if not networks & seen:
            distinct.append(pair)
            seen |= networks
    return (distinct, False) if len(distinct) > 1 else (pairs, True)


def _one_per_network(runs: Sequence[ScoredRun], split: str) -> list[ScoredRun]:
    """Of runs with the same network the first."""
    return list({run.network(split): run for run in reversed(runs)}.values())[::-1]


def _scored(trial: str, runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    return [run for run in runs if run.directory.trial == trial and run.figures["AP"] >= 0]


def _all_resampled(runs: Sequence[ScoredRun]) -> list[RunDraws]:
    """None of them unless all are: the mean is over all seeds."""
    resampled = [run.resampled for run in runs if run.resampled]
    return resampled if len(resampled) == len(runs) else []
