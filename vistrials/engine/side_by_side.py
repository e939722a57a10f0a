"""Calls side by side in processes, results in order: how small networks use a CPU best, and how GPUs share videos."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from typing import Any, Protocol, TypeVar

import torch

from vistrials.engine.interruption import StopRequest
from vistrials.errors import RunError

T = TypeVar("T", covariant=True)


class ForDevices(Protocol[T]):
    """What is to be called side by side on devices; it is pickled."""

    def on(self, device: torch.device) -> Callable[[int, Callable[[], bool]], T]:
        """What is called on a device, as `call_side_by_side` calls its function."""


_LOOKS_SECONDS = 0.1
"""How often the parent looks whether it was asked to stop."""


def most_processes() -> int:
    """How many processes have a core each: as many as PyTorch would use threads; one where they cannot be forked."""
    return torch.get_num_threads() if sys.platform == "linux" else 1


@contextmanager
def one_thread() -> Iterator[None]:
    """While entered, PyTorch computes in the thread that calls it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def call_side_by_side(
    function: Callable[[int, Callable[[], bool]], T], numbers: Sequence[int], num_processes: int, stop: StopRequest
) -> Generator[T, None, None]:
    """Call `function(number, is_stopped)` for each number, in forked processes, which share what it refers to.

    Args:
        function: its result is pickled; returns soon when `is_stopped()`.
        numbers: of the calls.
        num_processes: 1 calls it in this process.
        stop: passed on as `is_stopped`.

    Yields:
        The results, in the order of the numbers.

    Raises:
        RunError: a process died.
        Exception: what the function raised.
    """
    if num_processes == 1:
        for number in numbers:
            yield function(number, lambda: stop.requested)
        return
    context = get_context("fork")
    stopped = context.Event()
    pool = ProcessPoolExecutor(num_processes, context, initializer=_begin, initargs=(function, stopped.is_set))
    yield from _in_order(pool, num_processes, numbers, stopped, stop, "with OMP_NUM_THREADS=1 in a single process")


# What a process calls.
_work: tuple[Callable[[int, Callable[[], bool]], Any], Callable[[], bool]]


def call_on_devices(
    function: ForDevices[T], numbers: Sequence[int], devices: Sequence[torch.device], stop: StopRequest
) -> Generator[T, None, None]:
    """As `call_side_by_side`, with a process for each device, whichever is free first: the results come in order."""
    context = get_context("spawn")  # a process that has a GPU open cannot be forked
    stopped, free = context.Event(), context.SimpleQueue()
    for device in devices:
        free.put(str(device))
    pool = ProcessPoolExecutor(
        len(devices), context, initializer=_begin_on_device, initargs=(function, stopped.is_set, free)
    )
    yield from _in_order(pool, len(devices), numbers, stopped, stop, "with a single device")


def _in_order(
    pool: ProcessPoolExecutor, num: int, numbers: Sequence[int], stopped: Event, stop: StopRequest, cure: str
) -> Generator[Any, None, None]:
    try:
        futures = deque(pool.submit(_call, number) for number in numbers)
        while futures:
            while not wait([futures[0]], timeout=_LOOKS_SECONDS).done:
                if stop.requested:
                    stopped.set()
            yield futures.popleft().result()
    except BrokenProcessPool:
        raise RunError(
            f"one of {num} processes side by side died, perhaps for lack of memory; the same command continues from "
            f"there, {cure}"
        ) from None
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _begin(function: Callable[[int, Callable[[], bool]], Any], is_stopped: Callable[[], bool]) -> None:
    """Called once in each process."""
    global _work
    _work = function, is_stopped
    # What a Ctrl-C in the terminal means is for the parent to say.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _begin_on_device(function: ForDevices[Any], is_stopped: Callable[[], bool], free: "SimpleQueue[str]") -> None:
    """Called once in each process that is started afresh."""
    threads = torch.get_num_threads()
    device = torch.device(free.get())
    _begin(function.on(device), is_stopped)
    if device.type != "cpu":
        torch.set_num_threads(threads)


def _call(number: int) -> Any:
    function, is_stopped = _work
    return function(number, is_stopped)


def end_with_parent() -> None:
    """Wait for the process that started this one, and end at once: to be called in a thread of its own."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
