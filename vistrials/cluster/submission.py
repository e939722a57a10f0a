"""Job arrays of Slurm, through submitit."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from vistrials.cluster.job import QueuedRun
from vistrials.cluster.squeue import read_queue
from vistrials.errors import RunError, SpecError
from vistrials.reports.run_states import ReadQueue

MAX_ARRAY = 1000
"""Runs of one array: by default Slurm refuses numbers above it (MaxArraySize)."""

_MAX_TIMEOUTS = 1000
"""A run that needs more than that is none of ours: by default it may not be queued again more than three times."""

_LONGEST_NOTICE_SECONDS = 120
"""Before the end of its time a job is told to save: a step and a checkpoint have to fit in."""


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What each job asks for; None leaves it to the cluster.

    gpus: of each run, which trains on all of them.
    cpus: cores.
    minutes: after which it is queued again, and continues.
    memory: in Slurm's form, such as 8G.
    array_limit: runs at the same time, of each array.
    more: further options of sbatch, by name.
    """

    partition: str | None = None
    gpus: int = 0
    cpus: int | None = None
    minutes: int = 240
    memory: str | None = None
    array_limit: int | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, object]:
        """Under the names that submitit gives them."""
        asked = {
            "slurm_partition": self.partition,
            "gpus_per_node": self.gpus or None,
            "cpus_per_task": self.cpus,
            # Since 22.05 a step does not take this from its job.
            "slurm_srun_args": [f"--cpus-per-task={self.cpus}"] if self.cpus else None,
            "slurm_mem": self.memory,
            "slurm_array_parallelism": self.array_limit or MAX_ARRAY,
        }
        notice = min(_LONGEST_NOTICE_SECONDS, 60 * self.minutes // 3)
        return {name: value for name, value in asked.items() if value is not None} | {
            "name": "vistrials",
            "timeout_min": self.minutes,
            "stderr_to_stdout": True,
            "slurm_signal_delay_s": notice,
            # A job whose node fails is queued again too.
            "slurm_additional_parameters": {"requeue": True, **self.more},
        }


def check_cluster() -> None:
    """Refuse to submit where that cannot be done.

    Raises:
        SpecError: submitit is not installed, or this machine has no `sbatch`.
    """
    if find_spec("submitit") is None:
        raise SpecError("--on slurm: needs submitit, which is not installed; `pip install 'vistrials[slurm]'`")
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise SpecError(
            "--on slurm: found no sbatch and srun on PATH, expected a machine that submits jobs to Slurm, such as a "
            "login node; without --on slurm runs are made here"
        )


class SlurmSubmitter:
    """Hands runs to Slurm.

    Args:
        options: of each job.
        folder: for the files of submitit, which all nodes must see.
    """

    read_queue: ReadQueue = staticmethod(read_queue)

    def __init__(self, options: SlurmOptions, folder: Path) -> None:
        self._options, self._folder = options, folder

    def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]:
        """Queue runs as one array (or several, of at most MAX_ARRAY).

        Args:
            runs: of one level: none starts from another.
            after: numbers of jobs that have to end first, however they do.

        Returns:
            The numbers of their jobs.

        Raises:
            RunError: Slurm refuses them.
        """
        from submitit import AutoExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = AutoExecutor(folder=self._folder, cluster="slurm", slurm_max_num_timeout=_MAX_TIMEOUTS)
        parameters = self._options.parameters()
        if after:
            arrays = sorted({job.partition("_")[0] for job in after})
            parameters["slurm_dependency"] = "afterany:" + ":".join(arrays)
        jobs: list[str] = []
        try:
            executor.update_parameters(**parameters)
            for first in range(0, len(runs), MAX_ARRAY):
                jobs += [job.job_id for job in executor.submit_array(runs[first : first + MAX_ARRAY])]
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise RunError(f"sbatch refuses the jobs: {' '.join(str(error).split())}") from None
        return jobs
