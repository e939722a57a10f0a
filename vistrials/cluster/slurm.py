"""Runs of a study as jobs of Slurm: one array for each level of what starts from what."""

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vistrials.cluster.job import QueuedRun
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter
from vistrials.errors import RunError
from vistrials.reports.run_states import GOING_ON, QueuedJob, ReadQueue, RunState, State, find_run_states
from vistrials.runs.activity import Activity, Phase, read_activity, remove_activity, write_activity
from vistrials.study import Job, Key, OpenReporter, Shared, note

LOOK_SECONDS = 5.0
"""How often the queue and the folders of the runs are looked at."""

_LOOKS_BEFORE_LOST = 3
"""A job that has left the queue may have written what other machines see only later."""


class Submitter(Protocol):
    """Queues runs; see `submission.SlurmSubmitter`."""

    read_queue: ReadQueue

    def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Slurm:
    """Runs as jobs; a `study.Executor`.

    open_submitter: takes a folder for the files of the submission.
    open_log: of each run, on its node; pickled.
    num_devices: of each run.
    is_to_wait: for their ends; they are all queued before.
    look_seconds: as LOOK_SECONDS.
    """

    open_submitter: Callable[[Path], Submitter]
    open_log: Callable[[], AbstractContextManager[Reporter]]
    num_devices: int = 1
    is_to_wait: bool = True
    look_seconds: float = LOOK_SECONDS

    def bring_to_end(self, jobs: Sequence[Job], shared: Shared, open_reporter: OpenReporter) -> Mapping[Key, str]:
        """As `Executor.bring_to_end`; runs that are in the queue already are waited for.

        Raises:
            RunError: Slurm refuses the jobs.
            Interrupted: by Ctrl-C; the jobs go on.
        """
        folder = Path(shared.results_dir).absolute() / ".jobs" / uuid.uuid4().hex[:12]
        submitter = self.open_submitter(folder)
        shared = replace(shared, results_dir=Path(shared.results_dir).absolute())
        with open_reporter("") as reporter:
            faults = _refused(jobs, shared, reporter)
            waiting: dict[Key, str] = {}
            after: list[str] = []
            for level in levels(jobs):
                todo = [job for job in level if job.key not in faults]
                queued = self._queue(todo, shared, submitter, after, reporter)
                waiting |= queued
                after = list(queued.values()) or after
            if not waiting:
                return faults
            if not self.is_to_wait:
                reporter.message(f"{len(waiting)} runs are in the queue; `vistrials status` shows how far they are")
                return faults
            try:
                faults |= self._wait(waiting, shared, submitter, reporter)
            except KeyboardInterrupt:
                arrays = " ".join(sorted({job.partition("_")[0] for job in waiting.values()}))
                raise Interrupted(
                    f"the jobs go on: `vistrials status` shows them, `scancel {arrays}` stops them, "
                    "and the same command waits for them again"
                ) from None
        shutil.rmtree(folder, ignore_errors=True)
        return faults

    def _queue(
        self, jobs: Sequence[Job], shared: Shared, submitter: Submitter, after: Sequence[str], reporter: Reporter
    ) -> dict[Key, str]:
        """Queue the runs of a level that are not done; the jobs of these, and of those queued before, by run."""
        states = _states([job.key for job in jobs], shared, submitter.read_queue)
        queued = {key: state.job for key, state in states.items() if state.state in GOING_ON and state.job is not None}
        if queued:
            reporter.message(f"{len(queued)} runs are in the queue already, and are waited for")
        todo = [job for job in jobs if job.key not in queued and states[job.key].state is not State.DONE]
        if not todo:
            return queued
        announced = {job.key: self._announce(job, shared) for job in todo}
        try:
            numbers = submitter.submit([self._to_queue(job, shared) for job in todo], after)
        except RunError:
            for job in todo:
                remove_activity(shared.directory(job).activity)
            raise
        for job, number in zip(todo, numbers, strict=True):
            path, record = shared.directory(job).activity, announced[job.key]
            if read_activity(path) == record:  # not begun meanwhile
                write_activity(path, replace(record, host=None, pid=None, process_began=None, job=number))
        reporter.message(f"{len(todo)} runs queued as {_ranges(numbers)}")
        return queued | {job.key: number for job, number in zip(todo, numbers, strict=True)}

    def _announce(self, job: Job, shared: Shared) -> Activity:
        """Say that a run is about to be queued, before its job can say anything."""
        name, _ = job.start
        record = Activity.of_this_process(Phase.QUEUED, waits_for=name if name in shared.starts else None)
        note(shared.directory(job), record)
        return record

    def _to_queue(self, job: Job, shared: Shared) -> QueuedRun:
        return QueuedRun(
            job.spec,
            job.seed,
            str(shared.results_dir),
            shared.device,
            tuple(shared.overrides),
            dict(shared.starts),
            self.num_devices,
            self.open_log,
        )

    def _wait(
        self, jobs: Mapping[Key, str], shared: Shared, submitter: Submitter, reporter: Reporter
    ) -> dict[Key, str]:
        """Look until every run is done or its job has left the queue; why those failed that did."""
        faults: dict[Key, str] = {}
        looks = dict.fromkeys(jobs, 0)
        reporter.stage("runs in the queue", len(jobs))
        reporter.advance(0)
        while looks:
            queue = submitter.read_queue({jobs[key] for key in looks})
            states = _states(looks, shared, _always(queue))
            for key, state in states.items():
                fault = None
                if state.state is not State.DONE:
                    looks[key] = 0 if queue is None or jobs[key] in queue else looks[key] + 1
                    if looks[key] < _LOOKS_BEFORE_LOST:
                        continue
                    fault = _why(state, jobs[key], shared)
                del looks[key]
                reporter.advance(1)
                if fault is None:
                    reporter.message(f"{state.trial} seed {state.seed} is done")
                else:
                    faults[key] = fault
                    reporter.warning(f"{state.trial} seed {state.seed}: {fault}")
            if looks:
                time.sleep(self.look_seconds)
        return faults


