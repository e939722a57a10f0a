"""Seeds added to trials until a verdict on each is in, so that no run is spent on what is decided."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from vistrials.engine.reporting import SilentReporter
from vistrials.errors import RunError, SpecError
from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import BASELINE, MARGIN, check_margin, compare_runs
from vistrials.reports.comparison_text import verdict
from vistrials.reports.found_runs import find_readable_runs
from vistrials.runs.seed_plan import FIRST_LOOK, SeedPlan, keep_seed_plan
from vistrials.specs.trial import TrialSpec
from vistrials.study import Executor, Failure, Local, OpenReporter, run_all


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the trials.

    undecided: those that are so with the last seed.
    failures: of runs; they end the looks.
    num_runs: that were asked for, and num_planned, with all seeds for all.
    """

    undecided: tuple[str, ...]
    failures: tuple[Failure, ...]
    num_runs: int
    num_planned: int


def run_until_decided(
    specs: Sequence[TrialSpec],
    results_dir: Path | str = "results",
    split: str | None = None,
    *,
    margin: float = MARGIN,
    max_seeds: int = 10,
    device: str = "auto",
    overrides: Sequence[str] = (),
    executor: Executor = Local(),  # noqa: B008 - it holds no state
    open_reporter: OpenReporter = lambda name: nullcontext(SilentReporter()),
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run trials and their baseline with FIRST_LOOK seeds, then those that are undecided with one more, and so on.

    The plan is kept with the runs: `compare` takes from it how small p has to be at each number of seeds, so that all
    looks together err as one would (`evaluation.looks`).

    Args:
        specs: the resolved trials, baseline among them.
        results_dir: the runs live in results_dir/<profile>/<trial>/seed<N>/; finished runs are skipped.
        split: on which trials are decided; the main one by default.
        margin: in AP in percent, within which trials count as equal.
        max_seeds: after which what is undecided stays so.
        device, overrides, executor, open_reporter: as in `run_all`.
        say: takes a line about each look.

    Raises:
        SpecError: no baseline, too few seeds, no margin, or the trials do not predict the split.
        RunError: another plan has begun in this folder, or runs are not comparable.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    by_name = {spec.name: spec for spec in specs}
    if BASELINE not in by_name or len(by_name) < 2:
        raise SpecError(
            f"until decided: expected {BASELINE} and a trial to compare with it, found {', '.join(by_name)}"
        )
    check_margin(margin)
    if max_seeds < FIRST_LOOK:
        raise SpecError(f"until decided: expected {FIRST_LOOK} seeds or more at most, found {max_seeds}")
    base = by_name[BASELINE]
    split = split or base.data.splits[0]
    for spec in specs:
        if split not in spec.data.splits:
            raise SpecError(f"until decided: {spec.name} predicts {', '.join(spec.data.splits)}, expected {split}")
    trials = tuple(name for name in by_name if name != BASELINE)
    begins = keep_seed_plan(results_dir, base.profile, SeedPlan(split, margin, max_seeds, trials))
    if begins and _has_figures(results_dir, base.profile, split):
        say("runs had figures before this plan: its error holds if they were not what it was made for")
    undecided, num_runs, first = trials, 0, 0
    for look in range(FIRST_LOOK, max_seeds + 1):
        todo = [spec for spec in by_name.values() if spec.name in (BASELINE, *undecided)]
        failures = run_all(
            todo,
            results_dir,
            range(first, look),
            device=device,
            overrides=overrides,
            executor=executor,
            open_reporter=open_reporter,
        )
        num_runs += len(todo) * (look - first)
        if failures:
            return Outcome(undecided, tuple(failures), num_runs, len(by_name) * max_seeds)
        undecided, first = _look(results_dir, base.profile, split, undecided, look, say), look
        if not undecided:
            break
    return Outcome(undecided, (), num_runs, len(by_name) * max_seeds)


def _has_figures(results_dir: Path | str, profile: str, split: str) -> bool:
    try:
        found, _ = find_readable_runs(results_dir, profile)
    except RunError:
        return False
    return any(run.is_evaluated(split) for run, _ in found)


def _look(
    results_dir: Path | str,
    profile: str,
    split: str,
    trials: tuple[str, ...],
    look: int,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """The trials that are still undecided."""
    rows = {row.trial: row for row in compare_runs(results_dir, profile, split).rows}
    left = []
    for trial in trials:
        judgement = rows[trial].judgement
        if judgement is None:
            say(f"{look} seeds: {trial} gets no verdict with more of them; `vistrials compare` says why")
            continue
        # Where runs were here before, there are more seeds than this look asks for.
        say(f"{rows[trial].num_networks} seeds: {trial} is {verdict(judgement)}")
        if judgement.verdict is Verdict.UNDECIDED:
            left.append(trial)
    return tuple(left)
