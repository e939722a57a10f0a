"""Calls in processes of their own: what they report and return, and how they end with each other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.workers import Workers


class Recording(SilentReporter):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def stage(self, name: str, total: int | None) -> None:
        self.heard.append((name, total))

    def advance(self, steps: int = 1, **values: float) -> None:
        self.heard.append((steps, values))

    def message(self, text: str) -> None:
        self.heard.append(text)


def work(reporter: Reporter, name: str, fault: str | None = None) -> str | None:
    reporter.stage(f"train {name}", 3)
    reporter.advance(2, loss=0.5)
    reporter.message(f"{name} is done")
    return fault


def die(reporter: Reporter) -> str | None:
    os._exit(3)


def be_killed(reporter: Reporter) -> str | None:
    reporter.message("about to run out of memory")
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def wait_for_the_other(reporter: Reporter, own: Path, other: Path) -> str | None:
    own.touch()
    deadline = time.monotonic() + 60
    while not other.exists():
        if time.monotonic() > deadline:
            return "the other never ran"
        time.sleep(0.01)
    return None


def work_until_asked_to_stop(reporter: Reporter, started: Path, saved: Path) -> str | None:
    with StopRequest() as stop:
        started.touch()
        while not stop.requested:
            time.sleep(0.01)
    saved.touch()
    raise Interrupted("saved")


def test_reports_and_results_come_home() -> None:
    first, second = Recording(), Recording()
    with Workers(2) as workers:
        workers.start("a", first, work, "a")
        workers.start("b", second, work, "b", "why it failed")
        assert not workers.has_room
        assert dict(workers.next_finished() for _ in range(2)) == {"a": None, "b": "why it failed"}
        assert workers.has_room
    assert first.heard == [("train a", 3), (2, {"loss": 0.5}), "a is done"]
    assert second.heard[-1] == "b is done"


def test_calls_run_at_the_same_time(tmp_path: Path) -> None:
    with Workers(2) as workers:
        workers.start(0, SilentReporter(), wait_for_the_other, tmp_path / "0", tmp_path / "1")
        workers.start(1, SilentReporter(), wait_for_the_other, tmp_path / "1", tmp_path / "0")
        assert dict(workers.next_finished() for _ in range(2)) == {0: None, 1: None}


def test_a_process_that_dies_is_a_failure_of_its_call_alone() -> None:
    with Workers(1) as workers:
        workers.start("a", SilentReporter(), die)
        assert workers.next_finished() == ("a", "its process died with exit code 3")
        workers.start("a", SilentReporter(), be_killed)
        assert workers.next_finished() == (
            "a",
            "its process was killed by signal 9, as the system does when memory runs out",
        )
        workers.start("b", SilentReporter(), work, "b")
        assert workers.next_finished() == ("b", None)


def test_a_signal_lets_all_of_them_save_and_stop(tmp_path: Path) -> None:
    class Signalling(SilentReporter):
        def message(self, text: str) -> None:
            signal.raise_signal(signal.SIGINT)

    with Workers(2) as workers:
        workers.start("a", SilentReporter(), work_until_asked_to_stop, tmp_path / "started", tmp_path / "saved")
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        workers.start("b", Signalling(), work, "b")
        with pytest.raises(Interrupted):
            for _ in range(2):
                workers.next_finished()
    assert (tmp_path / "saved").exists()


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.engine.test_workers import *\n"
        "if __name__ == '__main__':\n"
        "    with Workers(1) as workers:\n"
        "        workers.start(0, SilentReporter(), work_until_asked_to_stop, *map(Path, sys.argv[1:]))\n"
        "        workers.next_finished()\n"
    )
    (tmp_path / "parent.py").write_text(script)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path / "started", tmp_path / "saved"],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
