"""Parameter names of the original program (mmdetection 1), one to one with ours."""

from collections.abc import Mapping

from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.weights.renaming import renamed

CLASS_LAYER = "bbox_head.fc_cls.weight"
"""The original's class logits: background and K categories."""

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


def original_name(name: str) -> str | None:
    """The original program's name of one of our parameters or buffers; None where it has none."""
    return renamed(name, _RULES)


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
