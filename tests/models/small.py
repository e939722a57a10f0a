"""A network of every part, small enough for tests, and batches for it."""

import dataclasses

import torch

from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.model import (
    AnchorSpec,
    BoxHeadSpec,
    FPNSpec,
    MaskHeadSpec,
    ModelSpec,
    PropagationSpec,
    ProposalSpec,
    ResNetSpec,
    RoISpec,
    RPNSpec,
    TrackHeadSpec,
)
from vistrials.structures.frames import FramePairBatch


def small_spec(**changes) -> ModelSpec:
    proposals = ProposalSpec(num_before_nms=30, num_after_nms=20, max_num=20)
    parts = {
        "backbone": ResNetSpec(depth=18, base_width=8),
        "fpn": FPNSpec(channels=8, num_levels=4),
        "rpn": RPNSpec(anchors=AnchorSpec(scale=3), proposals=proposals),
        "roi": RoISpec(num_levels=1),
        "box_head": BoxHeadSpec(fc_channels=16),
        "track_head": TrackHeadSpec(fc_channels=16),
        "mask_head": MaskHeadSpec(num_convs=1, channels=8),
        "propagation": PropagationSpec(channels=8, num_mask_convs=1),
    }
    return ModelSpec(**(parts | changes))


def small_model(**changes) -> ObjProp:
    torch.manual_seed(0)
    return build_model(small_spec(**changes), num_categories=3)


def batch_of(**fields: list) -> FramePairBatch:
    """A batch that has these fields and no others, for a head that reads no others."""
    missing = dict.fromkeys(field.name for field in dataclasses.fields(FramePairBatch))
    return FramePairBatch(**(missing | fields))


def make_batch(
    instances: list[int],
    references: list[int] | None = None,
    size: tuple[int, int] = (64, 96),
    num_references: int = 1,
) -> FramePairBatch:
    """A batch of random images with so many instances each; the reference frames show the first of them."""
    generator = torch.Generator().manual_seed(0)
    references = (references if references is not None else instances) * num_references
    height, width = size

    def boxes(count: int) -> torch.Tensor:
        corners = torch.rand(count, 2, 2, generator=generator) * torch.tensor([width / 2, height / 2])
        low = corners.amin(1)
        return torch.cat([low, low + 15 + corners.amax(1) / 3], dim=1)

    key_boxes = [boxes(n) for n in instances]
    masks = [torch.zeros(n, height, width, dtype=torch.uint8) for n in instances]
    for image, of_image in enumerate(key_boxes):
        for i, (x1, y1, x2, y2) in enumerate(of_image.int().tolist()):
            masks[image][i, y1 : y2 + 1, x1 : x2 + 1] = 1
    return FramePairBatch(
        key_images=torch.randn(len(instances), 3, height, width, generator=generator),
        reference_images=torch.randn(len(references), 3, height, width, generator=generator),
        image_sizes=[size] * len(instances),
        boxes=key_boxes,
        labels=[torch.arange(n) % 3 + 1 for n in instances],
        masks=masks,
        reference_boxes=[boxes(n) for n in references],
        reference_labels=[torch.arange(r) % 3 + 1 for r in references],
        reference_objects=[torch.arange(r) for r in references],
        instance_match=[
            torch.tensor([i + 1 if i < r else 0 for i in range(n)], dtype=torch.int64)
            for n, r in zip(instances * num_references, references, strict=True)
        ],
    )
