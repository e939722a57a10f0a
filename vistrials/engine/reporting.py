"""How the packages below the command line tell what they are doing. Nothing in them prints."""

from collections.abc import Callable
from typing import Any, Protocol

Report = tuple[str, tuple[Any, ...], dict[str, float]]
"""A call of a reporter: method, arguments, values."""


class Reporter(Protocol):
    """Receives progress; the command line draws it.

    A run is a sequence of stages: a new one ends the one before it, the end of the call ends the last one.
    """

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins: its name, such as "train baseline", and its number of steps (None if unknown)."""

    def advance(self, steps: int = 1, **values: float) -> None:
        """The current stage is `steps` further; `values` are worth showing beside it.

        The first call of a stage may say what earlier runs of it have done.
        """

    def message(self, text: str) -> None:
        """One line of news."""

    def warning(self, text: str) -> None:
        """One line about something that makes the result worse or different from what may be expected."""


class SilentReporter:
    """A reporter for callers that do not want to hear anything."""

    def stage(self, name: str, total: int | None) -> None:
        pass

    def advance(self, steps: int = 1, **values: float) -> None:
        pass

    def message(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        pass


class SendingReporter:
    """Sends what it hears to another process, where `deliver` takes it to a reporter."""

    def __init__(self, send: Callable[[Report], None]) -> None:
        self._send = send

    def stage(self, name: str, total: int | None) -> None:
        self._send(("stage", (name, total), {}))

    def advance(self, steps: int = 1, **values: float) -> None:
        self._send(("advance", (steps,), values))

    def message(self, text: str) -> None:
        self._send(("message", (text,), {}))

    def warning(self, text: str) -> None:
        self._send(("warning", (text,), {}))


def deliver(report: Report, reporter: Reporter) -> None:
    """Let a reporter hear what a `SendingReporter` heard."""
    name, args, values = report
    getattr(reporter, name)(*args, **values)
