"""The weights with which the original program was recorded: each tensor from its name, its shape and one seed."""

import re
import zlib
from pathlib import Path

import numpy as np
import torch

from vistrials.models.objprop import ObjProp
from vistrials.weights.original_names import original_name

# Random layers that would saturate or vanish, brought to a scale at which every output depends on its input.
_GAINS = {
    **{f"neck.lateral_convs.{level}.conv.weight": 0.1 for level in range(4)},
    "rpn_head.rpn_cls.weight": 2.0,
    "rpn_head.rpn_reg.weight": 0.2,
    "bbox_head.fc_cls.weight": 1.6,
    "prop_head.convs.6.weight": 0.3,
    "prop_head.conv_logits.weight": 24.0,
    "mask_head.conv_logits.weight": 4.0,
}
_SHIFTS = {"prop_head.conv_logits.bias": -1.5}
# Blind to the common level of their inputs, which are positive: else a random network answers the same everywhere.
_CENTRED = {
    *("rpn_head.rpn_cls.weight", "rpn_head.rpn_reg.weight", "bbox_head.shared_fcs.1.weight", "bbox_head.fc_cls.weight"),
    *("bbox_head.fc_reg.weight", "mask_head.conv_logits.weight", "prop_head.conv_logits.weight"),
}
_LAST_NORM_OF_A_BLOCK = re.compile(r"backbone\.layer\d+\.\d+\.bn3\.weight")
_GAMMA = 0.5  # of the attention neck


def recorded_seed(recordings: Path) -> int:
    """The seed of the weights of a folder of recordings."""
    return int(np.load(recordings / "weights_fingerprint.npz")["seed"])


def load_deterministic_weights(model: ObjProp, recordings: Path) -> None:
    """Every parameter and buffer as it was when the folder was recorded."""
    seed, state = recorded_seed(recordings), {}
    for name, value in model.state_dict().items():
        original = original_name(name)
        assert original is not None, name
        state[name] = torch.from_numpy(_values(original, tuple(value.shape), seed))
    model.load_state_dict(state)


def _values(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if kind == "gamma":
        return np.full(shape, _GAMMA)
    normal = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())])).standard_normal(shape)
    if kind == "running_mean":
        return 0.1 * normal
    if kind == "running_var":
        return np.exp(0.2 * normal)
    if kind == "bias":
        return 0.05 * normal + _SHIFTS.get(name, 0.0)
    if len(shape) == 1:
        return (1 + 0.1 * normal) * (0.3 if _LAST_NORM_OF_A_BLOCK.fullmatch(name) else 1.0)
    weight = normal * np.sqrt(2.0 / np.prod(shape[1:])) * _GAINS.get(name, 1.0)
    return weight - weight.mean(axis=1, keepdims=True) if name in _CENTRED else weight
