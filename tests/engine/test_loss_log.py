import json
from pathlib import Path

import pytest

from vistrials.engine.loss_log import LossLog, check_log, keep_iterations
from vistrials.errors import RunError


def test_records_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    path.write_text("".join(json.dumps({"iter": i, "loss_total": i / 2}) + "\n" for i in range(1, 8)))
    keep_iterations(path, 4)
    assert [json.loads(line)["iter"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    path.write_text('{"iter": 1}\n{"iter": 2}\n{"it')
    keep_iterations(path, 5)
    assert path.read_text() == '{"iter": 1}\n{"iter": 2}\n'


def test_every_step_of_the_checkpoint_has_its_record(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    check_log(path, 0)
    path.write_text('{"iter": 1}\n{"iter": 2}\n{"iter": 3}\n{"it')
    check_log(path, 3)
    with pytest.raises(RunError, match="found none of iteration 4; put the file back, .* --force"):
        check_log(path, 4)
    path.write_text('{"iter": 1}\n\xf0\xf1{"ite": 2}\n{"iter": 3}\n', encoding="latin-1")
    with pytest.raises(RunError, match="each of the 3 iterations .* none of iteration 2"):
        check_log(path, 3)
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match="cannot be read"):
        check_log(path, 1)


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    keep_iterations(tmp_path / "losses.jsonl", 0)
    assert (tmp_path / "losses.jsonl").read_text() == ""


def test_what_is_not_finite_stays_json(tmp_path: Path) -> None:
    with LossLog(tmp_path / "losses.jsonl", tmp_path / "tensorboard", 0) as log:
        log.write({"iter": 1, "loss_total": 0.5, "grad_norm": float("inf")})
    (line,) = (tmp_path / "losses.jsonl").read_text().splitlines()
    assert json.loads(line) == {"iter": 1, "loss_total": 0.5, "grad_norm": None}
