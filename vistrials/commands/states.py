"""How far runs are, what they will cost, and those of several machines in one place: status, plan, collect."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vistrials.commands.options import Overrides, Profile, Results, seed_numbers
from vistrials.errors import SpecError

if TYPE_CHECKING:
    from vistrials.evaluation.verdicts import Needed
    from vistrials.reports.run_states import RunState

app = typer.Typer()

WATCH_SECONDS = 5.0

_COLUMNS = ("run", "state", "stage", "step", "a second", "loss", "left", "host", "job", "waits for", "why")


@app.command()
def status(
    trials: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRIAL]...",
            help="Trials or parts of the table, begun or not (default: all runs that are there).",
        ),
    ] = None,
    profile: Profile = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Of the trials named (default 0).", show_default=False)
    ] = None,
    results: Results = Path("results"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again until nothing goes on any more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, a list of runs.")] = False,
) -> None:
    """How far each run is: stage, step, rate, loss, time left; where it runs, what it waits for, and why it failed."""
    if watch and as_json:
        raise SpecError("--watch: expected none with --json, which is written once")
    if seeds is not None and not trials:
        raise SpecError("--seeds: expected only with trials named; without any, all runs that are there are shown")
    from vistrials.cluster.squeue import read_queue
    from vistrials.commands.display import live_table, show_table, show_text
    from vistrials.reports.run_states import GOING_ON, find_run_states
    from vistrials.specs.loading import load_trial, trials_of_parts

    specs = [load_trial(trial, profile) for trial in trials_of_parts(trials)] if trials else []
    wanted = [(spec, seed) for seed in seed_numbers(seeds or "0") for spec in specs]

    def look() -> "list[RunState]":
        return find_run_states(results, profile, wanted, read_queue)

    states = look()
    if as_json:
        show_text(json.dumps([state.to_json() for state in states], indent=1))
        return
    if not states:
        show_text(f"{results}: no runs here yet; `vistrials run TRIAL` or `vistrials run-all` makes them")
        return
    if watch:
        with live_table() as show:
            while True:
                show(_summary(states), *_table(states))
                if not any(state.state in GOING_ON for state in states):
                    break
                time.sleep(WATCH_SECONDS)
                states = look()
    show_table(None, *_table(states), ("host", "a second", "job", "stage", "loss"))
    show_text(_summary(states))


@app.command("plan")
def plan_command(
    trials: Annotated[list[str], typer.Argument(metavar="TRIAL...", help="Trials, or parts of the table.")],
    profile: Profile = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="Seeds, each a run of every trial.")] = "0,1,2",
    delta: Annotated[
        float | None,
        typer.Option(
            metavar="D", help="AP that is to be found, in percent: seeds and videos needed.", show_default=False
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Steps per second of a training, instead of those measured.", show_default=False
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option("--iters", metavar="N", help="Steps of trainings given in epochs.", show_default=False),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of --delta: split that decides (the first).", show_default=False)
    ] = None,
    results: Results = Path("results"),
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """What a study will cost, from measured runs or a given speed, and the seeds and videos that it takes."""
    if split is not None and delta is None:
        raise SpecError("--split: expected only with --delta")
    from vistrials.commands.display import count, duration, show_table, show_text
    from vistrials.reports.planning import POWER, plan_study
    from vistrials.specs.loading import load_trial, trials_of_parts

    specs = [load_trial(trial, profile, overrides or []) for trial in trials_of_parts(trials)]
    plan = plan_study(specs, seed_numbers(seeds), results, speed=speed, iterations=iterations, delta=delta, split=split)
    if as_json:
        show_text(json.dumps(plan.to_json(), indent=1))
        return
    rows = [
        (
            trial.trial,
            trial.starts_from or "",
            count(trial.iterations),
            f"{trial.steps_per_second:.3g}" if trial.steps_per_second else "",
            duration(trial.seconds),
            f"{trial.measured_on}, {trial.device}" if trial.measured_on else "the speed given, without predictions",
        )
        for trial in plan.trials
    ]
    show_table(None, ("trial", "starts from", "steps", "a second", "a run", "from"), rows)
    totals = " and ".join(f"{hours:,.1f} {unit}" for unit, hours in plan.hours.items())
    show_text(f"{plan.num_runs} runs of {len(plan.seeds)} seeds: {totals}")
    if plan.needed:
        columns = ("trial", "seeds, even odds", "videos", f"seeds, {POWER:.0%}", "videos", "variances of")
        show_table(
            f"to find a difference of {delta:g} AP to the baseline",
            columns,
            [
                (needed.trial, *_needed(needed.at_even_odds), *_needed(needed.with_power), needed.measured_on)
                for needed in plan.needed
            ],
        )
        show_text(
            f"about, since the variances were measured with few seeds; {len(plan.needed)} trials are judged together"
        )


def _needed(needed: "Needed") -> tuple[str, str]:
    """Seeds, and videos."""
    if needed.seeds is None:
        return "too many", ""
    return str(needed.seeds), str(needed.videos) if needed.videos is not None else "enough"


@app.command("collect")
def collect_command(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders, of several machines.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RESULTS", help="Results folder to gather them in.")],
) -> None:
    """Gather the finished runs of several results folders in one; two different runs of one name are refused."""
    from vistrials.commands.display import progress_bar, show_text
    from vistrials.finished_runs.collecting import collect

    with progress_bar("collect") as progress:
        collection = collect(folders, out, progress)
    for line in collection.duplicates:
        show_text(f"duplicate: {line}")
    for line in collection.left_out:
        show_text(f"left out: {line}")
    show_text(
        f"{out}: {len(collection.copied)} copied, {len(collection.duplicates)} duplicates, "
        f"{len(collection.left_out)} left out"
    )


def _summary(states: "Sequence[RunState]") -> str:
    counts = Counter(state.state.value for state in states)
    return f"{len(states)} runs: " + ", ".join(f"{number} {name}" for name, number in counts.most_common())


def _table(states: "Sequence[RunState]") -> tuple[list[str], list[list[str]]]:
    """Columns and rows, without the columns that say nothing."""
    rows = _rows(states)
    said = [place for place in range(len(_COLUMNS)) if any(row[place] for row in rows)]
    return [_COLUMNS[place] for place in said], [[row[place] for place in said] for row in rows]


def _rows(states: "Sequence[RunState]") -> list[tuple[str, ...]]:
    from vistrials.commands.display import count, duration

    several = len({state.profile for state in states}) > 1
    rows: list[tuple[str, ...]] = []
    for state in states:
        name = f"{state.trial} seed {state.seed}"
        steps = (
            f"{count(state.step)} of {count(state.total)}" if state.total else count(state.step) if state.step else ""
        )
        rows.append(
            (
                f"{state.profile}: {name}" if several else name,
                state.state.value,
                state.stage,
                steps,
                f"{state.steps_per_second:.3g}" if state.steps_per_second else "",
                f"{state.loss:.3g}" if state.loss is not None else "",
                duration(state.seconds_left) if state.seconds_left is not None else "",
                state.host or "",
                state.job or "",
                state.waits_for or "",
                state.reason or "",
            )
        )
    return rows
