"""Real processes: a scheduler that signals all of a group at once, and several study commands on one folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.tiny_videos import write_tiny_data_set
from vistrials import pipeline
from vistrials.engine.side_by_side import one_thread
from vistrials.formats.files import sha256_of
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import load_trial

ROOT = Path(__file__).resolve().parents[1]
ITERS = 30

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are of Unix")


def settings(data: Path, *more: str) -> list[str]:
    source = f"data.source={{kind: files, root: {data}}}"
    few = ["data.splits=[valid]", "data.image_size_px=[64,48]", "train.batch_size=2", "init.weights=null"]
    return [source, *few, "init.backbone=random", "train.cache_frames=false", *more]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "vistrials", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, num_lines: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < num_lines:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)


def as_options(changes: list[str]) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def test_sigterm_to_the_group_saves_and_the_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    changes = settings(write_tiny_data_set(tmp_path / "data"), f"train.max_iters={ITERS}", "train.num_workers=4")
    spec = load_trial("masktrack_rcnn", "smoke", changes)
    stopped = RunDirectory.for_spec(spec, tmp_path / "stopped", 0)
    process = start("train", "masktrack_rcnn", "-p", "smoke", "--results", tmp_path / "stopped", *as_options(changes))
    wait_for(stopped.losses, 2, process)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said and "the same command continues from there" in said
    done = len(stopped.losses.read_text().splitlines())
    assert stopped.checkpoint.exists() and 2 <= done < ITERS
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)

    whole = RunDirectory.for_spec(spec, tmp_path / "whole", 0)
    with one_thread():  # as the other process had
        for directory in (stopped, whole):
            pipeline.run(spec, directory.results_dir, device="cpu", stages=["train"])
    assert len(stopped.losses.read_text().splitlines()) == ITERS
    assert sha256_of(stopped.weights) == sha256_of(whole.weights)  # bytes take pytest minutes to compare line by line


def test_commands_at_the_same_time_share_the_runs_and_none_fails(tmp_path: Path) -> None:
    changes = settings(write_tiny_data_set(tmp_path / "data"), "train.max_iters=1", "train.num_workers=0")
    options = ["-p", "smoke", "--results", tmp_path / "results", *as_options(changes)]
    trials = ["masktrack_rcnn", "masktrack_rcnn_deep"]
    processes = [start("run-all", *trials, *options) for _ in range(3)]
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert all("2 of 2 runs are done" in text for text in said)
    for name in trials:
        assert sum(f"train {name}: begins" in text for text in said) == 1  # the others found it done
        directory = RunDirectory.for_spec(load_trial(name, "smoke", changes), tmp_path / "results", 0)
        assert directory.is_evaluated("valid") and len(directory.losses.read_text().splitlines()) == 1
