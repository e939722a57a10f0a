"""The deterministic weights of the full-model goldens, loaded into our model by the original's names."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch

from vistrials.models.objprop import ObjProp
from vistrials.weights.original_names import original_name


def _generator(goldens: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("det_weights", goldens / "det_weights.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def load_deterministic_weights(model: ObjProp, goldens: Path, seed: int) -> None:
    """Weights of every parameter and buffer from its original name, its shape and the seed."""
    generator = _generator(goldens)
    state = {}
    for name, value in model.state_dict().items():
        original = original_name(name)
        assert original is not None, name
        state[name] = torch.from_numpy(generator.tensor(original, tuple(value.shape), seed))
    model.load_state_dict(state)
