"""Predictions scored against what is visible of objects, and against whole ones."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.engine.tiny_videos import write_tiny_data_set
from tests.tiny_runs import tiny_spec
from vistrials import pipeline
from vistrials.cli import app
from vistrials.errors import DataError, SpecError
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec


def perfect_predictions(annotations: Path) -> list[dict]:
    tracks = json.loads(annotations.read_text())["annotations"]
    masks = "segmentations"
    return [{key: t[key] for key in ("video_id", "category_id", masks)} | {"score": 1.0} for t in tracks]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Whole objects are wider than what is visible: 48 pixels to 20."""
    root = write_tiny_data_set(tmp_path / "data")
    document = json.loads((root / "valid.json").read_text())
    for track in document["annotations"]:
        x = track["category_id"]
        track["segmentations"] = [[[x, 4, x + 48, 4, x + 48, 28, x, 28]]] * 3
        track["bboxes"], track["areas"] = [[x, 4, 48, 24]] * 3, [48 * 24] * 3
    (root / "valid.amodal.json").write_text(json.dumps(document))
    return root


def with_truths(spec: TrialSpec, *truths: str) -> TrialSpec:
    return TrialSpec.model_validate(
        spec.model_dump(by_alias=True) | {"data": spec.data.model_dump() | {"truths": truths}}
    )


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_evaluate_against_whole_objects(data: Path, tmp_path: Path) -> None:
    figures = {}
    for of in ("valid", "valid.amodal"):
        predictions = tmp_path / f"{of}.predictions.json"
        predictions.write_text(json.dumps(perfect_predictions(data / f"{of}.json")))
        for truth in ("visible", "amodal"):
            out = tmp_path / f"{of}-{truth}.json"
            invoke("evaluate", data / "valid.json", predictions, "--truth", truth, "--json", out)
            figures[of, truth] = json.loads(out.read_text())["AP"]
    assert figures["valid", "visible"] == figures["valid.amodal", "amodal"] == 1
    assert figures["valid", "amodal"] == figures["valid.amodal", "visible"] == 0  # IoU of 20 to 48


def test_a_run_is_scored_against_each_truth_also_later(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data)
    run = pipeline.run(spec, tmp_path, device="cpu")
    assert not run.metrics("valid.amodal").exists()
    before = run.metrics("valid").read_bytes()
    both = with_truths(spec, "visible", "amodal")
    weights = run.weights.stat().st_mtime_ns
    pipeline.run(both, tmp_path, device="cpu")
    assert run.metrics("valid").read_bytes() == before and run.weights.stat().st_mtime_ns == weights
    assert run.read_metrics("valid.amodal").keys() == run.read_metrics("valid").keys()
    assert run.matches("valid.amodal").exists()
    table = json.loads(
        invoke(
            "compare", "-p", "tiny", "--results", tmp_path, "--format", "json", "--truth", "amodal", "--bootstrap", 0
        )
    )
    assert "valid.amodal" in json.dumps(table) or "amodal" in json.dumps(table)
    RunDirectory.for_spec(both, tmp_path, 0).check(spec)


def test_amodal_annotations_that_are_not_there(data: Path, tmp_path: Path) -> None:
    (data / "valid.amodal.json").unlink()
    spec = with_truths(tiny_spec(data), "visible", "amodal")
    with pytest.raises(DataError, match=r"valid\.amodal\.json: no amodal annotations beside valid\.json"):
        pipeline.run(spec, tmp_path / "results", device="cpu")
    assert not RunDirectory.for_spec(spec, tmp_path / "results", 0).losses.exists()  # told before the training
    result = CliRunner().invoke(app, ["compare", "--results", str(tmp_path), "--truth", "amodal"])
    assert result.exit_code == 2 and "Traceback" not in result.output
    with pytest.raises((SpecError, ValueError), match=r"expected truths \[visible\] or \[visible, amodal\]"):
        with_truths(tiny_spec(data), "amodal")