def levels(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Runs by what has to be there before them: those that wait for none, those that wait for these, and so on."""
    level_of: dict[Key, int] = {}
    for job in jobs:  # each after the one that it starts from
        level_of[job.key] = level_of.get(job.start, -1) + 1
    for level in range(max(level_of.values(), default=-1) + 1):
        yield [job for job in jobs if level_of[job.key] == level]


def _refused(jobs: Sequence[Job], shared: Shared, reporter: Reporter) -> dict[Key, str]:
    """Why runs cannot be made in their folders, told before anything is queued."""
    faults = {}
    for job in jobs:
        try:
            shared.directory(job).check(job.spec)
        except RunError as error:
            reporter.warning(f"{job.name}: {error}")
            faults[job.key] = str(error)
    return faults


def _states(keys: Iterable[Key], shared: Shared, read_queue: ReadQueue) -> dict[Key, RunState]:
    wanted = [(shared.starts[trial], seed) for trial, seed in keys]
    states = find_run_states(shared.results_dir, wanted=wanted, read_queue=read_queue)
    return {(state.trial, state.seed): state for state in states}


def _always(queue: Mapping[str, QueuedJob] | None) -> ReadQueue:
    return lambda numbers: queue


def _why(state: RunState, job: str, shared: Shared) -> str:
    if state.state is State.FAILED and state.reason:
        return state.reason
    log = shared.directory(Job(shared.starts[state.trial], state.seed)).log
    return f"its job {job} ended before the run did ({state.reason or state.state}); {log} may say more"


def _ranges(numbers: Sequence[str]) -> str:
    """12_0 to 12_7, and 13."""
    arrays: dict[str, list[str]] = {}
    for number in numbers:
        arrays.setdefault(number.partition("_")[0], []).append(number)
    return ", ".join(of[0] if len(of) == 1 else f"{of[0]} to {of[-1]}" for of in arrays.values())
