"""How far runs are: each state, told from files, records, processes and the queue."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.cluster import squeue
from vistrials.reports.run_states import QueuedJob, RunState, State, find_run_states
from vistrials.runs.activity import Activity, Phase, write_activity
from vistrials.runs.directory import RunDirectory
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.loading import load_table_rows
from vistrials.specs.training import InitSpec
from vistrials.specs.trial import TrialSpec

OWN = Activity.of_this_process(Phase.RUNNING)


def gone() -> Activity:
    """The record of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(OWN, pid=process.pid)


def state_of(results: Path, queue: Mapping[str, QueuedJob] | None = None) -> RunState:
    (state,) = find_run_states(results, read_queue=lambda jobs: queue)
    return state


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return write_run(tmp_path, "attention_neck")


@pytest.mark.parametrize(
    ("stage", "state"),
    [
        ("", State.STARTING),
        ("draw the embedded videos", State.DRAWING),
        ("train attention_neck", State.TRAINING),
        ("infer attention_neck on minival", State.PREDICTING),
        ("evaluate attention_neck on minival", State.SCORING),
        ("wait for baseline", State.WAITING),
    ],
)
def test_a_run_at_work_is_in_its_stage(run: RunDirectory, tmp_path: Path, stage: str, state: State) -> None:
    record = replace(OWN, stage=stage, step=30, total=90, steps_per_second=2.0, values={"loss_total": 0.5})
    write_activity(run.activity, record)
    found = state_of(tmp_path)
    assert (found.state, found.step, found.total, found.loss, found.seconds_left) == (state, 30, 90, 0.5, 30.0)
    assert found.waits_for == ("baseline" if state is State.WAITING else None)


def test_ends_that_are_none(run: RunDirectory, tmp_path: Path) -> None:
    assert state_of(tmp_path).state is State.UNFINISHED
    write_activity(run.activity, gone())
    assert state_of(tmp_path).state is State.KILLED
    for phase, state in ((Phase.FAILED, State.FAILED), (Phase.INTERRUPTED, State.INTERRUPTED)):
        write_activity(run.activity, replace(OWN, phase=phase, reason="why"))
        assert (state_of(tmp_path).state, state_of(tmp_path).reason) == (state, "why")


def test_what_files_say(run: RunDirectory, tmp_path: Path) -> None:
    run.weights.touch()
    assert state_of(tmp_path).state is State.TRAINED
    run.predictions("minival").touch()
    assert state_of(tmp_path).state is State.TRAINED
    run.predictions("occlusion").touch()
    assert state_of(tmp_path).state is State.DONE  # without annotations there is nothing to score
    write_activity(run.activity, gone())
    assert state_of(tmp_path).state is State.KILLED  # before it was scored
    run.metrics("minival").touch()
    run.metrics("occlusion").touch()
    assert state_of(tmp_path).state is State.DONE


def test_a_run_whose_spec_is_damaged_is_shown_as_such(run: RunDirectory, tmp_path: Path) -> None:
    run.spec.write_text("name: [")
    found = state_of(tmp_path)
    assert found.state is State.DAMAGED and found.reason is not None and str(run.spec) in found.reason


def test_queued_here_and_its_queue_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "additional_training" / "seed0" / ".activity.json"
    write_activity(path, replace(OWN, phase=Phase.QUEUED, waits_for="baseline"))
    found = state_of(tmp_path)
    assert (found.state, found.waits_for) == (State.WAITING, "baseline")
    (tmp_path / "demo" / "baseline" / "seed0").mkdir(parents=True)
    (tmp_path / "demo" / "baseline" / "seed0" / "weights.safetensors").touch()
    assert (state_of(tmp_path).state, state_of(tmp_path).waits_for) == (State.QUEUED, None)
    write_activity(path, replace(gone(), phase=Phase.QUEUED))
    assert state_of(tmp_path).state is State.NOT_STARTED


