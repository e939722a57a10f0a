from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests import tiny_runs
from tests.engine.tiny_videos import write_tiny_data_set
from vistrials import pipeline
from vistrials.cli import app
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.errors import RunError, SpecError
from vistrials.reports.run_states import State, find_run_states
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import parse_spec, trials_of_parts
from vistrials.specs.trial import TrialSpec
from vistrials.study import Failure, in_dependency_order, run_all


def trial(name: str, start: str | None = None, weights: str | None = None) -> TrialSpec:
    data = {"source": {"kind": "files", "root": "/data"}}
    init = {"from": start, "weights": weights}
    return TrialSpec.model_validate({"name": name, "profile": "demo", "data": data, "init": init})


class Pipeline:
    """Stands for `pipeline.run`: notes what is asked for, and breaks where a test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.options: list[dict[str, Any]] = []
        self.errors: dict[tuple[str, int], BaseException] = {}

    def run(self, spec: TrialSpec, results_dir: Path | str, seed: int, **options: Any) -> None:
        self.calls.append((spec.name, seed))
        self.options.append({"results_dir": results_dir, **options})
        if (spec.name, seed) in self.errors:
            raise self.errors[spec.name, seed]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.chdir(tmp_path)  # where a study notes what is queued
    stand_in = Pipeline()
    monkeypatch.setattr(pipeline, "run", stand_in.run)
    return stand_in


def listening() -> tuple[list[str], Callable[[str], AbstractContextManager[Reporter]]]:
    heard: list[str] = []

    class Listening(SilentReporter):
        def message(self, text: str) -> None:
            heard.append(text)

        def warning(self, text: str) -> None:
            heard.append(f"warning: {text}")

    return heard, lambda name: nullcontext(Listening())


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# --- Order


def test_a_trial_comes_after_the_one_that_it_starts_from() -> None:
    specs = [trial("c", "b"), trial("d"), trial("b", "a"), trial("a"), trial("e", "elsewhere")]
    assert [spec.name for spec in in_dependency_order(specs)] == ["a", "b", "c", "d", "e"]


def test_weights_win_over_a_start_so_that_nothing_is_waited_for() -> None:
    specs = [trial("b", "a", weights="shipped:x"), trial("a")]
    assert [spec.name for spec in in_dependency_order(specs)] == ["b", "a"]


def test_one_seed_is_finished_before_the_next(fake: Pipeline) -> None:
    heard, open_reporter = listening()
    specs = [trial("b", "a"), trial("a")]
    failures = run_all(specs, "out", [0, 2], device="cpu", overrides=["x=1"], open_reporter=open_reporter)
    assert failures == []
    assert fake.calls == [("a", 0), ("b", 0), ("a", 2), ("b", 2)]
    assert heard == ["1/4 a seed 0", "2/4 b seed 0", "3/4 a seed 2", "4/4 b seed 2"]
    first = fake.options[0]
    assert (first["results_dir"], first["device"], first["overrides"]) == ("out", "cpu", ["x=1"])
    assert first["starts"] == {"a": specs[1], "b": specs[0]}


# --- Failures


def test_what_fails_stops_only_what_starts_from_it(fake: Pipeline) -> None:
    fake.errors["a", 0] = RunError("a holds another spec")
    fake.errors["d", 1] = RuntimeError("out of memory\nstack of many lines")
    heard, open_reporter = listening()
    specs = [trial("a"), trial("b", "a"), trial("c", "b"), trial("d")]
    assert run_all(specs, "out", [0, 1], device="cpu", open_reporter=open_reporter) == [
        Failure("a", 0, "a holds another spec"),
        Failure("b", 0, "skipped, because it starts from a, which is not finished"),
        Failure("c", 0, "skipped, because it starts from b, which is not finished"),
        Failure("d", 1, "RuntimeError: out of memory"),
    ]
    assert fake.calls == [("a", 0), ("d", 0), ("a", 1), ("b", 1), ("c", 1), ("d", 1)]
    assert heard[:3] == ["1/8 a seed 0", "warning: a seed 0: a holds another spec", "2/8 b seed 0"]


@pytest.mark.parametrize("stop", [Interrupted("goes on from iteration 3"), KeyboardInterrupt()])
def test_an_interrupt_stops_everything(fake: Pipeline, stop: BaseException) -> None:
    fake.errors["a", 0] = stop
    with pytest.raises(type(stop)):
        run_all([trial("a"), trial("b")], device="cpu")
    assert fake.calls == [("a", 0)]


def test_an_unknown_device_is_no_matter_of_one_trial(fake: Pipeline) -> None:
    with pytest.raises(SpecError, match="device 'abacus'"):
        run_all([trial("a")], device="abacus")
    assert fake.calls == []


def test_runs_to_come_are_queued_for_those_who_look_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[tuple[str, State, str | None]]] = {}

    def look(spec: TrialSpec, results_dir: Path | str, seed: int, **options: Any) -> None:
        seen[spec.name] = [(state.trial, state.state, state.waits_for) for state in find_run_states(results_dir)]
        if spec.name == "c":
            raise Interrupted("stopped")

    monkeypatch.setattr(pipeline, "run", look)
    with pytest.raises(Interrupted):
        run_all([trial("a"), trial("b", "a"), trial("c"), trial("d")], tmp_path / "out", device="cpu")
    queued = [
        ("a", State.QUEUED, None),
        ("b", State.WAITING, "a"),
        ("c", State.QUEUED, None),
        ("d", State.QUEUED, None),
    ]
    assert seen["a"] == queued
    assert find_run_states(tmp_path / "out") == []


# --- Command


def test_run_all_takes_every_shipped_trial_but_the_controls(fake: Pipeline, tmp_path: Path) -> None:
    result = vistrials("run-all", "--seeds", "0,1,0", "--results", tmp_path, "--device", "cpu")
    shipped = sorted(trials_of_parts([]))
    total = 2 * len(shipped)
    assert result.exit_code == 0 and f"{total} of {total} runs are done" in result.stdout
    assert f"{total}/{total} " in result.stderr
    names = [name for name, seed in fake.calls if seed == 1]
    assert sorted(names) == shipped
    assert names.index("baseline") < names.index("additional_training")


def test_run_all_reports_failures_at_the_end(fake: Pipeline) -> None:
    fake.errors["baseline", 0] = ZeroDivisionError("division by zero")
    result = vistrials("run-all", "additional_training", "baseline", "attention_neck", "--device", "cpu")
    assert result.exit_code == 1 and "1 of 3 runs are done" in result.stdout
    assert result.stderr.splitlines()[-2:] == [
        "error: baseline seed 0: ZeroDivisionError: division by zero",
        "error: additional_training seed 0: skipped, because it starts from baseline, which is not finished",
    ]


def test_ctrl_c_ends_run_all_with_130(fake: Pipeline) -> None:
    fake.errors["baseline", 0] = KeyboardInterrupt()
    assert vistrials("run-all", "baseline", "attention_neck", "--device", "cpu").exit_code == 130
    assert fake.calls == [("baseline", 0)]


@pytest.mark.parametrize("arguments", [["nope"], ["--seeds", "0,x"], ["--seeds=-1"], ["--set", "train.nope=1"]])
def test_a_mistake_is_told_before_anything_runs(fake: Pipeline, arguments: list[str]) -> None:
    result = vistrials("run-all", *arguments)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert fake.calls == []


# --- With the real pipeline


TINY = {
    "data": {"image_size_px": [64, 48]},
    "init": {"backbone": "random"},
    "model": tiny_runs.TINY["model"] | {"propagation": None},
    "train": {"max_iters": 9, "batch_size": 2, "num_workers": 0},
}


@pytest.fixture
def tiny_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str | Path]]:
    """Writes trials, by name, into the folder to work in; gives the options that run them in a moment."""

    def write(**trials: str) -> list[str | Path]:
        (tmp_path / "trials" / "profiles").mkdir(parents=True)
        (tmp_path / "trials" / "profiles" / "tiny.yaml").write_text(yaml.safe_dump(TINY))
        for name, text in trials.items():
            (tmp_path / "trials" / f"{name}.yaml").write_text(text)
        data = write_tiny_data_set(tmp_path / "data")
        monkeypatch.chdir(tmp_path)
        return ["--profile", "tiny", "--data", data, "--device", "cpu", "--set", "train.max_iters=1"]

    return write


FIRST, SECOND = "description: first\n", "extends: first\ninit: {from: first}\n"


def test_settings_by_hand_hold_for_a_trial_and_for_the_one_that_it_starts_from(
    tiny_study: Callable[..., list[str | Path]],
) -> None:
    options = tiny_study(first=FIRST, second=SECOND)
    result = vistrials("run-all", "second", "first", *options)
    assert result.exit_code == 0, result.output
    for name in ("first", "second"):
        run = RunDirectory(Path("results"), "tiny", name, 0, "valid")
        assert parse_spec(run.spec.read_text()).train.max_iters == 1
        assert run.is_evaluated("valid")
        assert len(run.losses.read_text().splitlines()) == 1


def test_side_by_side_each_still_comes_after_its_start(tiny_study: Callable[..., list[str | Path]]) -> None:
    options = tiny_study(
        first=FIRST,
        second=SECOND,
        broken="extends: first\ninit: {weights: nowhere.safetensors}\n",
        third="extends: second\ninit: {from: broken, weights: null}\n",
    )
    result = vistrials("run-all", "third", "second", "first", "broken", *options, "--jobs", "2")
    assert result.exit_code == 1 and "2 of 4 runs are done" in result.stdout
    for name in ("first", "second"):
        assert RunDirectory(Path("results"), "tiny", name, 0, "valid").is_evaluated("valid")
    assert "second seed 0: starts from trial first" in result.stderr
    broken, third = result.stderr.splitlines()[-2:]
    assert broken.startswith("error: broken seed 0: nowhere.safetensors: no such file")
    assert third == "error: third seed 0: skipped, because it starts from broken, which is not finished"
