"""What a run says that it does, and whether its process is still there to say it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vistrials.engine.heartbeat import Heartbeat
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import SilentReporter
from vistrials.errors import RunError
from vistrials.runs.activity import (
    STALE_SECONDS,
    Activity,
    Phase,
    is_alive,
    job_of_this_process,
    read_activity,
    remove_activity,
    write_activity,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo" / "baseline" / "seed0" / ".activity.json"


def test_a_shorter_record_leaves_nothing_of_a_longer_one(path: Path) -> None:
    long, short = Activity(Phase.FAILED, reason="x" * 5000), Activity(Phase.QUEUED, job="12_3", waits_for="baseline")
    write_activity(path, long)
    assert read_activity(path) == replace(long, reason="x" * 2000)
    write_activity(path, short)
    assert read_activity(path) == short
    remove_activity(path)
    assert not path.parents[2].exists()  # the run had nothing else


def test_folders_that_hold_something_stay(path: Path) -> None:
    write_activity(path, Activity(Phase.QUEUED))
    (path.parents[1] / "seed1").mkdir()
    remove_activity(path)
    assert not path.parent.exists() and (path.parents[1] / "seed1").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"phase": "dancing"}', '{"phase": "failed", "new": 1}'])
def test_a_record_that_cannot_be_read_is_none(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert read_activity(path) is None


def test_a_process_is_told_from_a_later_one_of_its_number(path: Path) -> None:
    own = Activity.of_this_process(Phase.RUNNING)
    write_activity(path, own)
    assert is_alive(path, own)
    assert own.process_began is not None
    assert not is_alive(path, replace(own, process_began=own.process_began - 1))
    assert not is_alive(path, Activity(Phase.QUEUED, job="12"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not is_alive(path, replace(own, pid=ended.pid))


def test_a_process_elsewhere_lives_as_long_as_it_writes(path: Path) -> None:
    elsewhere = replace(Activity.of_this_process(Phase.RUNNING), host="another")
    write_activity(path, elsewhere)
    assert is_alive(path, elsewhere)
    os.utime(path, (time.time() - STALE_SECONDS - 1,) * 2)
    assert not is_alive(path, elsewhere)


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    ],
)
def test_a_job_has_the_number_that_the_queue_shows(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: str | None
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert job_of_this_process() == job


# --- Heartbeat


def wait_for(path: Path, step: int) -> Activity:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        activity = read_activity(path)
        if activity is not None and activity.step == step and activity.steps_per_second:
            return activity
        time.sleep(0.005)
    raise AssertionError(path.read_text())


def test_the_record_follows_the_stage_and_is_gone_in_the_end(path: Path) -> None:
    with Heartbeat(path, SilentReporter(), beat_seconds=0.01) as heartbeat:
        heartbeat.stage("train baseline", 1000)
        heartbeat.advance(400)  # of an earlier call: no part of the rate
        began = time.monotonic()
        time.sleep(0.1)
        heartbeat.advance(10, loss_total=0.5, lr=0.1)
        activity = wait_for(path, 410)
        assert (activity.phase, activity.stage, activity.total) == (Phase.RUNNING, "train baseline", 1000)
        assert activity.values == {"loss_total": 0.5, "lr": 0.1}
        assert activity.steps_per_second is not None
        assert 10 / (time.monotonic() - began) / 2 <= activity.steps_per_second <= 10 / 0.1
        left = activity.seconds_left()
        assert left == pytest.approx(590 / activity.steps_per_second)
        heartbeat.stage("infer baseline on minival", None)
        heartbeat.advance(3)
        heartbeat.advance(2)
        assert wait_for(path, 5).seconds_left() is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("error", "phase", "reason"),
    [
        (RunError("another spec"), Phase.FAILED, "another spec"),
        (MemoryError("no room\nfor all"), Phase.FAILED, "MemoryError: no room"),
        (Interrupted("stopped after iteration 3"), Phase.INTERRUPTED, "stopped after iteration 3"),
        (KeyboardInterrupt(), Phase.INTERRUPTED, None),
    ],
)
def test_an_end_that_is_none_leaves_its_reason(
    path: Path, error: BaseException, phase: Phase, reason: str | None
) -> None:
    with pytest.raises(type(error)), Heartbeat(path, SilentReporter()) as heartbeat:
        heartbeat.stage("train baseline", 10)
        heartbeat.advance(3)
        raise error
    activity = read_activity(path)
    assert activity is not None
    assert (activity.phase, activity.reason, activity.step) == (phase, reason, 3)


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Heartbeat(tmp_path / "file" / ".activity.json", SilentReporter()):
        pass
    assert json.dumps((tmp_path / "file").read_text()) == '""'
