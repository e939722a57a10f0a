"""The run that chaos breaks: its data, its spec, what it leaves when nothing disturbs it."""

import shutil
import signal
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.crash_points import CrashPoints
from tests.chaos.outcomes import differences, results_of
from tests.chaos.processes import Ended, vistrials
from tests.engine.tiny_videos import write_tiny_data_set
from tests.tiny_runs import tiny_spec
from vistrials.specs.loading import dump_spec


@dataclass(frozen=True)
class TinyStudy:
    """A trial in a folder of its own, run there as often as need be.

    folder: of everything; changes: of the spec, section by section.
    """

    folder: Path
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def spec(self) -> Path:
        """The trial as YAML."""
        data = write_tiny_data_set(self.folder / "data")
        path = self.folder / "tiny.yaml"
        path.write_text(dump_spec(tiny_spec(data, **self.changes)))
        return path

    @cached_property
    def expected(self) -> dict[str, Any]:
        """What an undisturbed run leaves."""
        ended = self.run("undisturbed")
        assert ended.code == 0, ended.output
        return results_of(self.run_folder("undisturbed"))

    @cached_property
    def points(self) -> list[str]:
        """The changes on disk that an undisturbed run makes, in order."""
        record = self.folder / "points"
        points = CrashPoints(self.results("counted"), record=record)
        ended = self.run("counted", prepare=points.install)
        assert ended.code == 0, ended.output
        return record.read_text().splitlines()

    def crash_at(self, point: int) -> str | None:
        """Kill a run at a change on disk, and let another one bring it to its end; what went wrong, if anything."""
        name = f"point{point}"
        self.forget(name)
        watched = CrashPoints(self.results(name), kill_at=point)
        ended = self.run(name, prepare=watched.install)
        if ended.code != -signal.SIGKILL:
            return f"point {point}, {self.points[point]}: not reached: {ended}"
        problem = self.finish(name)
        self.forget(name)
        return f"point {point}, {self.points[point]}: {problem}" if problem else None

    def finish(self, name: str, *flags: str) -> str | None:
        """Bring a run to its end; what is wrong with the outcome, if anything."""
        ended = self.run(name, *flags)
        if ended.code != 0 or not ended.is_clean:
            return f"exit code {ended.code}: {ended.output.strip()}"
        problems = differences(results_of(self.run_folder(name)), self.expected)
        return "; ".join(problems) or None

    def forget(self, name: str) -> None:
        """Begin anew under a name."""
        shutil.rmtree(self.results(name), ignore_errors=True)

    def run(self, name: str, *flags: str, **how: Any) -> Ended:
        """`vistrials run` into the results folder of this name."""
        arguments = ["run", self.spec, "--results", self.results(name), "--device", "cpu", *flags]
        return vistrials(arguments, **how)

    def results(self, name: str) -> Path:
        return self.folder / f"results-{name}"

    def run_folder(self, name: str) -> Path:
        return self.results(name) / "tiny" / "tiny" / "seed0"
