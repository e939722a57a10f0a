"""A polite end: the step that runs is finished and saved before the program stops."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

_last_signal = signal.SIGINT


class Interrupted(Exception):
    """The user stopped the work at a point it can be continued from; the message says how."""


def exit_code_of_interrupt() -> int:
    """With which a program ends that was asked to stop: 130 by SIGINT, 143 by SIGTERM."""
    return 128 + _last_signal


class StopRequest:
    """While entered, turns SIGINT and SIGTERM into a flag; a second SIGINT interrupts at once.

    Outside the main thread signals cannot be caught, and the flag stays down.

    Args:
        on_stop: called at each signal, in the place where it broke in.
        announce: called once, to answer the user. In a thread of its own: what it needs to write, the place where the
            signal broke in may hold.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, on_stop: Callable[[], None] | None = None, announce: Callable[[], None] | None = None) -> None:
        self.requested = False
        self._on_stop, self._announce = on_stop, announce
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        global _last_signal
        _last_signal = signal.Signals(number)
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        is_first, self.requested = not self.requested, True  # before the answer: the next signal may come within it
        if self._announce is not None and is_first:
            threading.Thread(target=self._announce, daemon=True).start()
        if self._on_stop is not None:
            self._on_stop()
