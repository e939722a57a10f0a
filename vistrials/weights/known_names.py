"""Which program made a state dict whose names fit nothing here, and why it is not taken."""

from collections.abc import Iterable

_KNOWN = (
    (("backbone.bottom_up.",), "of detectron2, whose ResNets take BGR pixels and have their strides elsewhere"),
    (("sem_seg_head.", "detr.", "transformer.", "criterion.", "class_embed."), "of a transformer, another network"),
    (("image_encoder.", "memory_attention.", "sam_mask_decoder.", "vision_encoder."), "of SAM, another network"),
    (("roi_head.bbox_head.0.", "bbox_head.0."), "of a Cascade R-CNN, which has three box heads"),
    (("rpn.objectness.", "box_head.logits.", "fpn.pyramid."), "of vistrials itself: give the file with --weights"),
    (("0.conv.", "1.conv.", "24.m."), "of a YOLO, another network"),
    (("layer1.0.", "stem.", "blocks.0.", "features.0.", "stages.0."), "of a classifier: give it as init.backbone=FILE"),
)  # fmt: skip


def describe_names(names: Iterable[str]) -> str:
    """The end of a message: what these names are, where that is known."""
    listed = list(names)
    for beginnings, what in _KNOWN:
        if any(name.startswith(beginnings) for name in listed):
            return f"; these are names {what}"
    return ""
