"""What a run is doing: a small file in its folder while it is queued or at work, and after an end that was none.

A run that comes to its end removes it, so that what is published holds no host names.
"""

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

BEAT_SECONDS = 5.0
"""A run that is at work writes this often."""

STALE_SECONDS = 90.0
"""A process of another machine that has not written for so long is taken for dead."""

_REASON_LENGTH = 2000


class Phase(StrEnum):
    """How far a run is, as it says itself."""

    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Activity:
    """One record.

    Attributes:
        host, pid, process_began: the process that wrote it, None where a scheduler is to start one; the last, in clock
            ticks since the machine started, tells it from a later one of the same number.
        job: its number in Slurm's queue, 12 or 12_3 in an array.
        waits_for: the trial that it starts from, of a queued run.
        stage: such as "train baseline"; empty before the first.
        step, total: of the stage; no total where it is unknown.
        steps_per_second: over the last minute.
        values: what the stage says beside its steps, such as loss_total.
        reason: of an end that was none, in one line.
    """

    phase: Phase
    host: str | None = None
    pid: int | None = None
    process_began: int | None = None
    job: str | None = None
    waits_for: str | None = None
    stage: str = ""
    step: int = 0
    total: int | None = None
    steps_per_second: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    reason: str | None = None

    @classmethod
    def of_this_process(cls, phase: Phase, **fields: Any) -> Self:
        """A record that names this process, and its job where Slurm started it."""
        pid = os.getpid()
        return cls(phase, socket.gethostname(), pid, _process_began(pid), job_of_this_process(), **fields)

    def seconds_left(self) -> float | None:
        """Of the stage, at the present rate; None where that cannot be said."""
        if self.total is None or not self.steps_per_second:
            return None
        return max(0, self.total - self.step) / self.steps_per_second


def job_of_this_process() -> str | None:
    """Number of the Slurm job that this process belongs to, as the queue shows it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def write_activity(path: Path, activity: Activity) -> None:
    """Write a record; where the disk is full or the folder can only be read, there is none.

    In place and in one write: a kill leaves no other file behind, and readers meet the old or the new one.
    """
    shortened = activity.reason and activity.reason[:_REASON_LENGTH]
    text = json.dumps(asdict(replace(activity, reason=shortened))).encode()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
        try:
            # Blanks over the rest of a longer one.
            os.pwrite(file, text.ljust(os.fstat(file).st_size), 0)
        finally:
            os.close(file)


def read_activity(path: Path) -> Activity | None:
    """The record of a run; None where there is none that can be read."""
    for _ in range(2):  # a second time where a write came between
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return Activity(**content | {"phase": Phase(content["phase"])})
        except (OSError, UnicodeDecodeError):
            return None
        except (ValueError, KeyError, TypeError):
            continue
    return None


def remove_activity(path: Path) -> None:
    """Remove the record, and the folders of a run that has nothing else."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        for folder in list(path.parents)[:3]:  # of seed, trial and profile
            folder.rmdir()  # refused where something is in it


def is_alive(path: Path, activity: Activity) -> bool:
    """Whether the process that wrote a record still runs: seen on its own machine, elsewhere by how old the file is."""
    if activity.pid is None:
        return False
    if activity.host == socket.gethostname():
        return _process_began(activity.pid) == activity.process_began
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except OSError:
        return False


def _process_began(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None where there is none, or a dead one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name before the last parenthesis may hold blanks; after it comes the state, and 19 fields on the start.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
