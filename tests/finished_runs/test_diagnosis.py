"""`vistrials diagnose`, of runs and of files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.evaluation.drawn import A, B, at, scene
from vistrials.cli import app
from vistrials.errors import RunError, SpecError
from vistrials.evaluation.errors.analysis import diagnose, diagnose_files
from vistrials.finished_runs.predictions import find_predictions
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import record_data
from vistrials.specs.loading import load_trial

ROOT = Path(__file__).resolve().parents[2]
EVERYWHERE = range(10)
TRUTHS = [(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 1)]
FOUND = [(at(A, EVERYWHERE), 0.9, 1), (at(B, [0, 1, 8, 9]), 0.8, 1)]


def run_diagnose(*arguments: Any) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["diagnose", *map(str, arguments)])


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Annotations, predictions with a gap, and perfect predictions."""
    data, predictions = scene(TRUTHS, FOUND)
    perfect = scene(TRUTHS, [(masks, 0.9, category) for masks, category in TRUTHS])[1]
    paths = tmp_path / "truth.json", tmp_path / "found.json", tmp_path / "perfect.json"
    for path, document in zip(paths, (data, predictions, perfect), strict=True):
        path.write_text(json.dumps(document))
    return paths


def make_run(folder: Path, trial: str = "baseline", predicted: bool = True) -> RunDirectory:
    data, predictions = scene(TRUTHS, FOUND)
    (folder / "data" / "JPEGImages").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "valid.json").write_text(json.dumps(data))
    overrides = [f"data.source={{kind: files, root: {folder / 'data'}}}", "data.splits=[valid]"]
    directory = RunDirectory.for_spec(load_trial(trial, "demo", overrides), folder / "results", 0)
    directory.prepare(load_trial(trial, "demo", overrides))
    if predicted:
        directory.predictions("valid").write_text(json.dumps(predictions))
    return directory


def test_files_of_any_program(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, found, _ = files
    result = run_diagnose(found, "--gt", truth, "--json", tmp_path / "out.json")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = squeezed(result.stdout)
    assert shown.startswith("2 predictions, 2 tracks in 1 videos Errors: ")
    assert "- gap 1 1.0 49.50 49.50" in shown and "add up neither to 100 - AP" in shown
    expected = diagnose(*scene(TRUTHS, FOUND)).to_dict()
    assert json.loads((tmp_path / "out.json").read_text()) == {"predictions": str(found), **expected}


def test_two_files_and_their_difference(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, found, perfect = files
    result = run_diagnose(perfect, "--against", found, "--gt", truth, "--json", tmp_path / "out.json")
    shown = squeezed(result.stdout)
    assert f"A: {perfect}: 2 predictions" in shown and f"B: {found}: 2 predictions" in shown
    assert "as it is 100.0 50.5 +49.5" in shown
    document = json.loads((tmp_path / "out.json").read_text())
    assert [document[letter]["score"]["AP"] for letter in "AB"] == pytest.approx([1, 51 / 101])


def test_runs_by_folder_or_trial(tmp_path: Path) -> None:
    directory = make_run(tmp_path)
    files = find_predictions(directory.path)
    assert files == find_predictions(directory.path, split="valid")
    assert diagnose_files(*files) == diagnose(*scene(TRUTHS, FOUND))
    make_run(tmp_path, "masktrack_rcnn")
    results = tmp_path / "results"
    result = run_diagnose(directory.path, "--against", "masktrack_rcnn", "--results", results)
    assert result.exit_code == 0
    assert "as it is 50.5 50.5 +0.0" in squeezed(result.stdout)


def test_annotations_say_which_split_of_a_run_is_meant(tmp_path: Path) -> None:
    spec = load_trial("baseline", "demo")
    directory = RunDirectory.for_spec(spec, tmp_path, 0)
    directory.prepare(spec)
    files = {name: tmp_path / f"{name}.json" for name in ("train", "occlusion", "unknown")}
    for name, file in files.items():
        file.write_text(f'"{name}"')
        if name != "unknown":
            record_data(directory.provenance, name, file)
    for split in spec.data.splits:
        directory.predictions(split).write_text("[]")
    predictions = directory.predictions("occlusion")
    assert find_predictions(directory.path, files["occlusion"]) == (files["occlusion"], predictions)
    assert find_predictions(directory.path, files["unknown"]) == (files["unknown"], directory.predictions("minival"))
    assert find_predictions(directory.path, files["unknown"], "occlusion") == (files["unknown"], predictions)
    with pytest.raises(SpecError, match=r"no split 'train'; it has minival, occlusion$"):
        find_predictions(directory.path, files["train"])
    done = CliRunner().invoke(app, ["evaluate", str(files["train"]), str(directory.path)])
    assert done.exit_code == 2 and "no split 'train'" in done.stderr


def test_runs_that_cannot_be_diagnosed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no predictions of split valid here; `vistrials run"):
        find_predictions(make_run(tmp_path, predicted=False).path)
    with pytest.raises(SpecError, match=r"no split 'minival'; it has valid$"):
        find_predictions(make_run(tmp_path).path, split="minival")
    with pytest.raises(RunError, match=r"no run here \(there is no spec.yaml\)"):
        find_predictions(tmp_path)


def test_mistakes_are_one_line(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, found, _ = files
    directory = make_run(tmp_path)
    other = tmp_path / "other"
    other_run = make_run(other)
    (other / "data" / "valid.json").write_text(json.dumps(scene(TRUTHS[:1], [])[0]))
    for arguments, message in (
        ((found,), "found.json: a predictions file needs its annotations: --gt FILE"),
        ((found, "--gt", truth, "--split", "valid"), "--split: expected only with a run"),
        ((truth, "--gt", truth), "predictions are an object; expected a list"),
        ((tmp_path / "none.json", "--gt", truth), "none.json: no such file"),
        (("basline",), "no trial 'basline'; did you mean 'baseline'?"),
        ((directory.path, "--against", other_run.path), "found 2 tracks in 1 videos and 1 tracks in 1 videos"),
    ):
        result = run_diagnose(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr and result.stderr.count("\n") == 1


def test_neither_files_nor_runs_need_torch(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, found, _ = files
    arguments = [[str(found), "--gt", str(truth)], [str(make_run(tmp_path).path)]]
    for argument in arguments:
        code = f"""
import sys
from vistrials.commands import diagnosis
diagnosis.app({argument!r}, standalone_mode=False)
print("torch" in sys.modules)
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("False\n")
