"""Boxes to ground truth by IoU, and random sampling of the result."""

import numpy as np
import torch
from torch import Tensor

from vistrials.geometry import boxes as box_ops
from vistrials.models import shared_batch
from vistrials.specs.model import AssignerSpec, SamplerSpec

UNUSED = -1
NEGATIVE = 0


def assign(boxes: Tensor, ground_truth: Tensor, spec: AssignerSpec) -> Tensor:
    """Max-IoU assignment.

    Args: boxes (N, 4); ground_truth (M, 4), inclusive corners.
    Returns: (N,) int64: UNUSED, NEGATIVE, or 1 + the index of the ground truth.
    Source: docs/method.md, section 2.5; a later ground truth takes over boxes that tie for its best IoU.
    """
    if len(ground_truth) == 0:
        return torch.full((len(boxes),), NEGATIVE, dtype=torch.long, device=boxes.device)
    if len(boxes) == 0:
        return torch.zeros(0, dtype=torch.long, device=boxes.device)
    iou = box_ops.pairwise_iou(boxes, ground_truth)
    best_iou, best = iou.max(dim=1)
    assigned = torch.where(best_iou < spec.negative_iou, NEGATIVE, UNUSED)
    assigned = torch.where(best_iou >= spec.positive_iou, best + 1, assigned)
    best_per_truth = iou.amax(dim=0)
    tied = (iou == best_per_truth) & (best_per_truth >= spec.min_positive_iou)
    last_tied = (tied * torch.arange(1, len(ground_truth) + 1, device=boxes.device)).amax(dim=1)
    return torch.where(last_tied > 0, last_tied, assigned)


def sample(assigned: list[Tensor], spec: SamplerSpec) -> list[tuple[Tensor, Tensor]]:
    """A random sample of positives and negatives of every image.

    Args: assigned, (N,) as `assign` returns, per image. Returns: per image the indices of positives and of negatives,
        each ascending. The choice is made on the host, for all images after one transfer.
    """
    if not assigned:
        return []
    device = assigned[0].device
    on_host = torch.cat(assigned).cpu().numpy()
    candidates = [
        (torch.from_numpy(np.flatnonzero(of_image > 0)), torch.from_numpy(np.flatnonzero(of_image == NEGATIVE)))
        for of_image in np.split(on_host, np.cumsum([len(a) for a in assigned])[:-1])
    ]
    counts, ours = shared_batch.gather([(len(positives), len(negatives)) for positives, negatives in candidates])
    drawn = [_choose(num_positives, num_negatives, spec) for num_positives, num_negatives in counts][ours]
    return [
        (_rows(positives, of_positives).to(device), _rows(negatives, of_negatives).to(device))
        for (positives, negatives), (of_positives, of_negatives) in zip(candidates, drawn, strict=True)
    ]


def _rows(candidates: Tensor, rows: Tensor | None) -> Tensor:
    return candidates if rows is None else candidates[rows]


def _choose(num_positives: int, num_negatives: int, spec: SamplerSpec) -> tuple[Tensor | None, Tensor | None]:
    """Which of an image's positives and negatives are taken, None for all."""
    limit = int(spec.num * spec.positive_fraction)
    positives = shared_batch.choose(num_positives, limit)
    return positives, shared_batch.choose(num_negatives, spec.num - min(num_positives, limit))
