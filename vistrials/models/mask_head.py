"""Mask head: instance masks of RoIs, their training targets, and masks at frame resolution."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from vistrials.models import shared_batch
from vistrials.models.box_head import SampledRoIs
from vistrials.models.initialisation import kaiming_
from vistrials.models.layers import convolutions, map_of_label
from vistrials.models.precision import widen
from vistrials.specs.model import MaskHeadSpec
from vistrials.structures.frames import FramePairBatch


class MaskHead(nn.Module):
    """3x3 convolutions, a x2 transposed convolution, one map per category (background included) or one in all.

    Source: He et al., Mask R-CNN, section 3.
    """

    def __init__(self, spec: MaskHeadSpec, channels: int, num_categories: int) -> None:
        super().__init__()
        self.spec = spec
        convs = convolutions(channels, spec.channels, spec.num_convs)
        self.convs = nn.ModuleList(convs)
        self.upsample = nn.ConvTranspose2d(spec.channels, spec.channels, 2, stride=2)
        self.logits = nn.Conv2d(spec.channels, 1 if spec.class_agnostic else num_categories + 1, 1)
        for conv in convs:
            kaiming_(conv)
        kaiming_(self.upsample)
        kaiming_(self.logits, fan_out=num_categories + 1)  # one shared map starts like one of K + 1

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """RoI features (n, C, s, s), labels (n,) in 1..K -> logits of the labels' maps (n, 2s, 2s)."""
        x = features
        for conv in self.convs:
            x = conv(x).relu_()
        return widen(map_of_label(self.logits, self.upsample(x).relu_(), labels))

    def rois(self, sampled: list[SampledRoIs]) -> list[SampledRoIs]:
        """Of every image the positives that enter loss_mask: all, or the first `max_rois` of a random order."""
        limit = self.spec.max_rois
        if limit is None:
            return [SampledRoIs(r.positive_boxes, r.truth_index) for r in sampled]
        counts, ours = shared_batch.gather([(r.num_positives,) for r in sampled])
        chosen = [shared_batch.choose(num_positives, limit) for (num_positives,) in counts][ours]
        return [
            SampledRoIs(r.positive_boxes, r.truth_index)
            if rows is None
            else SampledRoIs(r.boxes[rows.to(r.boxes.device)], r.truth_index[rows.to(r.boxes.device)])
            for r, rows in zip(sampled, chosen, strict=True)
        ]

    def loss(self, logits: Tensor, rois: list[SampledRoIs], batch: FramePairBatch) -> dict[str, Tensor]:
        """loss_mask: binary cross entropy, mean over RoIs and pixels; 0 without RoIs.

        Args: logits (n, m, m) for the RoIs of all images in order; the batch, for its masks.
        """
        if len(logits) == 0:
            return {"loss_mask": shared_batch.weighted(logits.sum() * 0, 0)}
        targets = torch.cat(
            [mask_targets(m, r.truth_index, r.boxes, logits.shape[-1]) for r, m in zip(rois, batch.masks, strict=True)]
        )
        loss = self.spec.loss_weight * binary_cross_entropy_with_logits(logits, targets.to(logits))
        return {"loss_mask": shared_batch.weighted(loss, len(logits))}


def mask_targets(masks: Tensor, truth_index: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Ground-truth masks cropped to integer-truncated boxes and resized to size x size.

    Args: masks (m, H, W) uint8 of 0/1; truth_index (n,); boxes (n, 4) inclusive corners.
    Returns: (n, size, size) uint8 of 0/1.
    Source: docs/method.md, section 2.9: the published fixed-point bilinear resize of uint8, not "bilinear >= 0.5".
        OpenCV's further rules, for the left and right border and for an exact halving, change nothing on 0 and 1.
    """
    if len(boxes) == 0:
        return masks.new_zeros(0, size, size)
    x1, y1, x2, y2 = boxes.double().trunc().long().unbind(dim=1)
    columns, column_weights = _taps(x1, (x2 - x1 + 1).clamp(min=1), size)
    rows, row_weights = _taps(y1, (y2 - y1 + 1).clamp(min=1), size)
    rows, columns = rows.clamp(0, masks.shape[1] - 1), columns.clamp(0, masks.shape[2] - 1)

    def pixels(row_tap: int, column_tap: int) -> Tensor:
        return masks[truth_index[:, None, None], rows[row_tap][:, :, None], columns[column_tap][:, None, :]].long()

    def line(row_tap: int) -> Tensor:
        left, right = pixels(row_tap, 0), pixels(row_tap, 1)
        return left * column_weights[0][:, None, :] + right * column_weights[1][:, None, :]

    upper = (row_weights[0][:, :, None] * (line(0) >> 4)) >> 16
    lower = (row_weights[1][:, :, None] * (line(1) >> 4)) >> 16
    return ((upper + lower + 2) >> 2).to(torch.uint8)


def _taps(start: Tensor, extent: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two source positions (2, n, size) of each output cell along an axis, and their weights in 1/2048."""
    cells = torch.arange(size, device=start.device, dtype=torch.float64)
    position = ((cells + 0.5) * (extent[:, None] / size) - 0.5).float()
    low = position.floor()
    fraction = position - low
    low = low.long()
    last = extent[:, None] - 1
    taps = torch.stack([low, low + 1]).clamp(min=0).minimum(last) + start[:, None]
    weights = torch.stack([(1 - fraction) * 2048, fraction * 2048]).round().long()
    return taps, weights


def crop_mask(
    probs: Tensor, box: tuple[int, int, int, int], size: tuple[int, int], threshold: float
) -> tuple[Tensor, int, int]:
    """A RoI's mask at frame resolution, within its box.

    Args: probs (m, m); box = integer-truncated x1, y1, x2, y2 in frame pixels; size (height, width).
    Returns: (h, w) bool, the part of the box within the frame, and the row and column of the frame where it begins;
        resized bilinearly with half-pixel centres and replicated border.
    """
    x1, y1, x2, y2 = box
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    resized = interpolate(probs.float()[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    top, left = min(max(y1, 0), size[0]), min(max(x1, 0), size[1])
    bottom, right = max(min(y1 + height, size[0]), top), max(min(x1 + width, size[1]), left)
    return resized[top - y1 : bottom - y1, left - x1 : right - x1] > threshold, top, left


def paste(crop: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """A crop (h, w) on an empty frame of (height, width), its first pixel at row `top` and column `left`."""
    mask = crop.new_zeros(size)
    mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return mask
