"""Where the runs of a study are made: on this machine, or as jobs of a cluster."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vistrials.errors import SpecError

if TYPE_CHECKING:
    from vistrials.study import Executor

On = Annotated[str, typer.Option("--on", metavar="local|slurm", help="This machine, or jobs of a Slurm cluster.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Of local: runs side by side, which share the cores (1).", show_default=False),
]
Partition = Annotated[str | None, typer.Option(help="Of slurm: partition of the jobs.", show_default=False)]
Gpus = Annotated[
    int | None,
    typer.Option(min=0, help="Of slurm: GPUs of each run, which trains on all of them (0).", show_default=False),
]
Cpus = Annotated[int | None, typer.Option(min=1, help="Of slurm: cores of each run.", show_default=False)]
Memory = Annotated[
    str | None, typer.Option("--mem", metavar="8G", help="Of slurm: memory of each run.", show_default=False)
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="[D-]H:MM",
        help="Of slurm: after which a run is queued again, and continues (4:00).",
        show_default=False,
    ),
]
ArrayLimit = Annotated[
    int | None,
    typer.Option("--array-limit", metavar="N", min=1, help="Of slurm: runs at the same time.", show_default=False),
]
Sbatch = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch", metavar="NAME=VALUE", help="Of slurm: another option of sbatch; repeatable.", show_default=False
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Of slurm: return when the jobs are queued.")]

_OURS = {"time": "--time", "partition": "--partition", "mem": "--mem", "cpus-per-task": "--cpus", "array": "--seeds"}
"""Options of sbatch that have one of ours."""


def choose_executor(
    on: str,
    *,
    jobs: int | None,
    partition: str | None,
    gpus: int | None,
    cpus: int | None,
    memory: str | None,
    time: str | None,
    array_limit: int | None,
    sbatch: list[str] | None,
    no_wait: bool,
) -> "Executor":
    """The executor that the options mean; an option that would do nothing is refused."""
    of_slurm = {
        "--partition": partition,
        "--gpus": gpus,
        "--cpus": cpus,
        "--mem": memory,
        "--time": time,
        "--array-limit": array_limit,
        "--sbatch": sbatch or None,
        "--no-wait": no_wait or None,
    }
    if on == "local":
        given = [name for name, value in of_slurm.items() if value is not None]
        if given:
            raise SpecError(f"{given[0]}: expected only with --on slurm")
        from vistrials.study import Local

        return Local(jobs or 1)
    if on != "slurm":
        raise SpecError(f"--on {on}: expected local or slurm")
    if jobs is not None:
        raise SpecError(
            "--jobs: expected only with --on local; --array-limit bounds the runs at the same time on slurm"
        )
    from vistrials.cluster.submission import SlurmOptions, SlurmSubmitter, check_cluster

    options = SlurmOptions(
        partition, gpus or 0, cpus, _minutes(time or "4:00"), memory, array_limit, _more(sbatch or [])
    )
    check_cluster()
    from vistrials.cluster.slurm import Slurm
    from vistrials.commands.display import RichReporter

    def open_submitter(folder: Path) -> SlurmSubmitter:
        return SlurmSubmitter(options, folder)

    return Slurm(open_submitter, RichReporter, max(1, options.gpus), not no_wait)


def _minutes(text: str) -> int:
    """Of 90 (minutes), 1:30, 1:30:00 or 1-12:00; seconds are rounded up."""
    match = re.fullmatch(
        r"(?:(?P<d>\d{1,3})-)?(?P<h>\d{1,4}):(?P<m>\d{1,2})(?::(?P<s>\d{1,2}))?|(?P<only>\d{1,6})", text
    )
    if match is None:
        raise SpecError(f"--time {text}: expected minutes, hours:minutes or days-hours:minutes, such as 90 or 1-12:00")
    d, h, m, s, only = (int(match[name] or 0) for name in ("d", "h", "m", "s", "only"))
    minutes = only + 60 * (24 * d + h) + m + (s > 0)
    if minutes == 0:
        raise SpecError(f"--time {text}: expected more than 0")
    return minutes


def _more(options: list[str]) -> dict[str, str]:
    more = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not re.fullmatch("[a-z][a-z-]*", name):
            raise SpecError(f"--sbatch {option}: expected NAME=VALUE, such as account=vision")
        if name in _OURS:
            raise SpecError(f"--sbatch {option}: {_OURS[name]} says that here")
        more[name] = value
    return more
