"""All trials of a study, one after the other or side by side; one that fails does not stop the others."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

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
    """Bring trials to their end, each after the one that it starts from; all with one seed before the next seed.

    Args:
        specs: the resolved trials.
        results_dir: the runs live in results_dir/<profile>/<trial>/seed<N>/; finished runs are skipped.
        seeds: of the runs.
        device: as in `pipeline.run`.
        overrides: those that went into all specs.
        num_jobs: runs side by side, each in a process of its own with its share of the cores.
        open_reporter: gives the reporter of a run; its argument tells runs apart that go on side by side.

    Returns:
        The runs that failed or were skipped because their start did.

    Raises:
        SpecError: there is no such device.
        Interrupted: stopped by a signal; the same call goes on from there.
    """
    choose_device(device)
    jobs = [_Job(spec, seed) for seed in seeds for spec in in_dependency_order(specs)]
    options = (results_dir, device, overrides, {spec.name: spec for spec in specs})
    waiting, unfinished = list(jobs), {job.key for job in jobs}
    faults: dict[_Key, str] = {}
    reporters: dict[_Key, ExitStack] = {}

    def finish(key: _Key, fault: str | None) -> None:
        unfinished.remove(key)
        reporters.pop(key).close()
        if fault is not None:
            faults[key] = fault

    with Workers(num_jobs) if num_jobs > 1 else _InPlace() as workers:
        try:
            while unfinished:
                ready = (job for job in waiting if job.start not in unfinished)
                job = next(ready, None) if workers.has_room else None
                if job is None:
                    finish(*workers.next_finished())
                    continue
                waiting.remove(job)
                reporters[job.key] = ExitStack()
                reporter = reporters[job.key].enter_context(open_reporter(job.name if num_jobs > 1 else ""))
                reporter.message(f"{len(jobs) - len(waiting)}/{len(jobs)} {job.name}")
                fault = f"skipped, because {job.start[0]}, from which it starts, is not done"
                if job.start in faults:
                    reporter.warning(f"{job.name}: {fault}")
                    finish(job.key, fault)
                else:
                    workers.start(job.key, reporter, _bring_to_end, job, *options)
        finally:
            for unfinished_reporter in reporters.values():
                unfinished_reporter.close()
    return [Failure(job.spec.name, job.seed, faults[job.key]) for job in jobs if job.key in faults]


_Key = tuple[str, int]
"""Names a run by its trial and seed."""


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


class _InPlace:
    """`Workers` for one call at a time, made in this process."""

    def __init__(self) -> None:
        self._finished: list[tuple[_Key, str | None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    @property
    def has_room(self) -> bool:
        return not self._finished

    def start(self, key: _Key, reporter: Reporter, function: Callable[..., str | None], *args: Any) -> None:
        self._finished.append((key, function(reporter, *args)))

    def next_finished(self) -> tuple[_Key, str | None]:
        return self._finished.pop()


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
