"""The file from which a training goes on."""

from pathlib import Path

import pytest
import torch

from tests.weights.test_files import model, one_line
from vistrials.engine.training_state import TrainingState, load_checkpoint, save_checkpoint
from vistrials.errors import CheckpointError


def state(digest: str = "a" * 64) -> TrainingState:
    return TrainingState(5, digest, model().state_dict(), {"state": {}, "param_groups": []}, {})


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    path, saved = tmp_path / "checkpoint.pt", state()
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path, saved.digest)
    assert (loaded.iteration, loaded.digest) == (5, saved.digest)
    assert all(torch.equal(loaded.model[key], value) for key, value in saved.model.items())


def test_a_training_state_of_another_spec_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint.pt", state())
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "checkpoint.pt", "b" * 64)
    assert "--force" in one_line(caught)


def test_plain_weights_are_no_training_state(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt", "")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, old = tmp_path / "checkpoint.pt", state()
    save_checkpoint(path, old)

    def half_write(content: object, file: Path) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half_write)
    with pytest.raises(CheckpointError, match="no space left"):
        save_checkpoint(path, old)
    assert load_checkpoint(path, old.digest).iteration == 5
    assert list(tmp_path.iterdir()) == [path]
