"""Box head: RoI sampling, classification and box regression, and detections at test time."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from vistrials.geometry import boxes as box_ops
from vistrials.models.initialisation import kaiming_, normal_, xavier_
from vistrials.models.layers import convolutions, fully_connected
from vistrials.models.losses import smooth_l1
from vistrials.models.matching import assign
from vistrials.models.precision import widen
from vistrials.models.shared_batch import weighted
from vistrials.models.variants import Sampler, build_sampler
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import AssignerSpec, BoxHeadSpec
from vistrials.structures.frames import FramePairBatch


@dataclass(slots=True)
class SampledRoIs:
    """RoIs of one image that enter the losses: positives first, then negatives.

    boxes: (n, 4); truth_index: (p,) int64, the ground truth of each positive; num_positives: p.
    """

    boxes: Tensor
    truth_index: Tensor

    @property
    def num_positives(self) -> int:
        return len(self.truth_index)

    @property
    def positive_boxes(self) -> Tensor:
        return self.boxes[: self.num_positives]


@dataclass(slots=True)
class Detections:
    """Detections of one frame. boxes: (n, 4) in pixels of the original frame; scores: (n,); labels: (n,) in 1..K."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.scores)


def sample_rois(
    proposals: list[Tensor], ground_truth: list[Tensor], assigner: AssignerSpec, sample_boxes: Sampler
) -> list[SampledRoIs]:
    """Per image: proposals (n, 4) assigned to ground truth (m, 4), the ground truth itself prepended, then sampled."""
    ground_truth = [truth.to(of_image) for truth, of_image in zip(ground_truth, proposals, strict=True)]
    assigned = [
        torch.cat([torch.arange(1, len(truth) + 1, device=of_image.device), assign(of_image, truth, assigner)])
        for of_image, truth in zip(proposals, ground_truth, strict=True)
    ]
    boxes = [torch.cat(parts) for parts in zip(ground_truth, proposals, strict=True)]
    return [
        SampledRoIs(of_image[torch.cat([positives, negatives])], indices[positives] - 1)
        for of_image, indices, (positives, negatives) in zip(
            boxes, assigned, sample_boxes(boxes, ground_truth, assigned), strict=True
        )
    ]


class BoxHead(nn.Module):
    """Shared convolutions (none as published) and fully connected layers, then K + 1 class logits and box deltas.

    Deltas are 4 (K + 1); background is 0.
    """

    def __init__(self, spec: BoxHeadSpec, channels: int, num_categories: int) -> None:
        super().__init__()
        self.spec = spec
        self.sample_boxes = build_sampler(spec.sampler, "model.box_head.sampler")
        fcs = fully_connected(channels * spec.roi_size**2, spec.fc_channels, spec.num_fcs)
        self.logits = nn.Linear(spec.fc_channels, num_categories + 1)
        self.deltas = nn.Linear(spec.fc_channels, 4 * (num_categories + 1))
        for fc in fcs:
            xavier_(fc)
        self.fcs = nn.ModuleList(fcs)
        convs = convolutions(channels, channels, spec.num_convs)
        for conv in convs:
            kaiming_(conv)
        self.convs = nn.ModuleList(convs)
        normal_(self.logits, 0.01)
        normal_(self.deltas, 0.001)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """RoI features (n, C, s, s) -> logits (n, K + 1), deltas (n, 4 (K + 1)), never in 16 bits."""
        x = features
        for conv in self.convs:
            x = relu(conv(x))
        x = x.flatten(1)
        for fc in self.fcs:
            x = relu(fc(x))
        return widen(self.logits(x)), widen(self.deltas(x))

    def sample(self, proposals: list[Tensor], batch: FramePairBatch) -> list[SampledRoIs]:
        """The RoIs of every image that enter losses. Args: per image proposals (n, 4); the batch, for its boxes."""
        return sample_rois(proposals, batch.boxes, self.spec.assigner, self.sample_boxes)

    def loss(self, logits: Tensor, deltas: Tensor, rois: list[SampledRoIs], batch: FramePairBatch) -> dict[str, Tensor]:
        """loss_cls, loss_bbox, both over the number of sampled RoIs, and acc, the fraction classified right.

        Args: outputs of `forward` for the RoIs of all images in order; the batch, for its boxes and labels.
        """
        targets = torch.cat(
            [
                torch.cat([truth[r.truth_index], truth.new_zeros(len(r.boxes) - r.num_positives)])
                for r, truth in zip(rois, batch.labels, strict=True)
            ]
        )
        count = max(len(targets), 1)
        positives = _positions_of_positives(rois).to(targets.device)
        positive_boxes = torch.cat([r.positive_boxes for r in rois])
        truth = torch.cat([b.to(r.boxes)[r.truth_index] for r, b in zip(rois, batch.boxes, strict=True)])
        box_targets = box_ops.encode(positive_boxes, truth, self.spec.delta_stds)
        predicted = deltas.unflatten(1, (-1, 4))[positives, targets[positives]]
        loss_bbox = smooth_l1(predicted, box_targets, self.spec.smooth_l1_beta).sum() / count
        return {
            "loss_cls": weighted(
                self.spec.loss_cls_weight * cross_entropy(logits, targets, reduction="sum") / count, len(targets)
            ),
            "loss_bbox": weighted(self.spec.loss_bbox_weight * (loss_bbox + deltas.sum() * 0), len(targets)),
            "acc": weighted((logits.detach().argmax(dim=1) == targets).to(logits).sum() / count, len(targets)),
        }

    def detect(
        self,
        logits: Tensor,
        deltas: Tensor,
        proposals: Tensor,
        image_size: tuple[int, int],
        scale: float,
        spec: InferenceSpec,
    ) -> Detections:
        """Detections of one frame.

        Args: logits (n, K + 1), deltas (n, 4 (K + 1)) of proposals (n, 4); image_size (height, width) before padding;
            scale = network pixels per original pixel.
        Returns: class by class in proposal order; by descending score where more than the maximum survive.
        Source: docs/method.md, section 4; boxes are divided by the scale before NMS.
        """
        scores = logits.softmax(dim=1)
        boxes = box_ops.decode(proposals, deltas, self.spec.delta_stds, image_size) / scale
        boxes = boxes.unflatten(1, (-1, 4))
        labels, rows = (spec.score_threshold < scores[:, 1:].T).nonzero().unbind(dim=1)  # class by class
        labels = labels + 1
        all_boxes, all_scores = boxes[rows, labels], scores[rows, labels]
        kept = box_ops.nms_within(all_boxes, all_scores, labels, spec.nms_iou)
        all_boxes, all_scores, all_labels = all_boxes[kept], all_scores[kept], labels[kept]
        if len(all_scores) > spec.max_detections:
            all_scores, order = all_scores.topk(spec.max_detections)
            all_boxes, all_labels = all_boxes[order], all_labels[order]
        return Detections(all_boxes, all_scores, all_labels)


def _positions_of_positives(rois: list[SampledRoIs]) -> Tensor:
    """Where the positives stand among the RoIs of all images, (p,) int64, without asking the device."""
    positions: list[int] = []
    first = 0
    for r in rois:
        positions += range(first, first + r.num_positives)
        first += len(r.boxes)
    return torch.tensor(positions, dtype=torch.long)
