"""Parameter names and COCO categories of torchvision's Mask R-CNN (its first version, to which others are brought), and
ours."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from vistrials.weights.renaming import renamed
from vistrials.weights.torchvision_variants import in_first_form, mobilenet_name

# Those of our layers that have rows for each category.
_CLASS_LAYERS = ("box_head.logits.", "box_head.deltas.", "mask_head.logits.")

CLASS_ROWS = "roi_heads.box_predictor.cls_score.weight"
"""The tensor of torchvision's detectors that has a row for background and for each category."""

NUM_COCO_ROWS = 91
"""Background, the 80 categories of COCO, and the 10 numbers between them that no category has."""

_RULES = (
    (r"backbone\.(.*)", r"backbone.body.\1"),
    (r"fpn\.pyramid\.(.*)", r"backbone.fpn.\1"),
    (r"rpn\.conv\.(.*)", r"rpn.head.conv.0.0.\1"),
    (r"rpn\.more_convs\.0\.(.*)", r"rpn.head.conv.1.0.\1"),
    (r"rpn\.objectness\.(.*)", r"rpn.head.cls_logits.\1"),
    (r"rpn\.deltas\.(.*)", r"rpn.head.bbox_pred.\1"),
    (r"box_head\.convs\.(\d+)\.(.*)", r"roi_heads.box_head.\1.0.\2"),
    (r"box_head\.fcs\.0\.(.*)", r"roi_heads.box_head.fc6.\1"),
    (r"box_head\.fcs\.1\.(.*)", r"roi_heads.box_head.fc7.\1"),
    (r"box_head\.logits\.(.*)", r"roi_heads.box_predictor.cls_score.\1"),
    (r"box_head\.deltas\.(.*)", r"roi_heads.box_predictor.bbox_pred.\1"),
    (r"mask_head\.convs\.(\d+)\.(.*)", r"roi_heads.mask_head.\1.0.\2"),
    (r"mask_head\.upsample\.(.*)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"mask_head\.logits\.(.*)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
)

_OF_TIMM = "backbone.network."

# Published files keep the names of the torchvision that made them; torchvision renames them while it loads.
_OLD_RULES = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
)
_OLD_MASK_CONV = r"roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)"

# Data sets of videos -> COCO, where the names differ and the meaning does not.
_SYNONYMS = {
    "aeroplane": "airplane",
    "plane": "airplane",
    "motorbike": "motorcycle",
    "flying disc": "frisbee",
    "sedan": "car",
}
# COCO's mouse lies beside a keyboard; YouTube-VIS means the animal.
_OTHER_MEANING = {"mouse"}


def torchvision_name(name: str) -> str | None:
    """torchvision's name of one of our parameters or buffers; None where its detectors have no such part.

    Of the networks of timm its detectors have mobilenetv3_large_100 alone.
    """
    if name.startswith(_OF_TIMM):
        inside = mobilenet_name(name.removeprefix(_OF_TIMM))
        return inside and f"backbone.body.{inside}"
    return renamed(name, _RULES)


def is_detector(state: Mapping[str, Tensor]) -> bool:
    """Whether these are names of a torchvision detector."""
    return any(name.startswith("backbone.body.") for name in state)


def with_current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A detector's state dict in the form of the first Mask R-CNN of torchvision since 0.13, whichever made it."""
    return in_first_form({_current_name(name): value for name, value in state.items()})


def coco_rows(category_names: Sequence[str]) -> dict[int, int]:
    """Label (1..K) -> row of COCO's class layers, for the categories that COCO has too."""
    row_of = {_normalised(name): row for row, name in enumerate(_coco_names()) if row > 0 and name != "N/A"}
    rows = {}
    for label, name in enumerate(category_names, start=1):
        meant = _normalised(name)
        meant = _SYNONYMS.get(meant, meant)
        if meant in row_of and meant not in _OTHER_MEANING:
            rows[label] = row_of[meant]
    return rows


def take_category_rows(
    state: Mapping[str, Tensor], fresh: Mapping[str, Tensor], category_names: Sequence[str]
) -> dict[str, Tensor]:
    """A detector's state dict with class layers for other categories.

    Args: state with torchvision's names and COCO's 91 rows; fresh, our model's for the K categories that are named.
    Returns: state, its class layers with K + 1 rows: background and shared categories trained, the others fresh. A
        layer that fits neither COCO nor our model stays as it is.
    """
    num_rows, num_coco_rows = len(category_names) + 1, len(_coco_names())
    rows = {0: 0} | coco_rows(category_names)
    taken = dict(state)
    for name, value in fresh.items():
        theirs = torchvision_name(name)
        if theirs is None or theirs not in state or not name.startswith(_CLASS_LAYERS):
            continue
        trained = state[theirs]
        if trained.shape[1:] != value.shape[1:] or len(trained) * num_rows != len(value) * num_coco_rows:
            continue
        layer = value.clone().unflatten(0, (num_rows, -1))
        layer[list(rows)] = trained.to(layer).unflatten(0, (num_coco_rows, -1))[list(rows.values())]
        taken[theirs] = layer.flatten(0, 1)
    return taken


def _coco_names() -> Sequence[str]:
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    names: Sequence[str] = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return names


def _current_name(name: str) -> str:
    if match := re.fullmatch(_OLD_MASK_CONV, name):
        return f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}"
    return renamed(name, _OLD_RULES) or name


def _normalised(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
