"""checkpoint.pt, from which a training continues."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.weights.files import load_torch_file, replacing_checkpoint


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What a training continues from. `iteration` counts finished steps; random numbers follow from it."""

    iteration: int
    digest: str
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    grad_scaler: dict[str, Any]


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Save a training state so that a crash at any moment leaves the old file or the new one."""
    content = {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    with replacing_checkpoint(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path, digest: str) -> TrainingState:
    """Load a training state.

    Args:
        path: a file of `save_checkpoint`.
        digest: of the spec that wants to continue from it.

    Raises:
        CheckpointError: not such a file, or of another spec.
    """
    content = load_torch_file(path)
    if not isinstance(content, dict) or set(content) != set(TrainingState.__dataclass_fields__):
        raise CheckpointError(f"{path}: not a training checkpoint of this version; delete it to train from the start")
    if content["digest"] != digest:
        raise CheckpointError(
            f"{path}: belongs to another spec (digest {content['digest'][:12]}, expected {digest[:12]}); "
            "train from the start with --force, or into another folder with --results"
        )
    return TrainingState(**content)
