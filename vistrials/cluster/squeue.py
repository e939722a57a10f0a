"""Slurm's queue, as `squeue` shows it."""

import shutil
import subprocess
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from vistrials.reports.run_states import QueuedJob

_SECONDS = 30


def read_queue(jobs: AbstractSet[str]) -> Mapping[str, QueuedJob] | None:
    """Those of some jobs that are in the queue, by their numbers; None where it cannot be read now, or never.

    Args:
        jobs: numbers such as 12, or 12_3 of an array.
    """
    if shutil.which("squeue") is None:
        return None
    numbers = ",".join(sorted({job.partition("_")[0] for job in jobs}))
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r|%N", f"--jobs={numbers}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        # Asked for a single job that is long gone, squeue calls that an error.
        return {} if "Invalid job id" in done.stderr else None
    return {number: entry for number, entry in map(_parse, done.stdout.splitlines()) if number in jobs}


def _parse(line: str) -> tuple[str, QueuedJob]:
    number, state, reason, host = (line.split("|") + [""] * 3)[:4]
    return number, QueuedJob(state, reason, host)
