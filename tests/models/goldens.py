"""Reading the recorded outputs of the original program, and comparing with them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vistrials.models.original_names import original_name


class Golden:
    """One .npz file; arrays come as tensors."""

    def __init__(self, path: Path) -> None:
        self.arrays = np.load(path)

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def __contains__(self, name: str) -> bool:
        return name in self.arrays.files

    def raw(self, name: str) -> np.ndarray:
        return self.arrays[name]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest magnitude expected."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() == 0:
        return 0.0
    scale = expected.abs().max().clamp(min=1e-300).double()
    return float((actual.detach().double() - expected.double()).abs().max() / scale)


def load_part(module: nn.Module, part: str, golden: Golden, prefix: str, original_part: str) -> None:
    """Weights of one part from a golden file, where the original's `original_part`.y is stored under `prefix` + y."""
    state = {}
    for name in module.state_dict():
        original = original_name(f"{part}.{name}")
        assert original is not None
        state[name] = golden[prefix + original.removeprefix(original_part + ".")]
    module.load_state_dict(state)


def gradient_errors(module: nn.Module, part: str, golden: Golden, prefix: str, original_part: str) -> dict[str, float]:
    """Relative error of every parameter's gradient against the stored one."""
    errors = {}
    for name, parameter in module.named_parameters():
        original = original_name(f"{part}.{name}")
        assert original is not None and parameter.grad is not None
        errors[name] = relative_error(parameter.grad, golden[prefix + original.removeprefix(original_part + ".")])
    return errors
