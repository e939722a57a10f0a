"""Hours from measured runs, and seeds and videos from measured variances."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, stdtrit
from typer.testing import CliRunner

from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.errors import RunError, SpecError
from vistrials.evaluation.intervals import Estimate
from vistrials.reports import planning
from vistrials.reports.planning import plan_study
from vistrials.runs.provenance import update_provenance
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.loading import load_table_rows
from vistrials.specs.trial import TrialSpec


def trial(name: str, start: str | None = None, **train: Any) -> TrialSpec:
    return TrialSpec.model_validate(
        {
            "name": name,
            "profile": "demo",
            "data": DataSpec(source=FileSource(root="/data"), splits=("minival",)),
            "init": {"from": start},
            "train": train,
        }
    )


def measured(results: Path, name: str, seed: int, seconds: float, device: str = "cpu (Some)", threads: int = 2) -> None:
    write_run(results, name, seed, 0.5)
    run = write_run(results, name, seed, 0.5, split="occlusion")
    environment = {"vistrials": "0.1.0", "threads": threads, "cpu_count": 8}
    stages = {
        "train": {"device": device, "finished": "now", "seconds": seconds, "iterations": 100},
        "infer/minival": {"device": device, "finished": "now", "seconds": 30.0},
        "evaluate/minival": {"device": device, "finished": "now", "seconds": 6.0},
    }
    update_provenance(run.provenance, environment=environment, stages=stages)


def test_hours_are_those_of_measured_runs_at_the_length_planned(tmp_path: Path) -> None:
    measured(tmp_path, "baseline", 0, 50.0)  # 2 steps a second
    measured(tmp_path, "baseline", 1, 25.0)  # 4
    plan = plan_study([trial("baseline", max_iters=300), trial("more", "baseline", max_iters=600)], [0, 1, 2], tmp_path)
    own, other = plan.trials
    assert (own.steps_per_second, own.seconds, own.measured_on) == (3.0, 300 / 3 + 36, "baseline")
    assert (other.seconds, other.measured_on, other.starts_from) == (600 / 3 + 36, "baseline", "baseline")
    assert plan.num_runs == 6
    assert plan.hours == {"core-hours": pytest.approx(3 * 2 * (136 + 236) / 3600)}


def test_a_gpu_counts_once_whatever_the_threads_beside_it(tmp_path: Path) -> None:
    measured(tmp_path, "baseline", 0, 50.0, device="NVIDIA H100 (CUDA 13)")
    assert plan_study([trial("baseline", max_iters=200)], [0], tmp_path).hours == {
        "GPU-hours": pytest.approx((200 / 2 + 36) / 3600)
    }


def test_a_given_speed_needs_no_runs_and_epochs_need_their_steps(tmp_path: Path) -> None:
    plan = plan_study([trial("baseline", max_iters=7200)], [0, 1], tmp_path, speed=2.0)
    assert plan.hours == {"hours": 2.0}
    assert plan_study([trial("baseline")], [0], tmp_path, speed=2.0, iterations=3600).trials[0].seconds == 1800
    with pytest.raises(SpecError, match="trains for 12 epochs"):
        plan_study([trial("baseline")], [0], tmp_path, speed=2.0)
    with pytest.raises(SpecError, match="give --speed"):
        plan_study([trial("baseline", max_iters=3)], [0], tmp_path)
    with pytest.raises(SpecError, match="--speed 0: expected more than 0"):
        plan_study([trial("baseline", max_iters=3)], [0], tmp_path, speed=0.0)
    measured(tmp_path, "baseline", 0, 50.0)
    assert plan_study([trial("baseline")], [0], tmp_path, speed=2.0).trials[0].iterations == 100


def test_what_a_difference_takes_follows_from_the_variances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = Estimate(9.0, np.zeros(1), 3, 100, 0.0, 0.0, 0.5**2)
    wild = replace(still, seed_variance=2.0**2)
    monkeypatch.setattr(planning, "estimate_differences", lambda *arguments: {"still": still, "wild": wild})
    specs = [trial(name, max_iters=10) for name in ("baseline", "still", "new")]
    plan = plan_study(specs, [0], tmp_path, speed=1.0, delta=2.0)
    of_still, of_new = plan.needed
    assert (of_still.trial, of_still.measured_on, of_new.trial, of_new.measured_on) == ("still", "still", "new", "wild")
    # Two trials are judged: each side has an error of 0.05 / 4. Videos do not matter: least S with t sd / sqrt(S) <= D.
    for needed, sd in ((of_still, 0.5), (of_new, 2.0)):
        for found, size in ((needed.at_even_odds, 2.0), (needed.with_power, 2.0 * 2.2414 / (2.2414 + 0.8416))):
            enough = [s for s in range(2, 21) if stdtrit(s - 1, 1 - 0.05 / 4) * sd / s**0.5 <= size]
            assert (found.seeds, found.videos) == (enough[0] if enough else None, None)
    assert of_new.with_power.seeds is not None and of_still.with_power.seeds is not None
    assert of_new.with_power.seeds > of_still.with_power.seeds
    assert ndtr(ndtri(1 - 0.05 / 4) - 2.2414) == pytest.approx(0.5, abs=1e-4)


def test_without_two_seeds_nothing_is_said_of_seeds(tmp_path: Path) -> None:
    measured(tmp_path, "baseline", 0, 50.0)
    with pytest.raises(RunError, match="no trial has figures of two seeds"):
        plan_study([trial("baseline", max_iters=3)], [0], tmp_path, delta=1.0)


def test_the_command_writes_json_and_refuses_what_would_do_nothing(tmp_path: Path) -> None:
    def vistrials(*arguments: str) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(
            app, ["plan", "baseline", "--results", str(tmp_path), *arguments]
        )

    with_part = json.loads(vistrials("starts", "--speed", "2", "--json").stdout)["trials"]
    assert [each["trial"] for each in with_part] == ["baseline", *load_table_rows()["starts"]]
    shown = vistrials("--speed", "2", "--seeds", "0,1", "--json")
    content = json.loads(shown.stdout)
    assert content["num_runs"] == 2 and content["trials"][0]["iterations"] == 500
    assert "2 runs of 2 seeds: 0.1 hours" in vistrials("--speed", "2", "--seeds", "0,1").stdout
    for options in (["--split", "minival"], ["--speed", "-1"], []):
        shown = vistrials(*options)
        assert shown.exit_code == 2 and shown.stderr.count("\n") == 1
