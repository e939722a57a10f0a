"""A run as a job: what a node of the cluster is given to do. Nothing here loads PyTorch before its threads are set."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter
from vistrials.engine.threads import bound_spinning
from vistrials.specs.trial import TrialSpec

if TYPE_CHECKING:
    from vistrials.study import Job, Shared

EXIT_FAULT = 1
EXIT_STOPPED = 128 + signal.SIGTERM

REQUEUE_SIGNAL = signal.SIGUSR2
"""By which submitit has Slurm announce the end of the time, or a preemption."""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run to make on another machine; submitit pickles it, and calls it there.

    Attributes:
        spec, seed: of the run.
        results_dir, device, overrides, starts: as in `study.Shared`.
        num_devices: to train on.
        open_reporter: of what goes to the log beside the run.
    """

    spec: TrialSpec
    seed: int
    results_dir: str
    device: str
    overrides: tuple[str, ...]
    starts: dict[str, TrialSpec]
    num_devices: int
    open_reporter: Callable[[], AbstractContextManager[Reporter]]

    def __call__(self) -> None:
        """Make the run; its log, and how it ended, are beside it.

        Raises:
            SystemExit: it failed, or was stopped.
        """
        bound_spinning()
        _take_allotted_threads()
        # Lightning would take the tasks of the job for the processes of a training, which starts its own.
        os.environ.pop("SLURM_NTASKS", None)
        stop = _Stop()
        try:
            fault = self._run()
        except Interrupted:
            if stop.is_to_be_queued_again:
                stop.hand_over()
            sys.exit(EXIT_STOPPED)
        if fault is not None:
            sys.exit(EXIT_FAULT)

    def checkpoint(self) -> Any:
        """What submitit queues again: the same, since a run continues by itself."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self) -> str | None:
        from vistrials.study import Job, Shared, bring_to_end, skip

        job = Job(self.spec, self.seed)
        shared = Shared(self.results_dir, self.device, self.overrides, self.starts)
        _write_to(shared, job)
        with self.open_reporter() as reporter:
            if _lacks_its_start(job, shared):
                return skip(job, shared, reporter)
            return bring_to_end(reporter, job, shared, self.num_devices)


class _Stop:
    """Lets a run save its state at a signal, whatever it is doing, before submitit queues it again.

    A step that runs is finished by whoever runs it (`StopRequest`, which has SIGTERM meanwhile).
    """

    def __init__(self) -> None:
        self.is_to_be_queued_again = False
        self._submitits = signal.signal(REQUEUE_SIGNAL, self._note)
        signal.signal(signal.SIGTERM, self._stop)

    def hand_over(self) -> None:
        """Do what submitit does at the signal: queue the run again and exit."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which Slurm sends as soon as the run is queued again
        signal.signal(REQUEUE_SIGNAL, self._submitits)
        signal.raise_signal(REQUEUE_SIGNAL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.is_to_be_queued_again = True
        signal.raise_signal(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped by the cluster; the run continues from there")


def _take_allotted_threads() -> None:
    """As many threads as Slurm has given cores to the job, where the user has not said how many."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE")
    if cores:
        os.environ.setdefault("OMP_NUM_THREADS", cores)


def _write_to(shared: "Shared", job: "Job") -> None:
    """Send what this process says to the log beside the run."""
    log = shared.directory(job).log
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o664)
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)


def _lacks_its_start(job: "Job", shared: "Shared") -> bool:
    """Whether it starts from a trial of the same study that is not trained: its job failed, or was stopped."""
    from vistrials.runs.directory import RunDirectory

    name, seed = job.start
    if name not in shared.starts or shared.directory(job).is_trained():
        return False
    return not RunDirectory.for_spec(shared.starts[name], shared.results_dir, seed).is_trained()
