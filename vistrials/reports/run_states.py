"""How far each run is: from what lies in its folder, what it says that it does, and the queue of a cluster."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from vistrials.errors import RunError
from vistrials.runs.activity import Activity, Phase, is_alive, read_activity
from vistrials.runs.directory import RunDirectory
from vistrials.runs.recorded_spec import read_recorded_spec
from vistrials.specs.trial import TrialSpec


class State(StrEnum):
    """How far a run is.

    WAITING: for the trial that it starts from. TRAINED: no more was asked for. UNFINISHED: broken off, and nobody wrote
    down how. KILLED: its process is gone without a word. DAMAGED: its spec.yaml cannot be read.
    """

    NOT_STARTED = "not started"
    QUEUED = "queued"
    WAITING = "waiting"
    STARTING = "starting"
    DRAWING = "drawing"
    TRAINING = "training"
    PREDICTING = "predicting"
    SCORING = "scoring"
    DONE = "done"
    TRAINED = "trained"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"


GOING_ON = frozenset(
    {State.QUEUED, State.WAITING, State.STARTING, State.DRAWING, State.TRAINING, State.PREDICTING, State.SCORING}
)
"""States that change without anybody doing something."""

_OF_STAGE = {
    "draw": State.DRAWING,
    "train": State.TRAINING,
    "infer": State.PREDICTING,
    "evaluate": State.SCORING,
    "wait": State.WAITING,
}
"""By the first word of the stage that a run reports."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in the queue of a cluster: state and reason in Slurm's words, and the node, empty before there is one."""

    state: str
    reason: str
    host: str


ReadQueue = Callable[[AbstractSet[str]], Mapping[str, QueuedJob] | None]
"""Looks up jobs by their numbers: those that are in the queue; None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, how far it is, and what keeps it.

    stage, step, total: what it does or did last.
    steps_per_second, loss, seconds_left: of the stage.
    host, job: where it runs; a job of Slurm by its number.
    waits_for: the trial whose weights it lacks.
    reason: why it failed or stopped, or what the queue says.
    """

    profile: str
    trial: str
    seed: int
    state: State
    stage: str = ""
    step: int = 0
    total: int | None = None
    steps_per_second: float | None = None
    loss: float | None = None
    seconds_left: float | None = None
    host: str | None = None
    job: str | None = None
    waits_for: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, under the names of the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Found:
    directory: RunDirectory
    splits: tuple[str, ...]
    problem: str | None
    start: str | None
    activity: Activity | None


def find_run_states(
    results_dir: Path | str,
    profile: str | None = None,
    wanted: Sequence[tuple[TrialSpec, int]] = (),
    read_queue: ReadQueue = lambda jobs: None,
) -> list[RunState]:
    """How far runs are, by profile, trial and seed.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs; of all by default.
        wanted: trials and seeds to say this of, also where nothing of them is there yet; all that is there by default.
        read_queue: asked once, for all jobs that runs say they are.
    """
    found = [_wanted(results_dir, *run) for run in wanted] if wanted else _there(Path(results_dir), profile)
    jobs = {run.activity.job for run in found if run.activity is not None and run.activity.job}
    queue = read_queue(jobs) if jobs else None
    return [_state(run, queue) for run in sorted(found, key=_position)]


def _position(run: _Found) -> tuple[str, str, int]:
    return run.directory.profile, run.directory.trial, run.directory.seed


def _wanted(results_dir: Path | str, spec: TrialSpec, seed: int) -> _Found:
    directory = RunDirectory.for_spec(spec, results_dir, seed)
    kind, name = spec.init.source
    found = _look(directory.path, spec.data.splits)
    return replace(found, start=name) if kind == "trial" else found


def _there(results_dir: Path, profile: str | None) -> list[_Found]:
    folders = results_dir.glob(f"{profile or '[!.]*'}/*/seed*")
    found = [_look(folder) for folder in folders if folder.name.removeprefix("seed").isdecimal()]
    return [run for run in found if run.directory.spec.exists() or run.activity is not None]


