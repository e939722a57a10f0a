"""Boxes to ground truth by IoU, and random sampling of the result."""

import numpy as np
import torch
from numpy.typing import NDArray
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
    chosen = []
    for of_image in np.split(on_host, np.cumsum([len(a) for a in assigned])[:-1]):
        positives = _choose(of_image > 0, int(spec.num * spec.positive_fraction))
        negatives = _choose(of_image == NEGATIVE, spec.num - len(positives))
        chosen.append((positives.to(device), negatives.to(device)))
    return chosen


def _choose(mask: NDArray[np.bool_], limit: int) -> Tensor:
    candidates = torch.from_numpy(np.flatnonzero(mask))
    if len(candidates) <= limit:
        return candidates
    # The CPU generator draws, so that a seed gives the same sample on every device.
    return candidates[torch.randperm(len(candidates))[:limit].sort().values]
