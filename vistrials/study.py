"""All trials of a study, one after the other or side by side; one that fails does not stop the others."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vistrials import pipeline
from vistrials.engine.devices import choose_device
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.workers import ThisProcess, Workers
from vistrials.errors import one_line
from vistrials.runs.activity import Activity, Phase, is_alive, read_activity, remove_activity, write_activity
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not come to its end, and why, in one line."""

    trial: str
    seed: int
    reason: str


Key = tuple[str, int]
"""Names a run by its trial and seed."""

OpenReporter = Callable[[str], AbstractContextManager[Reporter]]
"""Gives the reporter of a run; its argument tells apart runs that go side by side."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run to bring to its end."""

    spec: TrialSpec
    seed: int

    @property
    def key(self) -> Key:
        return self.spec.name, self.seed

    @property
    def start(self) -> Key:
        """The run that it starts from; of a trial without name where there is none."""
        return start_of(self.spec) or "", self.seed

    @property
    def name(self) -> str:
        return f"{self.spec.name} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Shared:
    """What all runs of a study share: as `pipeline.run` takes it."""

    results_dir: Path | str
    device: str
    overrides: Sequence[str]
    starts: Mapping[str, TrialSpec]

    def directory(self, job: Job) -> RunDirectory:
        """The folder of a run."""
        return RunDirectory.for_spec(job.spec, self.results_dir, job.seed)


class Executor(Protocol):
    """Where runs are made, and how many at a time."""

    def bring_to_end(self, jobs: Sequence[Job], shared: Shared, open_reporter: OpenReporter) -> Mapping[Key, str]:
        """Make runs, each after the one among them that it starts from; why each that failed did.

        Args:
            jobs: each after the one that it starts from.
            shared: by all of them.
            open_reporter: gives the reporters.

        Raises:
            Interrupted: stopped by a signal; the same call continues from there.
        """


@dataclass(frozen=True, slots=True)
class Local:
    """Runs on this machine.

    num_jobs: runs side by side, each in a process of its own with its share of the cores.
    """

    num_jobs: int = 1

    def bring_to_end(self, jobs: Sequence[Job], shared: Shared, open_reporter: OpenReporter) -> Mapping[Key, str]:
        """As `Executor.bring_to_end`, each as soon as the run that it starts from is done."""
        choose_device(shared.device)
        faults: dict[Key, str] = {}
        waiting, unfinished = list(jobs), {job.key for job in jobs}
        calls = Workers(self.num_jobs) if self.num_jobs > 1 else ThisProcess()
        with _announced(jobs, shared), ExitStack() as all_reporters, calls:
            reporters: dict[Key, ExitStack] = {}
            while unfinished:
                ready = (job for job in waiting if job.start not in unfinished)
                job = next(ready, None) if calls.has_room else None
                if job is None:
                    key, fault = calls.next_finished()
                else:
                    waiting.remove(job)
                    key = job.key
                    reporters[key] = all_reporters.enter_context(ExitStack())
                    reporter = reporters[key].enter_context(open_reporter(job.name if self.num_jobs > 1 else ""))
                    reporter.message(f"{len(jobs) - len(waiting)}/{len(jobs)} {job.name}")
                    fault = skip(job, shared, reporter) if job.start in faults else None
                    if fault is None:
                        calls.start(key, reporter, bring_to_end, job, shared)
                        continue
                unfinished.remove(key)
                reporters.pop(key).close()
                if fault is not None:
                    faults[key] = fault
        return faults


def run_all(
    specs: Sequence[TrialSpec],
    results_dir: Path | str = "results",
    seeds: Sequence[int] = (0,),
    *,
    device: str = "auto",
    overrides: Sequence[str] = (),
    executor: Executor = Local(),  # noqa: B008 - it holds no state
    open_reporter: OpenReporter = lambda name: nullcontext(SilentReporter()),
) -> list[Failure]:
    """Run trials to the end, each after the one that it starts from; all with one seed before the next seed.

    Args:
        specs: the resolved trials.
        results_dir: the runs live in results_dir/<profile>/<trial>/seed<N>/; finished runs are skipped.
        seeds: of the runs.
        device: as in `pipeline.run`.
        overrides: those that went into all specs.
        executor: makes the runs.
        open_reporter: gives the reporter of a run.

    Returns:
        The runs that failed or were skipped because their start did.

    Raises:
        SpecError: there is no such device.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    jobs = [Job(spec, seed) for seed in seeds for spec in in_dependency_order(specs)]
    shared = Shared(results_dir, device, overrides, {spec.name: spec for spec in specs})
    faults = executor.bring_to_end(jobs, shared, open_reporter)
    return [Failure(job.spec.name, job.seed, faults[job.key]) for job in jobs if job.key in faults]


def bring_to_end(reporter: Reporter, job: Job, shared: Shared, num_devices: int = 1) -> str | None:
    """Make a run in this process; returns why it failed, in one line, or None.

    Raises:
        Interrupted: stopped by a signal.
    """
    try:
        pipeline.run(
            job.spec,
            shared.results_dir,
            job.seed,
            device=shared.device,
            num_devices=num_devices,
            overrides=shared.overrides,
            starts=shared.starts,
            reporter=reporter,
        )
    except Interrupted:
        raise
    except Exception as error:  # whatever breaks one trial, the others may still come to their end
        reporter.warning(f"{job.name}: {one_line(error)}")
        return one_line(error)
    return None


def skip(job: Job, shared: Shared, reporter: Reporter) -> str:
    """Note of a run that the one it starts from is not finished; returns why it failed."""
    fault = f"skipped, because it starts from {job.start[0]}, which is not finished"
    reporter.warning(f"{job.name}: {fault}")
    note(shared.directory(job), Activity.of_this_process(Phase.FAILED, reason=fault))
    return fault


def note(directory: RunDirectory, activity: Activity) -> None:
    """Write down what becomes of a run, unless another process works on it."""
    there = read_activity(directory.activity)
    if there is None or there.phase is not Phase.RUNNING or not is_alive(directory.activity, there):
        write_activity(directory.activity, activity)


@contextmanager
def _announced(jobs: Sequence[Job], shared: Shared) -> Iterator[None]:
    """While entered, runs that are yet to come are queued, for those who look."""
    todo = {job.key: shared.directory(job) for job in jobs if not shared.directory(job).is_complete(job.spec)}
    for (_, seed), directory in todo.items():
        start = start_of(shared.starts[directory.trial])
        waits_for = start if (start or "", seed) in todo else None
        note(directory, Activity.of_this_process(Phase.QUEUED, waits_for=waits_for))
    try:
        yield
    finally:
        for directory in todo.values():
            left = read_activity(directory.activity)
            if left is not None and left.phase is Phase.QUEUED and left.pid == os.getpid():
                remove_activity(directory.activity)


def in_dependency_order(specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    """The same specs, each after the one among them that it starts from, otherwise as they come."""
    by_name = {spec.name: spec for spec in specs}
    ordered: dict[str, TrialSpec] = {}
    for spec in specs:
        chain = [spec]
        while (start := by_name.get(start_of(chain[-1]) or "")) is not None and start not in chain:
            chain.append(start)
        for member in reversed(chain):
            ordered.setdefault(member.name, member)
    return list(ordered.values())


def start_of(spec: TrialSpec) -> str | None:
    """The trial that another one starts from, if there is one."""
    kind, name = spec.init.source
    return name if kind == "trial" else None
