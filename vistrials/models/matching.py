"""Boxes to ground truth by IoU, and random sampling of the result."""

import torch
from torch import Tensor

from vistrials.geometry import boxes as box_ops
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
    assigned = torch.full((len(boxes),), UNUSED, dtype=torch.long, device=boxes.device)
    if len(boxes) == 0:
        return assigned
    iou = box_ops.pairwise_iou(boxes, ground_truth)
    best_iou, best = iou.max(dim=1)
    assigned[best_iou < spec.negative_iou] = NEGATIVE
    positive = best_iou >= spec.positive_iou
    assigned[positive] = best[positive] + 1
    best_per_truth = iou.amax(dim=0)
    tied = (iou == best_per_truth) & (best_per_truth >= spec.min_positive_iou)
    last_tied = (tied * torch.arange(1, len(ground_truth) + 1, device=boxes.device)).amax(dim=1)
    return torch.where(last_tied > 0, last_tied, assigned)


def sample(assigned: Tensor, spec: SamplerSpec) -> tuple[Tensor, Tensor]:
    """A random sample of positives and negatives.

    Args: assigned (N,) as `assign` returns. Returns: indices of positives and of negatives, each ascending.
    """
    positives = _choose(assigned > 0, int(spec.num * spec.positive_fraction))
    negatives = _choose(assigned == NEGATIVE, spec.num - len(positives))
    return positives, negatives


def _choose(mask: Tensor, limit: int) -> Tensor:
    candidates = mask.nonzero().flatten()
    if len(candidates) <= limit:
        return candidates
    # The CPU generator draws, so that a seed gives the same sample on every device.
    return candidates[torch.randperm(len(candidates))[:limit].sort().values.to(candidates.device)]
