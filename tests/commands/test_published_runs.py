"""A run that was published without some of its files: each command works, or names the one that makes it work."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.engine.tiny_videos import write_tiny_data_set
from vistrials.cli import app

COMMANDS = ("visualize RUN", "diagnose RUN", "submit RUN", "evaluate TRUTH RUN")
MADE_AGAIN = "split valid is not predicted yet, and is now"


def vistrials(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and results with a run of baseline that starts from the shipped weights and trains for no step."""
    folder = tmp_path_factory.mktemp("whole")
    data = write_tiny_data_set(folder / "data", valid_annotated=True)
    for path in (data / "train.json", data / "valid.json"):  # categories that the shipped weights know
        path.write_text(path.read_text().replace('"five"', '"disc"').replace('"nine"', '"square"'))
    settings = ["--data", str(data), "--set", "train.max_iters=0", "--results", str(folder / "results")]
    made = vistrials("run", "baseline", *settings)
    assert made.exit_code == 0, made.stderr
    return folder


def published(whole: Path, folder: Path, *, without: str) -> Path:
    """A copy of the results, without these files; the working folder is where they lie."""
    shutil.copytree(whole / "results", folder / "results")
    run = folder / "results" / "demo" / "baseline" / "seed0"
    for name in without.split():
        (run / name).unlink()
    return run


def words_of(command: str, run: Path, whole: Path) -> list[str]:
    return command.replace("RUN", str(run)).replace("TRUTH", str(whole / "data" / "valid.json")).split()


@pytest.mark.parametrize("command", COMMANDS)
def test_with_weights_they_predict_what_is_missing(
    command: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = published(whole, tmp_path, without="predictions.json")
    figures = (run / "metrics.json").read_bytes()
    first = vistrials(*words_of(command, run, whole))
    assert first.exit_code == 0, first.stderr
    assert MADE_AGAIN in first.stderr and "infer baseline on valid" in first.stderr
    assert (run / "predictions.json").read_bytes() == (
        whole / "results" / "demo" / "baseline" / "seed0" / "predictions.json"
    ).read_bytes()
    assert (run / "metrics.json").read_bytes() == figures
    for file in tmp_path.glob("*.*"):
        file.unlink()
    second = vistrials(*words_of(command, run, whole))
    assert second.exit_code == 0 and MADE_AGAIN not in second.stderr


@pytest.mark.parametrize("command", [*COMMANDS, "infer SPEC", "run SPEC"])
def test_without_weights_one_command_is_named_that_works(
    command: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = published(whole, tmp_path, without="predictions.json weights.safetensors")
    words = words_of(command.replace("SPEC", str(run / "spec.yaml")), run, whole)
    first = vistrials(*words)
    assert first.exit_code == (0 if words[0] == "run" else 2)
    (cure,) = re.findall("`(.*?)`", first.stderr)
    assert cure == "vistrials run results/demo/baseline/seed0/spec.yaml --force"
    cured = vistrials(*shlex.split(cure)[1:])
    assert cured.exit_code == 0, cured.stderr
    assert vistrials(*words).exit_code == 0


@pytest.mark.parametrize("command", [*COMMANDS[:3], "infer baseline"])
def test_a_run_that_nobody_began_is_named_with_its_command(command: str, tmp_path: Path) -> None:
    words = command.replace("RUN", "baseline").split()
    refused = vistrials(*words, "--seed", "3", "--results", str(tmp_path))
    folder = tmp_path / "demo" / "baseline" / "seed3"
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"error: {folder}: no such run yet; `vistrials run baseline --seed 3 --results {tmp_path}` makes it\n"
    )


def test_a_mistake_is_told_before_anything_is_predicted(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = published(whole, tmp_path, without="predictions.json")
    Path("there.png").touch()
    for words, message in (
        (["diagnose", str(run), "--against", "nowhere/seed0"], "no run here"),
        (["diagnose", str(run), "--split", "minival"], "no split 'minival'"),
        (["visualize", str(run), "-o", "there.png"], "there already"),
        (["submit", str(run), "-o", "results.tar"], "to end in .zip"),
    ):
        refused = vistrials(*words)
        assert refused.exit_code == 2 and message in refused.stderr and MADE_AGAIN not in refused.stderr
    assert not (run / "predictions.json").exists()


def test_diagnose_measures_the_propagation_of_a_run_with_weights_alone(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = published(whole, tmp_path, without="")
    made = vistrials("diagnose", str(run), "--propagation", "--json", "found.json")
    assert made.exit_code == 0, made.stderr
    assert "propagated from their true boxes to the next frame" in made.stdout
    ahead = json.loads(Path("found.json").read_text())["one_frame_ahead"]
    assert ahead["all"]["num"] > 0 and 0 <= ahead["all"]["iou"] <= 1
    refused = vistrials("diagnose", str(run), "--propagation", "--against", str(run))
    assert refused.exit_code == 2 and "--propagation: expected one run" in refused.stderr
    (run / "weights.safetensors").unlink()
    without = vistrials("diagnose", str(run), "--propagation")
    assert without.exit_code == 2 and "no weights here to propagate with" in without.stderr
