"""From a run or a predictions file to the archive for a server."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.engine.tiny_videos import HEIGHT, NUM_FRAMES, WIDTH
from tests.finished_runs.made_runs import make_run
from vistrials.cli import app
from vistrials.errors import DataError, RunError, SpecError
from vistrials.evaluation.submission import Submission, submit_files
from vistrials.finished_runs.predictions import find_predictions
from vistrials.formats.rle import encode

ROOT = Path(__file__).resolve().parents[2]
MASK = encode(np.eye(HEIGHT, WIDTH))


def predicted(video_id: int, category_id: int, score: float) -> dict[str, Any]:
    segmentations = [MASK] * NUM_FRAMES
    return {"video_id": video_id, "category_id": category_id, "score": score, "segmentations": segmentations}


ROWS = [predicted(3, 5, 0.4), predicted(7, 9, 0.9), predicted(3, 9, 0.8)]


def results_of(archive: Path) -> Any:
    with zipfile.ZipFile(archive) as file:
        return json.loads(file.read("results.json"))


def other_server(folder: Path, category_ids: tuple[int, ...]) -> Path:
    """The run's own annotation file with other categories."""
    document = json.loads((folder / "data" / "valid.json").read_text())
    document["categories"] = [{"id": number, "name": str(number)} for number in category_ids]
    path = folder / "server.json"
    path.write_text(json.dumps(document))
    return path


def submit(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["submit", *map(str, arguments)])


def submit_run(run: Path, out: Path, annotations: Path | None = None, split: str | None = None) -> Submission:
    files = find_predictions(run, annotations, split)
    return submit_files(files.predictions, files.annotations, out)


def test_a_run_is_checked_against_its_own_split(tmp_path: Path) -> None:
    directory = make_run(tmp_path, ROWS, annotated=False)
    submission = submit_run(directory.path, tmp_path / "results.zip")
    assert results_of(tmp_path / "results.zip") == ROWS
    assert (submission.num_videos, submission.num_predicted_videos) == (2, 2)


def test_or_against_the_server_s_file(tmp_path: Path) -> None:
    directory, out = make_run(tmp_path, ROWS, annotated=False), tmp_path / "results.zip"
    submit_run(directory.path, out, annotations=other_server(tmp_path, (5, 9, 11)))
    assert results_of(out) == ROWS
    out.unlink()
    with pytest.raises(DataError, match=r"predictions\[1\]: category_id 9 is not in the ground truth, which has 5, 6"):
        submit_run(directory.path, out, annotations=other_server(tmp_path, (5, 6)))
    assert not out.exists()


def test_runs_that_cannot_be_submitted(tmp_path: Path) -> None:
    run, out = make_run(tmp_path, None, annotated=False).path, tmp_path / "results.zip"
    with pytest.raises(RunError, match=r"no predictions of split valid here; `vistrials run"):
        submit_run(run, out)
    with pytest.raises(SpecError, match=r"no split 'test'; it has valid$"):
        submit_run(run, out, split="test")
    with pytest.raises(RunError, match=r"no run here \(there is no spec.yaml\)"):
        submit_run(tmp_path, out)
    assert not out.exists()


# --- The command


def test_the_command_on_a_run_by_folder_and_by_name(tmp_path: Path) -> None:
    directory = make_run(tmp_path, ROWS, annotated=False)
    first, second = tmp_path / "first.zip", tmp_path / "new" / "second.zip"
    result = submit(directory.path, "-o", first)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{first}: 3 tracks in 2 of 2 videos, {first.stat().st_size} bytes\n"
    result = submit("baseline", "--results", tmp_path / "results", "--seed", "4", "--split", "valid", "-o", second)
    assert result.exit_code == 0
    assert first.read_bytes() == second.read_bytes()


def test_the_command_on_a_file_says_what_it_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = HEIGHT * WIDTH
    rows = [*ROWS, ROWS[0] | {"segmentations": [{"size": [HEIGHT, WIDTH], "counts": [0, pixels]}, None, None]}]
    make_run(tmp_path, None, annotated=False)
    Path("pred.json").write_text(json.dumps(rows))
    result = submit("pred.json", "--gt", "data/valid.json")
    assert result.exit_code == 0
    assert result.stdout.startswith("results.zip: 4 tracks in 2 of 2 videos, ")
    assert result.stderr == ("warning: repaired: run lengths compressed: 1 (first: predictions[3] segmentations[0])\n")
    assert results_of(Path("results.zip"))[:3] == ROWS
    again = submit("pred.json", "--server-annotations", "data/valid.json", "-o", "again.zip")
    assert again.exit_code == 0
    assert Path("results.zip").read_bytes() == Path("again.zip").read_bytes()


def test_the_command_replaces_an_archive_with_force_only(tmp_path: Path) -> None:
    run, out = make_run(tmp_path, ROWS, annotated=False).path, tmp_path / "results.zip"
    out.write_bytes(b"old")
    result = submit(run, "-o", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {out}: there already; replace with --force, or name another file\n"
    assert out.read_bytes() == b"old"
    assert submit(run, "-o", out, "--force").exit_code == 0
    assert results_of(out) == ROWS


def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, [predicted(4, 5, 0.9)], annotated=False).path
    Path("nan.json").write_text(json.dumps([ROWS[0] | {"score": float("nan")}]))
    Path("object.json").write_text('{"results": []}')
    Path("numbers.json").write_text("[3]")
    Path("cut.json").write_text(json.dumps(ROWS)[:-5])
    server = ("--gt", "data/valid.json")
    for arguments, message in (
        ((run,), "predictions[0]: video_id 4 is not in the ground truth, which has 3, 7"),
        (("nan.json", *server), "predictions[0]: score is nan; expected a finite number"),
        (("cut.json", *server), "cut.json: JSON cut short"),
        (("none.json", *server), "none.json: no such file"),
        (("object.json", *server), "predictions are an object; expected a list"),
        (("numbers.json", *server), "predictions[0]: is 3; expected an object"),
        (("nan.json",), "nan.json: a predictions file needs its annotations: --gt FILE"),
        (("nan.json", *server, "--split", "valid"), "nan.json: --split: expected only with a run"),
        (("basline",), "no trial 'basline'; did you mean 'baseline'?"),
    ):
        result = submit(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr and result.stderr.count("\n") == 1
    assert not Path("results.zip").exists()


def test_no_torch_is_needed(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS, annotated=False).path
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from vistrials.cli import app\n"
        f"app(['submit', {str(run)!r}, '-o', {str(tmp_path / 'results.zip')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert results_of(tmp_path / "results.zip") == ROWS
