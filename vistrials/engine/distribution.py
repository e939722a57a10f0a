"""One function on one or several processes, with progress and errors coming home to the caller."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from vistrials.engine.devices import flush_denormals
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter, SendingReporter, SilentReporter, deliver
from vistrials.errors import VistrialsError

T = TypeVar("T")


def launch(fabric: Fabric, function: Callable[..., T], reporter: Reporter, *args: Any) -> T:
    """Call `function(fabric, reporter, *args)` on every process of `fabric`.

    A single process is this one. Several are spawned: function and arguments are pickled, rank 0 reports for
    all.

    Returns:
        What rank 0 returned.

    Raises:
        VistrialsError, Interrupted: as the function raised them on rank 0.
    """
    if fabric.world_size == 1:
        return function(fabric, reporter, *args)
    queue = get_context("spawn").SimpleQueue()
    relay = threading.Thread(target=_relay, args=(queue, reporter), daemon=True)
    relay.start()
    # Rank by rank torch would remark that every parameter was used, which the next step may change.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with StopRequest(on_stop=_tell_children):
        # Bound, since Fabric walks through what it passes on and refuses frozen records.
        outcome = fabric.launch(partial(_call, function=function, queue=queue, args=args))
    queue.put(None)
    relay.join()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _call(fabric: Fabric, function: Callable[..., T], queue: Any, args: tuple[Any, ...]) -> T | Exception:
    flush_denormals()
    reporter = SendingReporter(queue.put) if fabric.is_global_zero else SilentReporter()
    try:
        return function(fabric, reporter, *args)
    except (VistrialsError, Interrupted) as error:
        return error
    finally:
        # Threads of the process group that still run when the interpreter ends abort the process now and then.
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _relay(queue: Any, reporter: Reporter) -> None:
    while (report := queue.get()) is not None:
        deliver(report, reporter)


def _tell_children() -> None:
    # Ctrl-C in a terminal reaches them anyway; a signal to this process alone does not. Twice does no harm.
    for child in active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGTERM)
