"""Track head: an embedding of RoIs, and match scores against reference objects."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, relu

from vistrials.models.box_head import SampledRoIs
from vistrials.models.initialisation import normal_
from vistrials.models.layers import fully_connected
from vistrials.models.precision import widen, without_autocast
from vistrials.models.shared_batch import weighted
from vistrials.specs.model import TrackHeadSpec
from vistrials.structures.frames import FramePairBatch


class TrackHead(nn.Module):
    """Fully connected layers with ReLU between them (none after the last).

    Source: Yang et al., Video Instance Segmentation (MaskTrack R-CNN), section 4.
    """

    def __init__(self, spec: TrackHeadSpec, channels: int, roi_size: int) -> None:
        super().__init__()
        self.spec = spec
        fcs = fully_connected(channels * roi_size**2, spec.fc_channels, spec.num_fcs)
        for fc in fcs:
            normal_(fc, 0.01)
        self.fcs = nn.ModuleList(fcs)

    def forward(self, features: Tensor) -> Tensor:
        """RoI features (n, C, s, s) -> embeddings (n, D)."""
        x = features.flatten(1)
        for i, fc in enumerate(self.fcs):
            x = fc(relu(x) if i else x)
        return widen(x)

    def loss(self, key: Tensor, reference: Tensor, rois: list[SampledRoIs], batch: FramePairBatch) -> dict[str, Tensor]:
        """loss_match, and match_acc over positives: which reference object, if any, each positive RoI shows.

        Args: embeddings (n, D) of the RoIs and (m, D) of the reference boxes of all images in order; the RoIs; the
            batch, for its reference boxes and instance_match.
        Returns: cross entropy of the positives over *all* sampled RoIs of the image, mean over images.
        """
        total = (key.sum() + reference.sum()) * 0
        correct = total.detach()
        keys = key.split([len(r.boxes) for r in rois])
        references = reference.split([len(boxes) for boxes in batch.reference_boxes])
        for k, r, sampled, match in zip(keys, references, rois, batch.instance_match, strict=True):
            target = match[sampled.truth_index]
            if len(target) == 0 or (self.spec.skip_single_positive_match and len(target) == 1):
                continue
            if self.spec.normalised:
                k, r = normalize(k, dim=1), normalize(r, dim=1)
            scores = match_scores(k, r) * self.spec.logit_scale
            total = total + cross_entropy(scores[: len(target)], target, reduction="sum") / len(k)
            correct = correct + (scores[: len(target)].detach().argmax(dim=1) == target).to(k).sum()
        num_positives = sum(r.num_positives for r in rois)
        return {
            "loss_match": self.spec.loss_weight * total / len(rois),
            "match_acc": weighted(correct / max(num_positives, 1), num_positives),
        }


def match_scores(detections: Tensor, memory: Tensor) -> Tensor:
    """Dot products of embeddings (n, D) and (m, D), column 0 the constant 0 of a new object. Returns: (n, 1 + m).

    Of L2-normalised embeddings at test time, as published, and under `normalised` in training too.
    """
    with without_autocast(detections):
        scores = detections @ memory.T
    return torch.cat([scores.new_zeros(len(scores), 1), scores], dim=1)
