"""`vistrials evaluate`: figures in full, and mistakes that end in one line and exit code 2."""

import pytest
from typer.testing import CliRunner

from tests.evaluation.building import ground_truth, prediction, strip, truth
from vistrials.cli import app
from vistrials.formats.json_file import load_json, save_json_atomic


@pytest.fixture
def evaluate(tmp_path):
    """Runs the command on a track of two frames, found in the first, in a prediction of one frame."""
    truths = ground_truth([truth([strip(0, 10), strip(0, 10)])], num_frames=2)
    save_json_atomic(tmp_path / "truth.json", truths)
    save_json_atomic(tmp_path / "predictions.json.gz", [prediction([strip(0, 10)], 0.5)])

    def run(*options):
        files = [str(tmp_path / "truth.json"), str(tmp_path / "predictions.json.gz")]
        return CliRunner().invoke(app, ["evaluate", *files, *map(str, options)])

    return run


def test_figures_go_to_a_file(evaluate, tmp_path):
    result = evaluate("--json", tmp_path / "figures.json")
    assert result.exit_code == 0
    assert "1 instead of 2" in result.stderr
    figures = load_json(tmp_path / "figures.json")
    assert figures["AP"] == pytest.approx(1)
    assert figures["AP_per_threshold"]["0.95"] == pytest.approx(1)
    assert figures["AR_per_video"] == {"1": 1}


def test_strict_refuses_tracks_that_do_not_fit(evaluate):
    result = evaluate("--strict")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "1 instead of 2" in result.stderr
    assert result.stdout == ""


def test_a_folder_that_is_missing_is_made(evaluate, tmp_path):
    path = tmp_path / "missing" / "figures.json"
    assert evaluate("--json", path).exit_code == 0
    assert load_json(path)["AP"] == pytest.approx(1)


def test_tracking_figures_stand_beside_ap(evaluate, tmp_path):
    result = evaluate("--tracking", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0 and "HOTA" in result.stdout
    tracking = load_json(tmp_path / "figures.json")["tracking"]
    # One of two frames is found, without a mistake: DetA and AssA are 1 / 2 at every threshold.
    assert tracking["categories"]["DetA"] == tracking["categories"]["AssA"] == pytest.approx(0.5)
    assert evaluate("--min-score", 0.6, "--tracking").exit_code == 0
    assert evaluate("--min-score", 0.6).exit_code == 2
