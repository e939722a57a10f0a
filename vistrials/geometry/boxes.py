"""Boxes x1, y1, x2, y2 with inclusive corners: width = x2 - x1 + 1, everywhere."""

import torch
from torch import Tensor
from torchvision.ops import nms as exclusive_nms

MAX_LOG_RATIO = 4.135166556742356  # -log(16 / 1000): decoded sides stay within 62.5 times the proposal's


def sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Widths and heights. Args: boxes (..., 4). Returns: two tensors (...)."""
    return boxes[..., 2] - boxes[..., 0] + 1, boxes[..., 3] - boxes[..., 1] + 1


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of inclusive boxes. Args: a (M, 4), b (N, 4). Returns: (M, N)."""
    top_left = torch.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (bottom_right - top_left + 1).clamp(min=0).prod(dim=-1)
    wa, ha = sides(a)
    wb, hb = sides(b)
    return overlap / ((wa * ha)[:, None] + (wb * hb)[None, :] - overlap)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes clipped to pixel positions 0..w-1, 0..h-1. Args: boxes (..., 4); size (height, width)."""
    height, width = size
    upper = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
    return torch.minimum(boxes.clamp(min=0), upper)


def encode(boxes: Tensor, targets: Tensor, stds: tuple[float, float, float, float] = (1, 1, 1, 1)) -> Tensor:
    """Deltas (dx, dy, dw, dh) that turn `boxes` into `targets`, divided by `stds`; all are (N, 4)."""
    pw, ph = sides(boxes)
    gw, gh = sides(targets)
    centre_shift = (targets[:, :2] + targets[:, 2:] - boxes[:, :2] - boxes[:, 2:]) * 0.5
    deltas = torch.stack(
        [centre_shift[:, 0] / pw, centre_shift[:, 1] / ph, torch.log(gw / pw), torch.log(gh / ph)], dim=-1
    )
    return deltas / deltas.new_tensor(stds)


def decode(
    boxes: Tensor,
    deltas: Tensor,
    stds: tuple[float, float, float, float] = (1, 1, 1, 1),
    size: tuple[int, int] | None = None,
) -> Tensor:
    """The inverse of `encode`, sides limited to a factor 1000/16, clipped to `size` if given.

    Args: boxes (N, 4); deltas (N, 4 * M), M boxes from each; size (height, width). Returns: (N, 4 * M).
    """
    shape = deltas.shape
    deltas = deltas.unflatten(1, (-1, 4)) * deltas.new_tensor(stds)
    pw, ph = (side[:, None] for side in sides(boxes))
    px = (boxes[:, 0] + boxes[:, 2])[:, None] * 0.5
    py = (boxes[:, 1] + boxes[:, 3])[:, None] * 0.5
    dx, dy, dw, dh = deltas.unbind(dim=-1)
    gw = pw * dw.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    gh = ph * dh.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    gx = px + pw * dx
    gy = py + ph * dy
    decoded = torch.stack([gx - gw * 0.5 + 0.5, gy - gh * 0.5 + 0.5, gx + gw * 0.5 - 0.5, gy + gh * 0.5 - 0.5], dim=-1)
    if size is not None:
        decoded = clip(decoded, size)
    return decoded.reshape(shape)


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Indices kept by non-maximum suppression of inclusive boxes, ascending.

    Args: boxes (N, 4); scores (N,); a box is suppressed where its IoU with a better one is above `iou`.
    Returns: (M,) int64.
    """
    widened = boxes + boxes.new_tensor([0, 0, 1, 1])
    return exclusive_nms(widened, scores, iou).sort().values


def nms_within(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
    """As `nms`, where boxes suppress others of their group only. Args: groups (N,) int64, ascending."""
    if not _waits(boxes.device):
        _, sizes = groups.unique_consecutive(return_counts=True)
        starts = sizes.cumsum(0) - sizes
        return torch.cat(
            [
                nms(boxes[start : start + size], scores[start : start + size], iou) + start
                for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
            ]
            or [groups[:0]]
        )
    # One call, groups far from each other, as each call waits for the device; in float64 the distance rounds nothing
    # that float32 holds.
    far = boxes.double()
    far = far + (groups * (far.max() - far.min() + 2))[:, None] if len(far) else far
    return nms(far, scores.double(), iou)


def _waits(device: torch.device) -> bool:
    """Whether a result of unknown length makes this process wait for the device."""
    return device.type != "cpu"
