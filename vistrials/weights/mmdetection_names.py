"""Checkpoints of mmdetection 2 and 3 and of mmtracking under the names and rows of mmdetection 1.

Their networks have the same parts under other names. Their class layers list the categories first and the background
last, and have no rows of the background for boxes and masks, which no prediction uses.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

LATER_VERSION = (
    "its boxes are x2 - x1 wide where ours are x2 - x1 + 1, and its RoIs lie half a pixel further left and up: figures "
    "move a little until it is trained on"
)
_PREFIX = "roi_head."
_RULES = ((r"^roi_head\.", ""), (r"^track_head\.embed_head\.", "track_head."))
_LEFT_OUT = ("data_preprocessor.",)
_CLASSES, _BOXES, _MASKS = "bbox_head.fc_cls.", "bbox_head.fc_reg.", "mask_head.conv_logits."
_NUMBERS_PER_BOX = 4


def is_later_version(state: Mapping[str, Tensor]) -> bool:
    """Whether these are names of mmdetection 2 or 3."""
    return any(name.startswith(_PREFIX) for name in state)


def in_first_form(state: Mapping[str, Tensor], *, one_mask: bool) -> dict[str, Tensor]:
    """The same network under the names of mmdetection 1, class layers in its order of rows.

    Args:
        state: by later names, without prefixes.
        one_mask: masks are one for all categories, which have no rows then.
    """
    renamed = {_renamed(name): value for name, value in state.items() if not name.startswith(_LEFT_OUT)}
    classes = renamed.get(f"{_CLASSES}weight")
    boxes = renamed.get(f"{_BOXES}weight")
    if classes is None or boxes is None or len(boxes) != _NUMBERS_PER_BOX * (len(classes) - 1):
        return renamed  # rows of the background for boxes too, as version 1 has them
    for name, value in list(renamed.items()):
        if name.startswith(_CLASSES):
            renamed[name] = torch.cat([value[-1:], value[:-1]])
        elif name.startswith(_BOXES):
            renamed[name] = torch.cat([torch.zeros_like(value[:_NUMBERS_PER_BOX]), value])
        elif name.startswith(_MASKS) and not one_mask:
            renamed[name] = torch.cat([torch.zeros_like(value[:1]), value])
    return renamed


def _renamed(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name
