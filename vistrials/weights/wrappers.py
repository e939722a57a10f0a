"""What other programs wrap around a state dict: containers, prefixes of names, averaged copies."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

_CONTAINERS = (
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "module",
    "network",
    "net",
    "weights",
    "params",
)
"""Keys of a checkpoint that hold the trained network, the first that is there first."""

_NO_NETWORK = (
    "optim",
    "sched",
    "scaler",
    "callback",
    "loop",
    "message_hub",
    "arg",
    "hyper",
    "meta",
    "rng",
    "cfg",
    "config",
)
"""Beginnings of keys that hold other things."""

_ANYWHERE = ("_orig_mod", "module")
_IN_FRONT = (*_ANYWHERE, "model", "detector", "net", "network")
_COPIES = ("ema_model.", "model_ema.", "ema.", "averaged_model.", "teacher.")
_COUNTER = "n_averaged"
_MAX_DEPTH = 4


class Found(NamedTuple):
    """A state dict, and in one line each what else the file holds that might have been meant."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def find_tensors(content: Any, key: str | None = None) -> Found | None:
    """The state dict of a checkpoint of any of the usual forms; None where there is none.

    Args:
        content: what a torch file holds.
        key: of the part to take, where there are several, such as model_ema.

    Raises:
        KeyError: the key is none of the parts that hold tensors; the message names those.
        ValueError: two tensors have one name but for their wrappers.
    """
    notes: list[str] = []
    for _ in range(_MAX_DEPTH):
        if not isinstance(content, Mapping):
            return None
        parts = [name for name, value in content.items() if _holds_tensors(value) and not _is_no_network(name)]
        if key is not None:
            if key in parts:
                content, key = content[key], None
                continue
            if not any(name in parts for name in _CONTAINERS):
                raise KeyError(f"{key!r} is not there; found {', '.join(map(repr, parts)) or 'one state dict'}")
        chosen = next((name for name in _CONTAINERS if name in parts), parts[0] if len(parts) == 1 else None)
        if chosen is None:
            break
        others = [name for name in parts if name != chosen]
        if others and key is None:
            notes.append(f"takes {chosen!r} of the file, which holds {', '.join(map(repr, others))} too")
        content = content[chosen]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return None
    tensors = {name: _as_tensor(value) for name, value in content.items()}
    if not all(isinstance(value, Tensor) for value in tensors.values()):
        return None
    plain, left = plain_names(tensors)
    return Found(plain, (*notes, *left))


def plain_names(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A state dict without what compilers, parallel wrappers and outer modules put before names, and without copies.

    Returns:
        The state dict; notes about averaged copies that were left out.

    Raises:
        ValueError: two different tensors have one name then.
    """
    copies = _copies(state)
    plain: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for name, value in state.items():
        if name in copies:
            continue
        short = _plain(name)
        if short in plain and not torch.equal(plain[short], value):
            raise ValueError(f"{names[short]} and {name} are both {short}")
        plain[short], names[short] = value, name
    notes = (f"{len(copies)} averaged copies (EMA) are left out (first: {min(copies)})",) if copies else ()
    return plain, notes


def _plain(name: str) -> str:
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _IN_FRONT:
        parts = parts[1:]
    return ".".join([part for part in parts[:-1] if part not in _ANYWHERE] + parts[-1:])


def _copies(state: Mapping[str, Tensor]) -> set[str]:
    """Names of averaged copies of other tensors of the state dict, and their counter."""
    copies = {_COUNTER} & state.keys()
    for prefix in _COPIES:
        inside = {name for name in state if name.startswith(prefix)}
        others = {_plain(name) for name in state.keys() - inside}
        copies |= {name for name in inside if _plain(name.removeprefix(prefix)) in others}
    # mmdetection's hook keeps ema_backbone_conv1_weight beside backbone.conv1.weight.
    flat = {f"ema_{name.replace('.', '_')}" for name in state if "." in name}
    return copies | (flat & state.keys())


def _holds_tensors(value: Any, depth: int = _MAX_DEPTH) -> bool:
    if not isinstance(value, Mapping) or depth == 0:
        return False
    return any(isinstance(part, Tensor | np.ndarray) or _holds_tensors(part, depth - 1) for part in value.values())


def _is_no_network(name: Any) -> bool:
    return not isinstance(name, str) or name.lower().startswith(_NO_NETWORK)


def _as_tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else value
