"""The errors a user can cause; the command line prints their one line and exits with code 2."""


class VistrialsError(Exception):
    """Something the user can mend. The message is one line: what, where, expected, found, what to do."""


class SpecError(VistrialsError):
    """A trial, profile or override that does not validate."""


class DataError(VistrialsError):
    """Annotations, frames or predictions that cannot be used."""


class CheckpointError(VistrialsError):
    """Weights that do not fit the model, or a file that is not a checkpoint."""


class RunError(VistrialsError):
    """A run directory in a state that the command cannot work with."""


class ProcessDied(VistrialsError):
    """A process that works for this one is gone, not by our will."""


def how_it_ended(exit_code: int | None) -> str:
    """The end of a process in words, after a name such as "its process".

    Args:
        exit_code: minus the number of the signal that killed it, as `multiprocessing` has it.
    """
    if exit_code is None or exit_code >= 0:
        return f"died with exit code {exit_code or 0}"
    memory = ", as the system does when memory runs out" if exit_code == -9 else ""
    return f"was killed by signal {-exit_code}{memory}"


def one_line(error: BaseException) -> str:
    """A message for the user as it is; of a crash its kind and first line."""
    if isinstance(error, VistrialsError):
        return str(error)
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shortened(value: object, limit: int = 60) -> str:
    """A value as a message shows it: the start of one that is longer than `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
