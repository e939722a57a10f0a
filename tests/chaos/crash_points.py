"""Every change that a process makes on disk, counted, and a kill at any one of them."""

import builtins
import io
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OPERATIONS = ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "truncate", "link", "fsync", "ftruncate")
_OF_DESCRIPTORS = ("fsync", "ftruncate")


class CrashPoints:
    """Counts changes below a folder in the order in which they are made, and kills the process at one of them.

    A write is left half done; all else is not done at all. Of the many writes into one file the first, second, fourth,
    eighth, .. count. What other threads write (TensorBoard's) has no place in
    this order, and is not counted.
    """

    def __init__(self, folder: Path, kill_at: int | None = None, record: Path | None = None) -> None:
        """
        Args:
            folder: what lies below is watched.
            kill_at: number of the change, from 0; None lets the process live.
            record: a file for a line of each change.
        """
        self._folder, self._kill_at, self._record = str(folder), kill_at, record
        self._number = 0

    def install(self) -> None:
        """Watch this process from now on."""
        for name in _OPERATIONS:
            setattr(os, name, self._watched(name, getattr(os, name)))
        opened: Any = self._watched_open(io.open)
        builtins.open = opened
        io.open = opened

    def reached(self, what: str, at_last: Callable[[], object] = lambda: None) -> None:
        """A change is about to be made; where it is the one to die at, `at_last` is what is left of it."""
        number, self._number = self._number, self._number + 1
        if self._record is not None:
            descriptor = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(descriptor, f"{what}\n".encode())
            os.close(descriptor)
        if number == self._kill_at:
            at_last()
            os.kill(os.getpid(), signal.SIGKILL)

    def _watched(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            inside = name in _OF_DESCRIPTORS or "dir_fd" in options or self._is_inside(path)
            if inside and _is_main():
                self.reached(f"{name} {Path(path).name if not isinstance(path, int) else ''}")
            return operation(path, *args, **options)

        return call

    def _watched_open(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            changes = any(letter in mode for letter in "wax+")
            if not (changes and self._is_inside(file) and _is_main()):
                return operation(file, mode, *args, **options)
            self.reached(f"open {Path(file).name}")
            return _WatchedFile(operation(file, mode, *args, **options), self, Path(file).name)

        return call

    def _is_inside(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(self._folder)


class _WatchedFile:
    """A file whose writes are counted."""

    def __init__(self, file: Any, points: CrashPoints, name: str) -> None:
        self._file, self._points, self._name = file, points, name
        self._num_writes = 0

    def write(self, data: Any) -> Any:
        self._num_writes += 1
        if self._num_writes.bit_count() == 1:
            self._points.reached(f"write {self._name}", lambda: self._write_half(data))
        return self._file.write(data)

    def truncate(self, *size: int) -> Any:
        self._points.reached(f"truncate {self._name}")
        return self._file.truncate(*size)

    def _write_half(self, data: Any) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        return iter(self._file)

    def __enter__(self) -> "_WatchedFile":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._file.__exit__(*error)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
