"""checkpoint.pt, from which a training continues, and the one before it, should it be damaged."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.weights.files import load_torch_file, replacing_checkpoint

_SEAL = b"vistrials sha256"
"""Begins the last bytes of a checkpoint, the digest of all before them; readers of torch files pass over them."""

_SEAL_SIZE = len(_SEAL) + hashlib.sha256().digest_size
_ANEW = "train from the start with --force, or into another folder with --results"


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that is not, or no longer, what was written; an earlier one may do."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What a training continues from. `iteration` counts finished steps; random numbers follow from it."""

    iteration: int
    digest: str
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    grad_scaler: dict[str, Any]


def save_checkpoint(path: Path, previous: Path, state: TrainingState) -> None:
    """Save a training state so that a crash at any moment leaves a whole one in one of the two files.

    Args:
        path: the file.
        previous: where the one that is there goes.
        state: what to save.

    Raises:
        CheckpointError: it cannot be written.
    """
    content = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    with replacing_checkpoint(path) as temporary:
        with open(temporary, "wb") as file:
            hashed = _Hashed(file)
            try:
                torch.save(content, cast(IO[bytes], hashed))
            except RuntimeError:
                # Of torch, which closes its archive all the same where the disk is full.
                raise hashed.error or OSError("torch could not write it") from None
            file.write(_SEAL + hashed.digest.digest())
            file.flush()
            # On disk before it takes the place of another: at no time are both files at risk.
            os.fsync(file.fileno())
        if path.exists():
            os.replace(path, previous)


class _Hashed:
    """A file that keeps the digest of what is written to it: reading it again would cost more than hashing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def load_checkpoint(path: Path, digest: str) -> TrainingState:
    """Load a training state.

    Args:
        path: a file of `save_checkpoint`.
        digest: of the spec that wants to continue from it.

    Raises:
        DamagedCheckpointError: not such a file, or one whose bytes have changed.
        CheckpointError: of another spec.
    """
    _check_seal(path)
    content = load_torch_file(path)
    if not isinstance(content, dict) or set(content) != set(TrainingState.__dataclass_fields__):
        raise DamagedCheckpointError(f"{path}: not a training checkpoint of this version; {_ANEW}")
    state = TrainingState(**content)
    _check_fields(path, state)
    if state.digest != digest:
        raise CheckpointError(
            f"{path}: belongs to another spec (digest {state.digest[:12]}, expected {digest[:12]}); {_ANEW}"
        )
    return state


def load_last_checkpoint(path: Path, previous: Path, digest: str) -> tuple[TrainingState, str | None]:
    """The state of the last checkpoint, or of the one before where that is gone or damaged.

    Args:
        path, previous: files of `save_checkpoint`; one of them is there.
        digest: as for `load_checkpoint`.

    Returns:
        The state, and why it is the earlier one, in a line; None where it is the last.

    Raises:
        CheckpointError: none of both is whole, or they belong to another spec.
    """
    try:
        return load_checkpoint(path, digest), None
    except DamagedCheckpointError as damage:
        if path.is_dir() or not previous.exists():
            raise
        try:
            state = load_checkpoint(previous, digest)
        except DamagedCheckpointError:
            raise DamagedCheckpointError(f"{damage}; {previous.name} is damaged too") from None
        reason = str(damage).split("; ")[0]
        return state, (
            f"{reason}; continues from {previous.name}, after iteration {state.iteration}: the steps since then are "
            "made again"
        )


def _check_seal(path: Path) -> None:
    if path.is_dir():
        raise DamagedCheckpointError(f"{path}: expected a checkpoint, found a folder; remove it, or {_ANEW}")
    if not path.exists():
        raise DamagedCheckpointError(f"{path}: no such file; {_ANEW}")
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_SIZE))
        end = file.read()
        if not end.startswith(_SEAL) or len(end) != _SEAL_SIZE:
            raise DamagedCheckpointError(
                f"{path}: cut short, or not a training checkpoint of this version ({size} bytes without a digest at "
                f"their end); {_ANEW}"
            )
        file.seek(0)
        digest, left = hashlib.sha256(), size - _SEAL_SIZE
        while left and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
    if digest.digest() != end[len(_SEAL) :]:
        raise DamagedCheckpointError(
            f"{path}: damaged: its bytes are not those that were written (SHA-256); put back a copy, or {_ANEW}"
        )


def _check_fields(path: Path, state: TrainingState) -> None:
    """Refuse values that no training has; whoever knows its length compares the iteration with that."""
    of_model = isinstance(state.model, dict) and all(isinstance(value, Tensor) for value in state.model.values())
    of_optimizer = isinstance(state.optimizer, dict) and {"state", "param_groups"} <= state.optimizer.keys()
    expected = {
        "iteration": (type(state.iteration) is int and state.iteration >= 0, "a number of steps, 0 or more"),
        "digest": (isinstance(state.digest, str), "text"),
        "model": (of_model, "tensors by name"),
        "optimizer": (of_optimizer, "the state of an optimizer"),
        "grad_scaler": (isinstance(state.grad_scaler, dict), "the state of a gradient scaler"),
    }
    for name, (fits, form) in expected.items():
        if not fits:
            found = repr(getattr(state, name))[:40]
            raise DamagedCheckpointError(f"{path}: {name}: expected {form}, found {found}; {_ANEW}")
