"""The command line in forked processes, which cost the time of their work alone, and can be killed."""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from vistrials.cli import main
from vistrials.runs import provenance

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
    prepare: Callable[[], object] = lambda: None,
    meanwhile: Callable[[int], object] = lambda pid: None,
) -> Ended:
    """Run `vistrials ARGUMENTS` in a fork of this process.

    Args:
        arguments: of the command line.
        prepare: called in the new process before the command.
        meanwhile: called here with the process id, such as to kill it.
    """
    for name in _LOADED_BEFORE:
        importlib.import_module(name)
    printed, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_the_command([str(argument) for argument in arguments], out, prepare)
    os.close(out)
    os.set_blocking(printed, False)
    meanwhile(pid)
    began, output = time.monotonic(), b""
    try:
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            output += _read_all(printed)  # not to its end: children that outlive a killed process hold it open
            if ended:
                return Ended(os.waitstatus_to_exitcode(status), output.decode(errors="replace"))
            if time.monotonic() - began > DEADLINE_SECONDS:
                os.killpg(pid, signal.SIGKILL)
            time.sleep(0.005)
    finally:
        os.close(printed)


def _read_all(pipe: int) -> bytes:
    """What is in a pipe now."""
    read = b""
    with suppress(BlockingIOError):
        while part := os.read(pipe, 1 << 16):
            read += part
    return read


def _be_the_command(arguments: list[str], out: int, prepare: Callable[[], object]) -> None:
    """Never returns: what lies below on the stack is the parent's."""
    code = _CRASHED
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.dup2(out, 1)
        os.dup2(out, 2)
        # pytest has its own.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        torch.set_num_threads(1)  # threads do not survive a fork
        # The checkout may change while others work on it.
        provenance._describe_checkout = lambda: {"commit": None, "dirty": None}
        prepare()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            sys.argv = ["vistrials", *arguments]
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        code = _CRASHED
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
