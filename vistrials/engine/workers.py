"""Calls that run side by side, each in a process of its own; what they report, and how they end, comes home.

Jobs of a cluster go through submitit; runs on this machine do not go through its executor for one machine. That
reports nothing of what goes on, kills 1.2 s after an interrupt (a step of 3 s was lost), goes on when its parent is
killed, hides all GPUs unless told their number, and does not say which signal killed a process.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self, cast

import torch

from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter, SendingReporter, deliver
from vistrials.errors import how_it_ended


@dataclass(slots=True)
class _Worker:
    key: Any
    process: BaseProcess
    reporter: Reporter
    returned: "_Returned | None" = None

    def how_it_ended(self) -> str | None:
        """What the call returned, or how the process died."""
        self.process.join()
        if self.returned is not None:
            return self.returned.value
        return f"its process {how_it_ended(self.process.exitcode)}"


class ThisProcess:
    """Calls one after the other in this process, with the interface of `Workers`; a signal breaks off the call."""

    def __init__(self) -> None:
        self._finished: tuple[Any, str | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    @property
    def has_room(self) -> bool:
        return self._finished is None

    def start(self, key: Any, reporter: Reporter, function: Callable[..., str | None], *args: Any) -> None:
        """Call `function(reporter, *args)` to its end."""
        self._finished = key, function(reporter, *args)

    def next_finished(self) -> tuple[Any, str | None]:
        """The key of the last call and what it returned."""
        assert self._finished is not None
        finished, self._finished = self._finished, None
        return finished


class Workers:
    """At most `num` calls at a time, which share the processor's cores evenly.

    A signal that asks this process to stop is passed on to them; should it die, they stop as if asked to.
    """

    def __init__(self, num: int) -> None:
        self._num = num
        self._workers: dict[Connection, _Worker] = {}
        self._stop = StopRequest(on_stop=self._tell_all)

    def __enter__(self) -> Self:
        self._stop.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._tell_all()
        for worker in self._workers.values():
            worker.process.join()
        self._stop.__exit__(*exception)

    @property
    def has_room(self) -> bool:
        return len(self._workers) < self._num

    def start(self, key: Any, reporter: Reporter, function: Callable[..., str | None], *args: Any) -> None:
        """Call `function(reporter, *args)` in a process of its own.

        Args:
            key: names the call in `next_finished`.
            reporter: hears what the call reports, in this process.
            function: returns why it failed, or None; it is pickled, and so are its arguments.
        """
        context = get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        num_threads = max(1, torch.get_num_threads() // self._num)
        process = context.Process(target=_work, args=(sender, num_threads, function, args))
        process.start()
        # With the worker's own end as the only one the pipe ends when it does, however that comes.
        sender.close()
        self._workers[receiver] = _Worker(key, process, reporter)
        if self._stop.requested:  # just before it could have been told
            process.terminate()

    def next_finished(self) -> tuple[Any, str | None]:
        """Wait until a call has ended, and let the reporters hear what all of them report meanwhile.

        Returns:
            The key of the call and what it returned.

        Raises:
            Interrupted: stopped by a signal; all calls have ended.
        """
        while self._workers:
            for connection in cast(list[Connection], wait(list(self._workers))):
                worker = self._workers[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):  # the second within a message
                    del self._workers[connection]
                    connection.close()
                    fault = worker.how_it_ended()
                    if self._stop.requested:
                        break
                    return worker.key, fault
                if isinstance(message, _Returned):
                    worker.returned = message
                else:
                    deliver(message, worker.reporter)
        raise Interrupted("stopped; the same command continues from there")

    def _tell_all(self) -> None:
        for worker in self._workers.values():
            worker.process.terminate()


@dataclass(frozen=True, slots=True)
class _Returned:
    value: str | None


def _work(sender: Connection, num_threads: int, function: Callable[..., str | None], args: tuple[Any, ...]) -> None:
    """Body of a worker."""
    # A Ctrl-C in the terminal reaches it too, but what that means is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_stop_when_orphaned, daemon=True).start()
    torch.set_num_threads(num_threads)
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock:  # a pipe is no place for two threads at once, and news may come from another one
            sender.send(message)

    with suppress(Interrupted, BrokenPipeError):
        send(_Returned(function(SendingReporter(send), *args)))


def _stop_when_orphaned() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
