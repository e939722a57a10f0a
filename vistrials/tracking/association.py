"""Greedy association of a frame's detections with the objects in memory."""

import torch
from torch import Tensor

from vistrials.geometry import boxes as box_ops
from vistrials.specs.inference import AssociationSpec

DROPPED = -1
"""Id of a detection that matched an object but lost it to a better one before."""


def association_scores(
    match_scores: Tensor,
    scores: Tensor,
    boxes: Tensor,
    labels: Tensor,
    memory_boxes: Tensor,
    memory_labels: Tensor,
    spec: AssociationSpec,
) -> Tensor:
    """How well each detection fits a new object (column 0) and each object in memory.

    Args: match_scores (n, 1 + m) of normalised embeddings; of detections scores (n,), boxes (n, 4), labels (n,);
        of the memory boxes (m, 4), labels (m,). Boxes with inclusive corners in pixels of the original frame.
    Returns: (n, 1 + m).
    Source: MaskTrack R-CNN, equation 4; as in the released program a new object has IoU 0 and an equal label.
    """
    iou = box_ops.pairwise_iou(boxes, memory_boxes.to(boxes))
    same_label = (labels[:, None] == memory_labels[None, :]).to(boxes)
    iou = torch.cat([iou.new_zeros(len(iou), 1), iou], dim=1)
    same_label = torch.cat([same_label.new_ones(len(iou), 1), same_label], dim=1)
    return (
        (spec.match_scale * match_scores).log_softmax(dim=1)
        + spec.score_weight * scores.log()[:, None]
        + spec.iou_weight * iou
        + spec.label_weight * same_label
    )


def associate(scores: Tensor, next_id: int) -> tuple[list[int], dict[int, int]]:
    """Object ids of a frame's detections, in detection order.

    Args: scores (n, 1 + m) as `association_scores` returns; next_id = number of ids given so far in the video.
    Returns: ids (n), DROPPED where a detection lost; and for every id that memory must update, its detection. A
        displaced earlier detection keeps its id; the later, better one is the one that memory takes.
    """
    choices = scores.argmax(dim=1, keepdim=True)
    # Both in one transfer; float64 holds either exactly.
    chosen = torch.cat([choices.double(), scores.gather(1, choices).double()], dim=1).tolist()
    ids: list[int] = []
    source: dict[int, int] = {}
    best: dict[int, float] = {}
    for detection, (choice, total) in enumerate(chosen):
        known = int(choice) - 1
        if known < 0:
            ids.append(next_id)
            source[next_id] = detection
            next_id += 1
        elif total > best.get(known, -100.0):
            best[known] = total
            ids.append(known)
            source[known] = detection
        else:
            ids.append(DROPPED)
    return ids, source
