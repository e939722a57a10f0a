"""Checkpoints in the original program's naming, made up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial
from vistrials.weights.original_names import to_original

NUM_CATEGORIES = 8  # of the embedded data


def listed_shapes(recordings: Path, without: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the original program with neck, less the parts named."""
    listed = np.load(recordings / "weights_fingerprint.npz")
    shapes = {
        name.decode(): tuple(int(n) for n in shape.decode().strip("()").split(",") if n.strip())
        for name, shape in zip(listed["names"], listed["shapes"], strict=True)
    }
    return {name: shape for name, shape in shapes.items() if not name.startswith(tuple(without))}


def numbered_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A full-size state dict that takes no memory: the i-th tensor holds i everywhere."""
    return {
        name: torch.tensor(i, dtype=torch.int64 if name.endswith("tracked") else torch.float32).expand(shape)
        for i, (name, shape) in enumerate(shapes.items())
    }


def small_state(trial: str = "baseline") -> dict[str, Tensor]:
    """Random weights of a trial's small network, by original names."""
    torch.manual_seed(5)
    model = build_model(load_trial(trial, "smoke").model, NUM_CATEGORIES)
    return to_original({n: v + 3 if n.endswith("tracked") else v for n, v in model.state_dict().items()})
