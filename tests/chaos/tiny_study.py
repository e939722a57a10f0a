"""The run that chaos breaks: its data, its spec, what it leaves when nothing disturbs it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.crash_points import CrashPoints
from tests.chaos.outcomes import results_of
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
    changes: dict[str, dict[str, Any]]

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

    def run(self, name: str, *flags: str, **how: Any) -> Ended:
        """`vistrials run` into the results folder of this name."""
        arguments = ["run", self.spec, "--results", self.results(name), "--device", "cpu", *flags]
        return vistrials(arguments, self.folder / f"{name}.log", **how)

    def results(self, name: str) -> Path:
        return self.folder / f"results-{name}"

    def run_folder(self, name: str) -> Path:
        return self.results(name) / "tiny" / "tiny" / "seed0"
