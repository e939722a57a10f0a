"""Runs as jobs, through submitit's executor for one machine: levels, logs, requeueing, and ends that are none."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from submitit import AutoExecutor
from submitit.local.local import LocalJob

from tests.cluster.studies import tiny_trial, what_came_out
from vistrials.cluster.job import QueuedRun
from vistrials.cluster.slurm import Slurm
from vistrials.commands.display import RichReporter
from vistrials.engine.side_by_side import one_thread
from vistrials.reports.run_states import QueuedJob, State, find_run_states
from vistrials.runs.activity import Phase, read_activity
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec
from vistrials.study import Failure, run_all

PATIENCE_SECONDS = 240


@pytest.fixture(autouse=True)
def in_one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here and in the jobs: with another number of threads weights would be others."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with one_thread():
        yield


class OnThisMachine:
    """Stands for Slurm: submitit starts the processes, and starts them again when they ask for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, LocalJob[None]] = {}

    def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]:
        for job in after:
            assert self._jobs[job]._process is not None
            self._jobs[job]._process.wait(PATIENCE_SECONDS)
        executor = AutoExecutor(folder=self._folder, cluster="local")
        executor.update_parameters(timeout_min=PATIENCE_SECONDS // 60)
        jobs = executor.submit_array(runs)
        self._jobs |= {job.job_id: job for job in jobs}
        return [job.job_id for job in jobs]

    def read_queue(self, jobs: AbstractSet[str]) -> Mapping[str, QueuedJob]:
        return {job: QueuedJob("RUNNING", "None", "here") for job in jobs if not self._jobs[job].done()}


def run_as_jobs(specs: Sequence[TrialSpec], results: Path) -> list[Failure]:
    executor = Slurm(OnThisMachine, RichReporter, look_seconds=0.1)
    return run_all(specs, results, [0], device="cpu", executor=executor)


def signal_in_training(number: int, directory: RunDirectory) -> Callable[[], None]:
    """Waits in a thread until a run has taken two steps, and signals its process; call it to see that it did."""
    sent = threading.Event()

    def wait_and_send() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            activity = read_activity(directory.activity)
            taken = directory.losses.read_text().count("\n") if directory.losses.exists() else 0
            if activity is not None and activity.phase is Phase.RUNNING and taken >= 2:
                assert activity.pid is not None
                os.kill(activity.pid, number)
                sent.set()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait_and_send, daemon=True)
    thread.start()

    def check() -> None:
        thread.join()
        assert sent.is_set()

    return check


def test_runs_come_after_their_start_and_what_fails_stops_only_what_starts_from_it(tmp_path: Path) -> None:
    first, second = tiny_trial(tmp_path / "data", "first"), tiny_trial(tmp_path / "data", "second", "first")
    broken = tiny_trial(tmp_path / "none", "broken")
    (tmp_path / "none" / "train.json").unlink()
    third = tiny_trial(tmp_path / "data", "third", "broken")
    failures = run_as_jobs([third, second, broken, first], tmp_path / "results")
    assert [(failure.trial, failure.reason.split(":")[0]) for failure in failures] == [
        ("broken", str(tmp_path / "none")),
        ("third", "skipped, because it starts from broken, which is not finished"),
    ]
    assert RunDirectory.for_spec(second, tmp_path / "results", 0).is_evaluated("valid")
    log = RunDirectory.for_spec(second, tmp_path / "results", 0).log.read_text()
    assert "starts from trial first, seed 0" in log and "train second: begins, 9 steps" in log
    states = {state.trial: state for state in find_run_states(tmp_path / "results")}
    assert {name: state.state for name, state in states.items()} == {
        "broken": State.FAILED,
        "first": State.DONE,
        "second": State.DONE,
        "third": State.FAILED,
    }
    assert not list((tmp_path / "results" / ".jobs").iterdir())


def test_a_job_whose_time_is_over_saves_is_queued_again_and_ends_as_if_undisturbed(tmp_path: Path) -> None:
    spec = tiny_trial(tmp_path / "data", "long", max_iters=60)
    directory = RunDirectory.for_spec(spec, tmp_path / "results", 0)
    check = signal_in_training(signal.SIGUSR2, directory)
    assert run_as_jobs([spec], tmp_path / "results") == []
    check()
    assert directory.log.read_text().count("train long: begins") == 2
    assert run_all([spec], tmp_path / "undisturbed", device="cpu") == []
    undisturbed = RunDirectory.for_spec(spec, tmp_path / "undisturbed", 0)
    assert what_came_out(directory.path) == what_came_out(undisturbed.path)


def test_a_job_that_is_cancelled_saves_is_said_to_have_ended_and_continues_when_asked(tmp_path: Path) -> None:
    spec = tiny_trial(tmp_path / "data", "long", max_iters=60)
    directory = RunDirectory.for_spec(spec, tmp_path / "results", 0)
    check = signal_in_training(signal.SIGTERM, directory)
    (failure,) = run_as_jobs([spec], tmp_path / "results")
    check()
    assert "ended before the run did (stopped after iteration" in failure.reason
    (state,) = find_run_states(tmp_path / "results")
    assert state.state is State.INTERRUPTED and 2 <= state.step < 60
    assert run_as_jobs([spec], tmp_path / "results") == []
    assert directory.is_evaluated("valid")
