"""Parameter names of the original program (mmdetection 1), one to one with ours, and state dicts in them."""

import re
from collections.abc import Mapping

from torch import Tensor

from vistrials.errors import CheckpointError

_RULES = (
    (r"backbone\.(.*)", r"backbone.\1"),
    (r"fpn\.pyramid\.inner_blocks\.(\d+)\.0\.(.*)", r"neck.lateral_convs.\1.conv.\2"),
    (r"fpn\.pyramid\.layer_blocks\.(\d+)\.0\.(.*)", r"neck.fpn_convs.\1.conv.\2"),
    (r"neck\.gamma", r"neck_attn.gamma"),
    (r"neck\.conv([12])\.0\.(.*)", r"neck_attn.conv\1.\2"),
    (r"rpn\.conv\.(.*)", r"rpn_head.rpn_conv.\1"),
    (r"rpn\.objectness\.(.*)", r"rpn_head.rpn_cls.\1"),
    (r"rpn\.deltas\.(.*)", r"rpn_head.rpn_reg.\1"),
    (r"box_head\.fcs\.(.*)", r"bbox_head.shared_fcs.\1"),
    (r"box_head\.logits\.(.*)", r"bbox_head.fc_cls.\1"),
    (r"box_head\.deltas\.(.*)", r"bbox_head.fc_reg.\1"),
    (r"track_head\.(.*)", r"track_head.\1"),
    (r"mask_head\.convs\.(\d+)\.(.*)", r"mask_head.convs.\1.conv.\2"),
    (r"mask_head\.upsample\.(.*)", r"mask_head.upsample.\1"),
    (r"mask_head\.logits\.(.*)", r"mask_head.conv_logits.\1"),
    (r"propagation\.features\.(.*)", r"prop_head.convs.\1"),
    (r"propagation\.mask_convs\.(\d+)\.(.*)", r"prop_head.mask_convs.\1.conv.\2"),
    (r"propagation\.upsample\.(.*)", r"prop_head.upsample.\1"),
    (r"propagation\.logits\.(.*)", r"prop_head.conv_logits.\1"),
)

_OPTIONAL = "num_batches_tracked"  # PyTorch before 0.4.1 did not store it
_SHOWN = 3


def original_name(name: str) -> str | None:
    """The original program's name of one of our parameters or buffers; None where it has none."""
    for pattern, replacement in _RULES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return None


def from_original(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint of the original program under our names, complete and of the right shapes.

    Args: state by original names; expected: our model's state dict.
    Raises: CheckpointError: keys that are missing, unexpected or of another shape, counted, the first ones named.
    """
    # What the original has no name for (a shared affinity matrix, say) keeps its start.
    names = {name: original for name in expected if (original := original_name(name)) is not None}
    missing = sorted(original for original in set(names.values()) - state.keys() if not original.endswith(_OPTIONAL))
    unexpected = sorted(state.keys() - set(names.values()))
    mismatched = [
        f"{original} (expected {tuple(expected[name].shape)}, found {tuple(state[original].shape)})"
        for name, original in names.items()
        if original in state and state[original].shape != expected[name].shape
    ]
    faults = [
        f"{len(keys)} {kind}: {', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''}"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        if keys
    ]
    if faults:
        raise CheckpointError("; ".join(faults))
    found = {name: state[original] for name, original in names.items() if original in state}
    return dict(expected) | found


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours under the original program's names.

    Raises: CheckpointError: a parameter that the original program does not have.
    """
    renamed = {}
    for name, value in state.items():
        original = original_name(name)
        if original is None:
            raise CheckpointError(f"{name}: the original program has no such parameter, so these weights stay ours")
        renamed[original] = value
    return renamed