def _look(folder: Path, splits: tuple[str, ...] = ("",)) -> _Found:
    """A run in its folder, whose spec names other splits where it is there."""
    spec, problem = folder / "spec.yaml", None
    try:
        if spec.exists():
            splits = _recorded_splits(spec, spec.stat().st_mtime_ns)
    except (RunError, OSError) as error:
        problem = str(error)
    profile, trial, seed = folder.parent.parent.name, folder.parent.name, int(folder.name.removeprefix("seed"))
    directory = RunDirectory(folder.parent.parent.parent, profile, trial, seed, splits[0])
    activity = read_activity(directory.activity)
    return _Found(directory, splits, problem, activity.waits_for if activity is not None else None, activity)


@lru_cache(maxsize=4096)
def _recorded_splits(path: Path, changed: int) -> tuple[str, ...]:
    """Kept for those who look again and again."""
    return read_recorded_spec(path).splits


def _state(run: _Found, queue: Mapping[str, QueuedJob] | None) -> RunState:
    directory, activity = run.directory, run.activity
    waits_for = run.start if run.start is not None and not _start_is_trained(run) else None
    if run.problem is not None:
        return _of(run, State.DAMAGED, reason=run.problem)
    if all(directory.is_evaluated(split) for split in run.splits):
        return _of(run, State.DONE)
    if activity is None:
        state = _of_files(run)
        return _of(run, state, waits_for=waits_for if state is State.NOT_STARTED else None)
    job = queue.get(activity.job) if queue is not None and activity.job is not None else None
    has_left = queue is not None and activity.job is not None and job is None
    if activity.phase is Phase.RUNNING and is_alive(directory.activity, activity) and not has_left:
        return _at_work(run, activity)
    if job is not None:  # not begun yet, or queued again
        state = State.WAITING if waits_for else State.QUEUED if job.state == "PENDING" else State.STARTING
        return _of(run, state, activity.job, job.host or None, waits_for, None if job.reason == "None" else job.reason)
    match activity.phase:
        case Phase.RUNNING:
            return _last(run, activity, State.KILLED)
        case Phase.QUEUED if has_left:
            return _of(run, State.INTERRUPTED, activity.job, None, waits_for, "its job left the queue before it began")
        case Phase.QUEUED if activity.job is not None or is_alive(directory.activity, activity):
            return _of(run, State.WAITING if waits_for else State.QUEUED, activity.job, None, waits_for)
        case Phase.QUEUED:
            return _of(run, State.NOT_STARTED if _of_files(run) is State.NOT_STARTED else State.UNFINISHED)
        case Phase.FAILED:
            return _last(run, activity, State.FAILED)
        case Phase.INTERRUPTED:
            return _last(run, activity, State.INTERRUPTED)


def _start_is_trained(run: _Found) -> bool:
    directory = run.directory
    return RunDirectory(directory.results_dir, directory.profile, run.start or "", directory.seed, "").is_trained()


def _of_files(run: _Found) -> State:
    """What the files alone say of a run that nobody works on."""
    directory = run.directory
    if not directory.spec.exists():
        return State.NOT_STARTED
    if all(directory.is_evaluated(split) or directory.is_inferred(split) for split in run.splits):
        return State.DONE  # what has no annotations is predicted and not scored
    return State.TRAINED if directory.is_trained() else State.UNFINISHED


def _of(
    run: _Found,
    state: State,
    job: str | None = None,
    host: str | None = None,
    waits_for: str | None = None,
    reason: str | None = None,
) -> RunState:
    directory = run.directory
    return RunState(
        directory.profile,
        directory.trial,
        directory.seed,
        state,
        host=host,
        job=job,
        waits_for=waits_for,
        reason=reason,
    )


def _at_work(run: _Found, activity: Activity) -> RunState:
    kind, _, rest = activity.stage.partition(" ")
    state = _OF_STAGE.get(kind, State.STARTING)
    waits_for = rest.removeprefix("for ") if state is State.WAITING else None
    return _last(run, activity, state, waits_for, activity.steps_per_second, activity.seconds_left())


def _last(
    run: _Found,
    activity: Activity,
    state: State,
    waits_for: str | None = None,
    steps_per_second: float | None = None,
    seconds_left: float | None = None,
) -> RunState:
    """With what the run has written of itself."""
    return RunState(
        run.directory.profile,
        run.directory.trial,
        run.directory.seed,
        state,
        activity.stage,
        activity.step,
        activity.total,
        steps_per_second,
        activity.values.get("loss_total"),
        seconds_left,
        activity.host,
        activity.job,
        waits_for,
        activity.reason,
    )