@pytest.mark.parametrize(
    ("record", "queue", "state", "reason"),
    [
        (Activity(Phase.QUEUED, job="7_0"), {"7_0": QueuedJob("PENDING", "Priority", "")}, State.QUEUED, "Priority"),
        (Activity(Phase.QUEUED, job="7_0"), {"7_0": QueuedJob("RUNNING", "None", "n1")}, State.STARTING, None),
        (Activity(Phase.QUEUED, job="7_0"), None, State.QUEUED, None),
        (Activity(Phase.QUEUED, job="7_0"), {}, State.INTERRUPTED, "its job left the queue before it began"),
        (replace(OWN, job="7_0"), {}, State.KILLED, None),
        (replace(OWN, job="7_0", stage="train x"), {"7_0": QueuedJob("RUNNING", "None", "n1")}, State.TRAINING, None),
        (
            Activity(Phase.INTERRUPTED, job="7_0", reason="stopped"),
            {"7_0": QueuedJob("PENDING", "BeginTime", "")},
            State.QUEUED,
            "BeginTime",
        ),
        (Activity(Phase.INTERRUPTED, job="7_0", reason="stopped"), {}, State.INTERRUPTED, "stopped"),
    ],
)
def test_jobs_are_looked_up_in_the_queue(
    run: RunDirectory,
    tmp_path: Path,
    record: Activity,
    queue: Mapping[str, QueuedJob] | None,
    state: State,
    reason: str | None,
) -> None:
    write_activity(run.activity, record)
    found = state_of(tmp_path, queue)
    assert (found.state, found.reason, found.job) == (state, reason, "7_0")


def test_trials_that_nobody_has_begun_are_shown_where_they_are_asked_for(tmp_path: Path) -> None:
    data = DataSpec(source=FileSource(root="/data"))
    base = TrialSpec(name="baseline", profile="demo", data=data)
    more = TrialSpec(name="additional", profile="demo", data=data, init=InitSpec.model_validate({"from": "baseline"}))
    found = find_run_states(tmp_path, wanted=[(base, 1), (more, 1)])
    assert [(state.trial, state.seed, state.state, state.waits_for) for state in found] == [
        ("additional", 1, State.NOT_STARTED, "baseline"),
        ("baseline", 1, State.NOT_STARTED, None),
    ]
    assert not list(tmp_path.iterdir())


# --- Queue


def test_the_queue_is_asked_for_arrays_and_answers_for_their_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "squeue"
    script.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nprintf "7_0|PENDING|Priority|\\n7_1|RUNNING|None|n1\\n"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert squeue.read_queue({"7_1", "7_2", "8"}) == {"7_1": QueuedJob("RUNNING", "None", "n1")}
    assert "--jobs=7,8" in (tmp_path / "asked").read_text()
    script.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n")
    assert squeue.read_queue({"7"}) == {}
    script.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    assert squeue.read_queue({"7"}) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert squeue.read_queue({"7"}) is None


# --- Command


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, [str(argument) for argument in arguments])


def test_status_shows_a_table_and_json(run: RunDirectory, tmp_path: Path) -> None:
    record = replace(OWN, stage="train attention_neck", step=30, total=90, steps_per_second=0.5)
    write_activity(run.activity, record)
    shown = vistrials("status", "--results", tmp_path)
    assert shown.exit_code == 0
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("attention_neck seed 0")]
    assert row.split()[3:] == ["training", "train", "attention_neck", "30", "of", "90", "0.5", "2", "min", OWN.host]
    assert shown.stdout.splitlines()[-1] == "1 runs: 1 training"
    (state,) = json.loads(vistrials("status", "--results", tmp_path, "--json").stdout)
    of_part = json.loads(vistrials("status", "starts", "--results", tmp_path, "--json").stdout)
    assert {each["trial"] for each in of_part} == set(load_table_rows()["starts"])
    assert (state["state"], state["seconds_left"], state["profile"]) == ("training", 120.0, "demo")


def test_watching_ends_when_nothing_goes_on(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_activity(run.activity, OWN)

    def end(seconds: float) -> None:
        write_activity(run.activity, replace(OWN, phase=Phase.FAILED, reason="no memory"))

    monkeypatch.setattr("vistrials.commands.states.time.sleep", end)
    shown = vistrials("status", "--watch", "--results", tmp_path)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[:2] == ["1 runs: 1 starting", "1 runs: 1 failed"] and "no memory" in shown.stdout


@pytest.mark.parametrize("options", [["--watch", "--json"], ["--seeds", "0"]])
def test_options_that_would_do_nothing_are_refused(options: list[str], tmp_path: Path) -> None:
    shown = vistrials("status", *options, "--results", tmp_path)
    assert shown.exit_code == 2 and shown.stderr.count("\n") == 1
