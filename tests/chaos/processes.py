"""The command line in forked processes, which cost the time of their work alone, and can be killed."""

import importlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vistrials.cli import app

DEADLINE_SECONDS = 300.0
_CRASHED = 70

# What a run imports on its way: loaded once here instead of in every fork.
_LOADED_BEFORE = (
    *("torch._dynamo", "torch.onnx", "torch.utils.tensorboard", "torchvision", "sympy", "numba", "numba.np.ufunc"),
    *("vistrials.pipeline", "vistrials.commands.display", "vistrials.weights.backbones", "pandas", "scipy.linalg"),
)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, minus the signal where one killed it, and what it printed."""

    code: int
    output: str

    @property
    def is_clean(self) -> bool:
        """Whether there is no traceback in what it printed."""
        return self.code != _CRASHED and "Traceback (most recent call last)" not in self.output


def vistrials(
    arguments: Sequence[object],
    log: Path,
    prepare: Callable[[], object] = lambda: None,
    meanwhile: Callable[[int], object] = lambda pid: None,
) -> Ended:
    """Run `vistrials ARGUMENTS` in a fork of this process.

    Args:
        arguments: of the command line.
        log: a file for what it prints.
        prepare: called in the new process before the command.
        meanwhile: called here with the process id, such as to kill it.
    """
    for name in _LOADED_BEFORE:
        importlib.import_module(name)
    pid = os.fork()
    if pid == 0:
        _be_the_command([str(argument) for argument in arguments], log, prepare)
    meanwhile(pid)
    began = time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace") if log.exists() else "")
        if time.monotonic() - began > DEADLINE_SECONDS:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)


def _be_the_command(arguments: list[str], log: Path, prepare: Callable[[], object]) -> None:
    code = _CRASHED
    try:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        torch.set_num_threads(1)  # threads do not survive a fork
        prepare()
        app(arguments, prog_name="vistrials")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
