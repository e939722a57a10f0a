"""Runs of several machines in one folder: copied whole, duplicates named, contradictions refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.errors import RunError
from vistrials.finished_runs import collecting
from vistrials.finished_runs.collecting import collect
from vistrials.runs.activity import Activity, Phase, write_activity
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import update_provenance
from vistrials.runs.seed_plan import SeedPlan, keep_seed_plan, read_seed_plan


def finished(results: Path, trial: str, seed: int = 0, ap: float = 0.5) -> RunDirectory:
    write_run(results, trial, seed, ap)
    run = write_run(results, trial, seed, ap, split="occlusion")
    (run.path / ".lock").touch()
    (run.tensorboard).mkdir()
    (run.tensorboard / "events").write_text(str(results))
    return run


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "one", tmp_path / "two"


def test_runs_of_all_machines_are_copied_with_all_that_they_hold(machines: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = machines
    finished(one, "baseline")
    finished(two, "baseline", 1)
    finished(two, "attention_neck")
    keep_seed_plan(one, "demo", SeedPlan("minival", 1.0, 10, ("attention_neck",)))
    found = collect([one, two], tmp_path / "all")
    runs = {"demo/baseline/seed0", "demo/baseline/seed1", "demo/attention_neck/seed0"}
    assert set(found.copied) == {*runs, "demo/until_decided.json"} and not found.duplicates and not found.left_out
    everything = {name for name in names(one) | names(two) if not name.endswith("/.lock")}
    assert names(tmp_path / "all") == everything
    assert read_seed_plan(tmp_path / "all", "demo", "minival") is not None


def test_the_same_run_twice_is_named_and_copied_once(machines: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = machines
    for seconds, machine in enumerate(machines):
        run = finished(machine, "baseline")
        update_provenance(run.provenance, stages={"train": {"seconds": seconds}})
        run.log.write_text(str(machine))
    found = collect([one, two], tmp_path / "all")
    place = "demo/baseline/seed0"
    assert found.copied == (place,) and found.duplicates == (f"{two / place} is the same as {one / place}",)
    again = collect([one, two], tmp_path / "all")
    assert again.copied == () and len(again.duplicates) == 2


@pytest.mark.parametrize("change", ["metrics.json", "weights.safetensors", "plan"])
def test_two_different_runs_of_one_name_are_refused_and_nothing_is_copied(
    machines: tuple[Path, Path], tmp_path: Path, change: str
) -> None:
    one, two = machines
    finished(one, "attention_neck")
    for place, machine in enumerate(machines):
        run = finished(machine, "baseline")
        if change == "plan":
            keep_seed_plan(machine, "demo", SeedPlan("minival", 1.0 + place, 10, ("attention_neck",)))
        elif place:
            (run.path / change).write_text('{"AP": 0.6}')
    with pytest.raises(RunError, match="two different runs of one name"):
        collect([one, two], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_what_is_there_already_counts_and_stays(machines: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = machines
    finished(one, "baseline", ap=0.5)
    finished(two, "baseline", ap=0.6)
    collect([one], tmp_path / "all")
    with pytest.raises(RunError, match=r"another metrics-occlusion\.json"):
        collect([two], tmp_path / "all")
    assert RunDirectory.find(tmp_path / "all" / "demo" / "baseline" / "seed0")[0].read_metrics()["AP"] == 0.5


def test_what_is_not_finished_stays_behind_with_its_reason(machines: tuple[Path, Path], tmp_path: Path) -> None:
    one, _ = machines
    finished(one, "baseline")
    run = write_run(one, "attention_neck")
    write_activity(run.activity, Activity(Phase.FAILED, reason="no memory"))
    found = collect([one], tmp_path / "all")
    assert found.left_out == (f"{run.path} is failed: no memory",)
    assert not (tmp_path / "all" / "demo" / "attention_neck").exists()


def test_stopped_at_any_copy_there_is_no_half_run_and_it_goes_on(
    machines: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = machines
    for seed in range(3):
        finished(one, "baseline", seed)
    copies = 0
    really_copy = shutil.copy2

    def copy(source: Any, target: Any, **options: Any) -> Any:
        nonlocal copies
        copies += 1
        if copies == 8:  # within the second run
            os.truncate(really_copy(source, target, **options), 1)
            raise KeyboardInterrupt
        return really_copy(source, target, **options)

    monkeypatch.setattr(collecting.shutil, "copytree", lambda s, t, ignore: _copy_tree(s, t, copy))
    with pytest.raises(KeyboardInterrupt):
        collect([one], tmp_path / "all")
    there = sorted((tmp_path / "all").glob("*/*/seed*"))
    assert [run.name for run in there] == ["seed0"]
    (tmp_path / "all" / ".collecting" / "demo").mkdir(parents=True)  # as a kill leaves it
    found = collect([one], tmp_path / "all")
    assert len(found.copied) == 2 and len(found.duplicates) == 1
    assert not (tmp_path / "all" / ".collecting").exists()


def _copy_tree(source: Path, target: Path, copy: Any) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith(".")):
        (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        copy(file, target / file.relative_to(source))


def test_a_run_that_changes_meanwhile_is_not_taken(
    machines: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = machines
    run = finished(one, "baseline")

    def change(done: int, total: int) -> None:
        (run.path / "metrics.json").write_text('{"AP": 0.9}')

    with pytest.raises(RunError, match="has changed while it was copied"):
        collect([one], tmp_path / "all", change)
    assert names(tmp_path / "all") == set()


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_collect_says_what_it_did_and_mistakes_are_one_line(machines: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = machines
    finished(one, "baseline")
    finished(two, "baseline")
    shown = vistrials("collect", one, two, "-o", tmp_path / "all")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == f"{tmp_path / 'all'}: 1 copied, 1 duplicates, 0 left out"
    for arguments in ([tmp_path / "nothing"], [tmp_path / "all"], [one / "demo"]):
        shown = vistrials("collect", *arguments, "-o", tmp_path / "all")
        assert shown.exit_code == 2 and shown.stderr.count("\n") == 1
