"""One function on one or several processes, with progress and errors coming home to the caller."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch.multiprocessing import ProcessExitedException
from torch.multiprocessing.spawn import ProcessException

from vistrials.engine.devices import flush_denormals
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter, SendingReporter, SilentReporter, deliver
from vistrials.engine.side_by_side import end_with_parent
from vistrials.errors import ProcessDied, VistrialsError, how_it_ended

T = TypeVar("T")

_PATIENCE_SECONDS = 10
"""How long a process that has lost another one waits for the news of how that one ended."""


def launch(fabric: Fabric, function: Callable[..., T], reporter: Reporter, *args: Any) -> T:
    """Call `function(fabric, reporter, *args)` on every process of `fabric`.

    A single process is this one. Several are spawned: function and arguments are pickled, rank 0 reports for
    all.

    Returns:
        What rank 0 returned: no tensors, which end with their process.

    Raises:
        VistrialsError, Interrupted: as the function raised them first on any rank; all others are ended.
        ProcessDied: a process was killed; all others are ended.
    """
    if fabric.world_size == 1:
        return function(fabric, reporter, *args)
    queue = get_context("spawn").SimpleQueue()
    faults: list[Exception] = []
    relay = threading.Thread(target=_relay, args=(queue, reporter, faults), daemon=True)
    relay.start()
    # Rank by rank torch would remark that every parameter was used, which the next step may change.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Nor that it ends the others after one has died.
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    crash: ProcessException | None = None
    outcome = None
    with StopRequest(on_stop=_tell_children) as stop:
        try:
            # Bound, since Fabric walks through what it passes on and refuses frozen records.
            outcome = fabric.launch(partial(_call, function=function, queue=queue, args=args))
        except ProcessException as error:
            crash = error
    queue.put(None)
    relay.join()
    if faults:
        raise faults[0]
    if crash is not None and stop.requested:  # before they could listen
        raise Interrupted("stopped; the same command continues from the last checkpoint")
    if isinstance(crash, ProcessExitedException):
        raise ProcessDied(
            f"one of {fabric.world_size} processes {how_it_ended(crash.exit_code)}; "
            "the same command continues from the last checkpoint"
        )
    if crash is not None:
        raise crash
    return cast(T, outcome)


def _call(fabric: Fabric, function: Callable[..., T], queue: Any, args: tuple[Any, ...]) -> T | None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    flush_denormals()
    reporter = SendingReporter(queue.put) if fabric.is_global_zero else SilentReporter()
    try:
        result = function(fabric, reporter, *args)
    except (VistrialsError, Interrupted) as error:
        queue.put(error)
        result = None
    except RuntimeError as error:
        # Its own fault is told by the process that broke off; this one waits to be ended like it.
        if not _is_of_others(error):
            raise
        time.sleep(_PATIENCE_SECONDS)
        raise
    # Threads of the process group that still run when the interpreter ends abort the process now and then.
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return result


def _is_of_others(error: RuntimeError) -> bool:
    """Whether another process is gone with which this one wanted to exchange something."""
    return isinstance(error, torch.distributed.DistError) or any(
        words in str(error) for words in ("closed by peer", "reset by peer", "Broken pipe", "Gloo")
    )


def _relay(queue: Any, reporter: Reporter, faults: list[Exception]) -> None:
    while (message := queue.get()) is not None:
        if isinstance(message, Exception):
            faults.append(message)
        else:
            deliver(message, reporter)


def _tell_children() -> None:
    # Ctrl-C in a terminal reaches them anyway; a signal to this process alone does not. Twice does no harm.
    for child in active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGTERM)
