"""Region proposal network: module, targets, loss and selection of proposals."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vistrials.geometry import boxes as box_ops
from vistrials.models import anchors as anchor_ops
from vistrials.models.initialisation import normal_
from vistrials.models.layers import convolutions
from vistrials.models.losses import smooth_l1
from vistrials.models.matching import assign
from vistrials.models.precision import widen
from vistrials.models.shared_batch import weighted
from vistrials.models.variants import build_sampler
from vistrials.specs.model import AnchorSpec, ProposalSpec, RPNSpec
from vistrials.structures.frames import FramePairBatch


class RPN(nn.Module):
    """3x3 convolutions, then objectness and box deltas per anchor, shared over levels of strides 4, 8, ..."""

    def __init__(self, spec: RPNSpec, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.sample = build_sampler(spec.sampler, "model.rpn.sampler")
        num_anchors = len(spec.anchors.ratios)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.more_convs = nn.ModuleList(convolutions(channels, channels, spec.num_convs - 1))
        self.objectness = nn.Conv2d(channels, num_anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * num_anchors, 1)
        for layer in (self.conv, *self.more_convs, self.objectness, self.deltas):
            normal_(layer, 0.01)

    def forward(self, levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level logits (B, cells * A) and deltas (B, cells * A, 4), by row, column, anchor, never in 16 bits."""
        logits, deltas = [], []
        for x in levels:
            x = self.conv(x).relu_()
            for conv in self.more_convs:
                x = conv(x).relu_()
            logits.append(widen(self.objectness(x)).permute(0, 2, 3, 1).flatten(1))
            deltas.append(widen(self.deltas(x)).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
        return logits, deltas

    def loss(
        self,
        logits: list[Tensor],
        deltas: list[Tensor],
        level_sizes: list[tuple[int, int]],
        batch: FramePairBatch,
    ) -> dict[str, Tensor]:
        """loss_rpn_cls and loss_rpn_bbox, summed over sampled anchors and divided by their number.

        Args: outputs of `forward`; (rows, columns) per level; the batch, of which boxes and image sizes are read.
        Source: docs/method.md, section 2.3; every image counts at least one positive and one negative in the divisor.
        """
        all_logits, all_deltas = torch.cat(logits, dim=1), torch.cat(deltas, dim=1)
        sizes = tuple(level_sizes)
        all_anchors = torch.cat(grid_anchors(sizes, self.spec.anchors, all_deltas.device, all_deltas.dtype))
        usable = [anchors_inside(sizes, self.spec.anchors, size, all_anchors.device) for size in batch.image_sizes]
        truths = [boxes.to(all_anchors) for boxes in batch.boxes]
        assigned = [
            assign(all_anchors[rows], truth, self.spec.assigner) for rows, truth in zip(usable, truths, strict=True)
        ]
        loss_cls = all_logits.sum() * 0
        loss_bbox = all_deltas.sum() * 0
        divisor = 0
        for image, (positives, negatives) in enumerate(
            self.sample([all_anchors[rows] for rows in usable], truths, assigned)
        ):
            divisor += max(len(positives), 1) + max(len(negatives), 1)
            truth = truths[image][assigned[image][positives] - 1]
            positives, negatives = usable[image][positives], usable[image][negatives]
            chosen = torch.cat([positives, negatives])
            objects = (torch.arange(len(chosen), device=chosen.device) < len(positives)).to(all_logits)
            loss_cls = loss_cls + binary_cross_entropy_with_logits(all_logits[image, chosen], objects, reduction="sum")
            targets = box_ops.encode(all_anchors[positives], truth)
            loss_bbox = loss_bbox + smooth_l1(all_deltas[image, positives], targets, self.spec.smooth_l1_beta).sum()
        return {
            "loss_rpn_cls": weighted(self.spec.loss_cls_weight * loss_cls / divisor, divisor),
            "loss_rpn_bbox": weighted(self.spec.loss_bbox_weight * loss_bbox / divisor, divisor),
        }

    @torch.no_grad()
    def propose(
        self,
        logits: list[Tensor],
        deltas: list[Tensor],
        level_sizes: list[tuple[int, int]],
        image_sizes: list[tuple[int, int]],
    ) -> list[tuple[Tensor, Tensor]]:
        """Proposals and their scores per image, by descending score: (n, 4) inclusive corners, (n,)."""
        anchors = list(grid_anchors(tuple(level_sizes), self.spec.anchors, deltas[0].device, deltas[0].dtype))
        return [
            select_proposals(
                [level[image].sigmoid() for level in logits],
                [level[image] for level in deltas],
                anchors,
                size,
                self.spec.proposals,
            )
            for image, size in enumerate(image_sizes)
        ]


def select_proposals(
    scores: list[Tensor],
    deltas: list[Tensor],
    anchors: list[Tensor],
    size: tuple[int, int],
    spec: ProposalSpec,
) -> tuple[Tensor, Tensor]:
    """Proposals of one image from scores (N,), deltas (N, 4) and anchors (N, 4) per level.

    Returns: boxes (n, 4) and scores (n,), the best `max_num` over levels, NMS within levels only.
    """
    kept_boxes, kept_scores = [], []
    for level_scores, level_deltas, level_anchors in zip(scores, deltas, anchors, strict=True):
        best, order = level_scores.topk(min(spec.num_before_nms, len(level_scores)))
        boxes = box_ops.decode(level_anchors[order], level_deltas[order], size=size)
        if spec.min_size_px > 0:
            widths, heights = box_ops.sides(boxes)
            large = (widths >= spec.min_size_px) & (heights >= spec.min_size_px)
            boxes, best = boxes[large], best[large]
        kept_boxes.append(boxes)
        kept_scores.append(best)
    all_boxes, all_scores = torch.cat(kept_boxes), torch.cat(kept_scores)
    levels = torch.cat([torch.full((len(b),), i, device=b.device) for i, b in enumerate(kept_boxes)])
    kept = box_ops.nms_within(all_boxes, all_scores, levels, spec.nms_iou)
    if spec.num_after_nms < spec.num_before_nms:
        levels = levels[kept]
        rank = torch.arange(len(kept), device=kept.device) - torch.searchsorted(levels, levels)
        kept = kept[rank < spec.num_after_nms]
    all_boxes, all_scores = all_boxes[kept], all_scores[kept]
    best, order = all_scores.topk(min(spec.max_num, len(all_scores)))
    return all_boxes[order], best


@lru_cache(maxsize=32)
def grid_anchors(
    level_sizes: tuple[tuple[int, int], ...],
    spec: AnchorSpec,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, ...]:
    """Anchors (N, 4) of every level, strides 4, 8, 16, ..., on a device (the CPU where none is named)."""
    return tuple(
        anchor_ops.level_anchors(height, width, 4 * 2**level, spec).to(device, dtype)
        for level, (height, width) in enumerate(level_sizes)
    )


@lru_cache(maxsize=128)
def anchors_inside(
    level_sizes: tuple[tuple[int, int], ...], spec: AnchorSpec, image_size: tuple[int, int], device: torch.device
) -> Tensor:
    """Indices (n,) of the anchors of all levels that lie wholly in an image of (height, width) before padding."""
    return anchor_ops.inside(torch.cat(grid_anchors(level_sizes, spec)), image_size).nonzero().flatten().to(device)
