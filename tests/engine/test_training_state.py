"""The files from which a training goes on."""

import errno
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.weights.test_files import model, one_line
from vistrials.engine import training_state
from vistrials.engine.training_state import (
    DamagedCheckpointError,
    TrainingState,
    load_checkpoint,
    load_last_checkpoint,
    save_checkpoint,
)
from vistrials.errors import CheckpointError

DIGEST = "a" * 64


def state(iteration: Any = 5, **changes: Any) -> TrainingState:
    fields = {
        "iteration": iteration,
        "digest": DIGEST,
        "model": model().state_dict(),
        "optimizer": {"state": {}, "param_groups": []},
        "grad_scaler": {},
    }
    return TrainingState(**(fields | changes))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "checkpoint.pt", tmp_path / "checkpoint-previous.pt"


def test_a_training_state_comes_back(files: tuple[Path, Path]) -> None:
    saved = state()
    save_checkpoint(*files, saved)
    loaded = load_checkpoint(files[0], DIGEST)
    assert (loaded.iteration, loaded.digest) == (5, DIGEST)
    assert all(torch.equal(loaded.model[key], value) for key, value in saved.model.items())


def test_the_last_two_are_kept(files: tuple[Path, Path], tmp_path: Path) -> None:
    for iteration in (1, 2, 3):
        save_checkpoint(*files, state(iteration))
    assert [load_checkpoint(path, DIGEST).iteration for path in files] == [3, 2]
    assert set(tmp_path.iterdir()) == set(files)


def test_a_training_state_of_another_spec_is_refused_and_none_before_it_is_taken(files: tuple[Path, Path]) -> None:
    save_checkpoint(*files, state())
    save_checkpoint(*files, state(6, digest="b" * 64))
    with pytest.raises(CheckpointError, match="another spec") as caught:
        load_last_checkpoint(*files, DIGEST)
    assert "--force" in one_line(caught)


def test_plain_weights_are_no_training_state(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt", "")


def test_a_write_that_fails_leaves_the_old_file(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = files
    save_checkpoint(*files, state())

    def half_write(content: object, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half_write)
    with pytest.raises(CheckpointError, match="no space left"):
        save_checkpoint(*files, state(6))
    assert load_checkpoint(path, DIGEST).iteration == 5
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_told_in_a_line(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(*files, state())

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(training_state, "open", lambda path, mode: Full(path, mode), raising=False)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        save_checkpoint(*files, state(6))
    one_line(caught)
    assert list(files[0].parent.iterdir()) == [files[0]]


def test_a_flipped_bit_is_noticed_wherever_it_is(files: tuple[Path, Path]) -> None:
    path, _ = files
    save_checkpoint(*files, state())
    whole = path.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 150))
    for number, place in enumerate([*places, *range(len(whole) - 50, len(whole))]):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedCheckpointError) as caught:
            load_checkpoint(path, DIGEST)
        assert str(path) in one_line(caught) and "--force" in str(caught.value)


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "gone"])
def test_the_one_before_takes_the_place_of_a_damaged_one(files: tuple[Path, Path], damage: str) -> None:
    path, previous = files
    for iteration in (4, 8):
        save_checkpoint(*files, state(iteration))
    assert load_last_checkpoint(*files, DIGEST)[1] is None
    spoil(path, damage)
    found, problem = load_last_checkpoint(*files, DIGEST)
    assert found.iteration == 4
    assert problem is not None and "\n" not in problem
    assert str(path) in problem and previous.name in problem and "after iteration 4" in problem
    spoil(previous, damage)
    with pytest.raises(CheckpointError, match="--force"):
        load_last_checkpoint(*files, DIGEST)


def test_a_folder_in_its_place_is_named(files: tuple[Path, Path]) -> None:
    save_checkpoint(*files, state(4))
    files[0].rename(files[1])
    files[0].mkdir()
    with pytest.raises(CheckpointError, match="found a folder; remove it"):
        load_last_checkpoint(*files, DIGEST)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"iteration": -1}, {"iteration": "5"}, {"iteration": 5.0}, {"iteration": True}),
        *({"digest": 7}, {"model": {"weight": 1}}, {"model": []}, {"optimizer": {}}, {"grad_scaler": None}),
    ],
    ids=str,
)
def test_fields_that_no_training_has_are_refused(files: tuple[Path, Path], wrong: dict[str, Any]) -> None:
    save_checkpoint(*files, state(**wrong))
    with pytest.raises(CheckpointError, match=f"{next(iter(wrong))}: expected") as caught:
        load_checkpoint(files[0], DIGEST)
    one_line(caught)


def test_others_than_the_fields_are_refused(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = files
    torch.save({"iteration": 1}, path)
    content = path.read_bytes()
    path.write_bytes(content + training_state._SEAL + hashlib.sha256(content).digest())
    with pytest.raises(CheckpointError, match="not a training checkpoint of this version"):
        load_checkpoint(path, DIGEST)


def spoil(path: Path, damage: str) -> None:
    whole = path.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        case "cut":
            os.truncate(path, len(whole) - 1)
        case "emptied":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
