"""All trials of a study, one after the other or side by side; one that fails does not stop the others."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from vistrials import pipeline
from vistrials.engine.devices import choose_device
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.workers import Workers
from vistrials.errors import VistrialsError
from vistrials.specs.trial import TrialSpec


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not come to its end, and why, in one line."""

    trial: str
    seed: int
    reason: str


def run_all(
    specs: Sequence[TrialSpec],
    results_dir: Path | str = "results",
    seeds: Sequence[int] = (0,),
    *,
    device: str = "auto",
    overrides: Sequence[str] = (),
    num_jobs: int = 1,
    open_reporter: Callable[[str], AbstractContextManager[Reporter]] = lambda name: nullcontext(SilentReporter()),
) -> list[Failure]:
    """Run trials to the end, each after the one that it starts from; all with one seed before the next seed.

    Args:
        specs: the resolved trials.
        results_dir: the runs live in results_dir/<profile>/<trial>/seed<N>/; finished runs are skipped.
        seeds: of the runs.
        device: as in `pipeline.run`.
        overrides: those that went into all specs.
        num_jobs: runs side by side, each in a process of its own with its share of the cores.
        open_reporter: gives the reporter of a run; its argument tells apart runs that go side by side.

    Returns:
        The runs that failed or were skipped because their start did.

    Raises:
        SpecError: there is no such device.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    choose_device(device)
    jobs = [_Job(spec, seed) for seed in seeds for spec in in_dependency_order(specs)]
    options: _Options = (results_dir, device, overrides, {spec.name: spec for spec in specs})
    if num_jobs == 1:
        faults = _one_by_one(jobs, open_reporter, options)
    else:
        faults = _side_by_side(jobs, num_jobs, open_reporter, options)
    return [Failure(job.spec.name, job.seed, faults[job.key]) for job in jobs if job.key in faults]


_Key = tuple[str, int]
"""Names a run by its trial and seed."""

_OpenReporter = Callable[[str], AbstractContextManager[Reporter]]

_Options = tuple[Path | str, str, Sequence[str], Mapping[str, TrialSpec]]
"""What all runs share, as `_bring_to_end` takes it."""


@dataclass(frozen=True, slots=True)
class _Job:
    spec: TrialSpec
    seed: int

    @property
    def key(self) -> _Key:
        return self.spec.name, self.seed

    @property
    def start(self) -> _Key:
        """The run that it starts from; of a trial without name where there is none."""
        return _start_of(self.spec) or "", self.seed

    @property
    def name(self) -> str:
        return f"{self.spec.name} seed {self.seed}"


def _bring_to_end(
    reporter: Reporter,
    job: _Job,
    results_dir: Path | str,
    device: str,
    overrides: Sequence[str],
    starts: Mapping[str, TrialSpec],
) -> str | None:
    """Returns why the run failed, in one line, or None."""
    try:
        pipeline.run(
            job.spec, results_dir, job.seed, device=device, overrides=overrides, starts=starts, reporter=reporter
        )
    except Interrupted:
        raise
    except Exception as error:  # whatever breaks one trial, the others may still come to their end
        reporter.warning(f"{job.name}: {_one_line(error)}")
        return _one_line(error)
    return None


def _one_by_one(jobs: Sequence[_Job], open_reporter: _OpenReporter, options: _Options) -> dict[_Key, str]:
    """Why runs failed, of all those made one after the other in this process."""
    faults: dict[_Key, str] = {}
    for number, job in enumerate(jobs, start=1):
        with open_reporter("") as reporter:
            reporter.message(f"{number}/{len(jobs)} {job.name}")
            fault = _why_skipped(job, faults, reporter) or _bring_to_end(reporter, job, *options)
        if fault is not None:
            faults[job.key] = fault
    return faults


def _side_by_side(
    jobs: Sequence[_Job], num_jobs: int, open_reporter: _OpenReporter, options: _Options
) -> dict[_Key, str]:
    """Why runs failed, of all those made in processes of their own as soon as the run that they start from is done."""
    faults: dict[_Key, str] = {}
    waiting, unfinished = list(jobs), {job.key for job in jobs}
    with ExitStack() as all_reporters, Workers(num_jobs) as workers:
        reporters: dict[_Key, ExitStack] = {}
        while unfinished:
            ready = (job for job in waiting if job.start not in unfinished)
            job = next(ready, None) if workers.has_room else None
            if job is None:
                key, fault = workers.next_finished()
            else:
                waiting.remove(job)
                key = job.key
                reporters[key] = all_reporters.enter_context(ExitStack())
                reporter = reporters[key].enter_context(open_reporter(job.name))
                reporter.message(f"{len(jobs) - len(waiting)}/{len(jobs)} {job.name}")
                fault = _why_skipped(job, faults, reporter)
                if fault is None:
                    workers.start(key, reporter, _bring_to_end, job, *options)
                    continue
            unfinished.remove(key)
            reporters.pop(key).close()
            if fault is not None:
                faults[key] = fault
    return faults


def _why_skipped(job: _Job, faults: Mapping[_Key, str], reporter: Reporter) -> str | None:
    if job.start not in faults:
        return None
    fault = f"skipped, because it starts from {job.start[0]}, which is not finished"
    reporter.warning(f"{job.name}: {fault}")
    return fault


def in_dependency_order(specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    """The same specs, each after the one among them that it starts from, otherwise as they come."""
    by_name = {spec.name: spec for spec in specs}
    ordered: dict[str, TrialSpec] = {}
    for spec in specs:
        chain = [spec]
        while (start := by_name.get(_start_of(chain[-1]) or "")) is not None and start not in chain:
            chain.append(start)
        for member in reversed(chain):
            ordered.setdefault(member.name, member)
    return list(ordered.values())


def _start_of(spec: TrialSpec) -> str | None:
    kind, name = spec.init.source
    return name if kind == "trial" else None


def _one_line(error: Exception) -> str:
    """A message for the user as it is; of a crash its kind and first line."""
    if isinstance(error, VistrialsError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]
