"""Presence head: whether an object of a reference frame is in sight in the key frame."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from vistrials.specs.model import PresenceSpec


class PresenceHead(nn.Module):
    """Two layers over the object's mean features in both frames and the peak of its attention.

    It learns beside the propagation and changes nothing of it: no gradient leaves it.
    Source: object scores of memory trackers (SAM 2, arXiv 2408.00714, section 4, occlusion prediction).
    """

    def __init__(self, spec: PresenceSpec, channels: int) -> None:
        super().__init__()
        self.loss_weight = spec.loss_weight
        self.hidden = nn.Linear(2 * channels + 1, spec.channels)
        self.logit = nn.Linear(spec.channels, 1)

    def forward(self, key: Tensor, reference: Tensor, attention: Tensor, inside: Tensor) -> Tensor:
        """Logits (n,) of objects.

        Args: key, reference (C', h, w); attention (n, h, w) in the key frame; inside (n, h, w), 1 in the object's box
            in the reference frame, else 0.
        """
        pooled = [
            _mean(features.detach(), weights.detach()) for features, weights in ((key, attention), (reference, inside))
        ]
        peak = attention.detach().flatten(1).amax(dim=1, keepdim=True)
        logits: Tensor = self.logit(relu(self.hidden(torch.cat([*pooled, peak], dim=1))))[:, 0]
        return logits

    def loss(self, logits: Tensor, is_present: Tensor) -> Tensor:
        """Logits (n,), is_present (n,) bool -> the weighted mean cross-entropy."""
        return self.loss_weight * binary_cross_entropy_with_logits(logits, is_present.to(logits))


def _mean(features: Tensor, weights: Tensor) -> Tensor:
    """Of features (C', h, w) under weights (n, h, w), which may be 0 everywhere: (n, C')."""
    cells = weights.flatten(1).to(features)
    return cells @ features.flatten(1).T / cells.sum(dim=1, keepdim=True).clamp(min=torch.finfo(cells.dtype).eps)
