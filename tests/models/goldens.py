"""Reading the outputs of the original program, and comparing with them. tests/recordings/README.md says the form."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vistrials.weights.original_names import original_name


@dataclass
class Record:
    """What was read of a recorded file, and the relative errors against it; benchmarks.parity prints it."""

    arrays_read: set[str] = field(default_factory=set)
    errors: list[float] = field(default_factory=list)


PIXEL_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
PIXEL_STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)

RECORDS: dict[str, Record] = defaultdict(Record)  # by file stem
_compared_with = ""


class Golden:
    """One .npz file; arrays come as tensors."""

    def __init__(self, path: Path, *, inputs_only: bool = False) -> None:
        """inputs_only: another file holds what the outputs are compared with."""
        global _compared_with
        self.arrays = np.load(path)
        self._folder = path.parent
        self._record = RECORDS[path.stem]
        if not inputs_only:
            _compared_with = path.stem

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.raw(name)))

    def __contains__(self, name: str) -> bool:
        return name in self.arrays.files

    def raw(self, name: str) -> np.ndarray:
        self._record.arrays_read.add(name)
        return self.arrays[name]

    def kept(self, name: str, values: Tensor) -> tuple[Tensor, Tensor]:
        """What the file keeps of a large output and the same part of `values`: all, or every fourth cell each way."""
        if name in self:
            return values, self[name]
        return values[..., ::4, ::4], self[f"{name}__every4"]

    def error(self, name: str, values: Tensor) -> float:
        """Relative error of a large output, as far as the file keeps it."""
        return relative_error(*self.kept(name, values))

    def images(self, name: str) -> Tensor:
        """(N, 3, H, W) images as the network got them: stored, or made from the pictures that the file names."""
        if name in self:
            return self[name]
        frames = [self._frame(str(frame)) for frame in self.raw(f"{name}__frames")]
        return torch.from_numpy(np.stack(frames))

    def _frame(self, name: str) -> np.ndarray:
        pixels = np.asarray(Image.open(self._folder / "frames" / name), dtype=np.float32)
        image = ((pixels - PIXEL_MEAN) / PIXEL_STD).transpose(2, 0, 1)
        height, width = (-(-size // 32) * 32 for size in image.shape[1:])
        padded = np.zeros((3, height, width), dtype=np.float32)
        padded[:, : image.shape[1], : image.shape[2]] = image
        return padded


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest magnitude expected."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if expected.numel() == 0:
        return 0.0
    scale = expected.abs().max().clamp(min=1e-300).double()
    return noted(float((actual.detach().double().cpu() - expected.double()).abs().max() / scale))


def reference_labels(boxes: list[Tensor], labels: list[Tensor], match: list[Tensor]) -> list[Tensor]:
    """Labels of reference boxes, which the files leave out: that of the key instance, or 1, which nothing reads."""
    found = []
    for of_image, known, to in zip(boxes, labels, match, strict=True):
        found.append(torch.ones(len(of_image), dtype=torch.long))
        found[-1][to[to > 0] - 1] = known[to > 0]
    return found


def strided(values: Tensor, count: int = 200) -> Tensor:
    """The sample that the files keep of a large array: every n-th of the flattened values, the first 200."""
    flat = values.flatten()
    return flat[:: max(1, len(flat) // count)][:count]


def noted(error: float) -> float:
    """A relative error against the recorded file opened last, put on record."""
    RECORDS[_compared_with].errors.append(error)
    return error


def load_part(module: nn.Module, part: str, golden: Golden, prefix: str, original_part: str) -> None:
    """Weights of one part from a recorded file, where the original's `original_part`.y is stored under `prefix` + y."""
    state = {}
    for name in module.state_dict():
        original = original_name(f"{part}.{name}")
        assert original is not None
        state[name] = golden[prefix + original.removeprefix(original_part + ".")]
    module.load_state_dict(state)


def gradient_errors(
    module: nn.Module, part: str, golden: Golden, prefix: str, original_part: str, without: tuple[str, ...] = ()
) -> dict[str, float]:
    """Relative error of the gradient of every parameter, less those named, against the stored one."""
    errors = {}
    for name, parameter in module.named_parameters():
        original = original_name(f"{part}.{name}")
        assert original is not None and parameter.grad is not None
        if name not in without:
            stored = golden[prefix + original.removeprefix(original_part + ".")]
            errors[name] = relative_error(parameter.grad, stored)
    return errors
