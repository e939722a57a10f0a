"""Inter-frame affinity: which reference cells a key cell resembles."""

import torch
from torch import Tensor, nn

from vistrials.specs.model import PlainAffinitySpec, WeightedAffinitySpec


class Affinity(nn.Module):
    """A[i, j] = softmax over reference cells i of <R_i, X_j>, or of R_i W X_j with a learnable W.

    Source: ObjProp (arXiv 2111.07529), section 3.2; W from the trial "weighted inter-frame affinity". Without scaling.
    """

    def __init__(self, spec: PlainAffinitySpec | WeightedAffinitySpec, channels: int, num_categories: int) -> None:
        super().__init__()
        self.scope = None if isinstance(spec, PlainAffinitySpec) else spec.scope
        if isinstance(spec, WeightedAffinitySpec):
            count = {"per_sample": spec.num_samples, "shared": 1, "per_category": num_categories}[spec.scope]
            identity = torch.eye(channels).expand(count, -1, -1).clone()
            self.weight = nn.Parameter(identity if spec.init == "identity" else torch.randn_like(identity))

    @property
    def per_category(self) -> bool:
        """Whether the affinity depends on the object's category."""
        return self.scope == "per_category"

    def forward(self, key: Tensor, reference: Tensor, sample: int | None = None, label: int | None = None) -> Tensor:
        """Affinity of one frame pair.

        Args:
            key, reference: (C, H, W).
            sample: position in the training batch; None at inference, where `per_sample` leaves W out.
            label: category (1..K) of the object, read by `per_category`.
        Returns: (S, S), reference cells x key cells; columns sum to 1.
        """
        x, r = key.flatten(1), reference.flatten(1)
        weight = self._weight(sample, label)
        if weight is not None:
            x = weight @ x
        return (r.T @ x).softmax(dim=0)

    def _weight(self, sample: int | None, label: int | None) -> Tensor | None:
        if self.scope == "shared":
            return self.weight[0]
        if self.scope == "per_category":
            if label is None:
                raise ValueError("a per_category affinity needs the object's label")
            return self.weight[label - 1]
        if self.scope == "per_sample" and sample is not None:
            if sample >= len(self.weight):
                raise ValueError(
                    f"model.propagation.affinity.num_samples is {len(self.weight)} but the batch has a position "
                    f"{sample}; raise it to the number of pairs per device"
                )
            return self.weight[sample]
        return None


def spatial_weight(height: int, width: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """exp(-d^2 / sigma^2), d the distance in cells between reference and key cell: (S, S), S = height * width."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=dtype),
        torch.arange(width, device=device, dtype=dtype),
        indexing="ij",
    )
    y, x = y.flatten(), x.flatten()
    squared_distance = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    return torch.exp(-squared_distance / sigma**2)
