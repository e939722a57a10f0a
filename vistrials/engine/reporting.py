"""How the rooms below the command line tell what they are doing. Nothing in them prints."""

from typing import Protocol


class Reporter(Protocol):
    """Receives progress; the command line draws it.

    A run is a sequence of stages: a new one ends the one before it, the end of the call ends the last one.
    """

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins: its name, such as "train baseline", and its number of steps (None if unknown)."""

    def advance(self, steps: int = 1, **values: float) -> None:
        """The current stage is `steps` further; `values` are worth showing beside it."""

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
