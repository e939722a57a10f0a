"""A reporter that also writes down, every few seconds, what the run is doing, so that others can look."""

import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter
from vistrials.errors import one_line
from vistrials.runs.activity import BEAT_SECONDS, Activity, Phase, remove_activity, write_activity

_RATE_BEATS = 12
"""The rate of a stage is taken over so many beats."""


class Heartbeat:
    """While entered, the record of a run follows what it reports; afterwards it says why the run did not end well.

    A thread writes, so that a step waits for no disk, and a step that takes long is told from a dead process.

    Args:
        path: of the record.
        reporter: hears everything.
        beat_seconds: between two records.
    """

    def __init__(self, path: Path, reporter: Reporter, beat_seconds: float = BEAT_SECONDS) -> None:
        self._path, self._reporter, self._beat_seconds = path, reporter, beat_seconds
        self._activity = Activity.of_this_process(Phase.RUNNING)
        self._steps: deque[tuple[float, int]] = deque(maxlen=_RATE_BEATS)
        self._lock, self._wake, self._ended = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        write_activity(self._path, self._activity)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._wake.set()
        self._thread.join()
        if error is None:
            remove_activity(self._path)
            return
        if isinstance(error, Exception) and not isinstance(error, Interrupted):
            ending = replace(self._activity, phase=Phase.FAILED, reason=one_line(error))
        else:
            ending = replace(self._activity, phase=Phase.INTERRUPTED, reason=str(error) or None)
        write_activity(self._path, ending)

    def stage(self, name: str, total: int | None) -> None:
        """As of the reporter."""
        with self._lock:
            self._activity = replace(self._activity, stage=name, step=0, total=total, steps_per_second=None, values={})
            self._steps.clear()
        self._wake.set()
        self._reporter.stage(name, total)

    def advance(self, steps: int = 1, **values: float) -> None:
        """As of the reporter."""
        with self._lock:
            activity = self._activity
            step = activity.step + steps
            self._activity = replace(activity, step=step, values=activity.values | values)
            if not self._steps:  # what earlier runs of the stage have done is no part of the rate
                self._steps.append((time.monotonic(), step))
        self._reporter.advance(steps, **values)

    def message(self, text: str) -> None:
        """As of the reporter."""
        self._reporter.message(text)

    def warning(self, text: str) -> None:
        """As of the reporter."""
        self._reporter.warning(text)

    def _beat(self) -> None:
        while not self._ended:
            self._wake.wait(self._beat_seconds)
            self._wake.clear()
            with self._lock:
                self._activity = activity = replace(self._activity, steps_per_second=self._rate())
            write_activity(self._path, activity)

    def _rate(self) -> float | None:
        if not self._steps:
            return None
        now, (began, first) = time.monotonic(), self._steps[0]
        self._steps.append((now, self._activity.step))
        done = self._activity.step - first
        return done / (now - began) if done > 0 else None
