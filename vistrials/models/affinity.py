"""Inter-frame affinity: which reference cells a key cell resembles."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from vistrials.specs.model import PlainAffinitySpec, WeightedAffinitySpec

_ENTRIES_AT_ONCE = 1 << 20  # of the affinity: 4 MB in float32
_NEXT_TO_NOTHING = 1e-12  # of an affinity of at most 1


class Affinity(nn.Module):
    """A[i, j] = softmax over reference cells i of <R_i, X_j>, or of R_i W X_j with a learnable W.

    In the place of the dot product the spec may have another likeness, and leave out reference cells.

    Source: ObjProp (arXiv 2111.07529), section 3.2; W from the trial "weighted inter-frame affinity". Without scaling.
    Cosines with a temperature, the k likest and a window: label propagation of arXiv 2006.14613; negative squared
    distances: memory reading of arXiv 2106.05210.
    """

    def __init__(self, spec: PlainAffinitySpec | WeightedAffinitySpec, channels: int, num_categories: int) -> None:
        super().__init__()
        self.scope = None if isinstance(spec, PlainAffinitySpec) else spec.scope
        self.spec = spec if isinstance(spec, PlainAffinitySpec) else PlainAffinitySpec()
        if isinstance(spec, WeightedAffinitySpec):
            as_published = spec.scope != "per_sample"
            self.weight_at_inference = as_published if spec.at_inference is None else spec.at_inference
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
            sample: position in the training batch over all devices; None at inference, where W may be left out.
            label: category (1..K) of the object, read by `per_category`.
        Returns: (S, S), reference cells x key cells; columns sum to 1.
        """
        x, r = self._factors(key, reference, sample, label)
        return self._shares(x.T, r, 0, (key.shape[-2], key.shape[-1])).T

    def mass(
        self, key: Tensor, reference: Tensor, inside: Tensor, sample: int | None = None, label: int | None = None
    ) -> Tensor:
        """Affinity that key cells get from inside of regions, `inside @ forward(...)`; for training.

        Args: inside (n, S), 1 on the reference cells of each region, else 0; the others as in `forward`.
        Returns: (n, S). A few rows of key cells at a time, computed once more for their gradients, so that the S x S
            matrix never exists.
        """
        height, width = key.shape[-2:]
        x, r = self._factors(key, reference, sample, label)
        x, regions = x.T, inside.T.contiguous()
        rows_at_once = max(1, _ENTRIES_AT_ONCE // (width * len(x)))

        def of_rows(x_rows: Tensor, r: Tensor, first: int) -> Tensor:
            return self._shares(x_rows, r, first, (height, width)) @ regions

        if rows_at_once >= height:
            return of_rows(x, r, 0).T
        masses = [
            checkpoint(of_rows, cells, r, part * rows_at_once, use_reentrant=False, preserve_rng_state=False)
            for part, cells in enumerate(x.split(rows_at_once * width))
        ]
        return torch.cat(masses).T

    def _shares(self, x: Tensor, r: Tensor, first_row: int, size: tuple[int, int]) -> Tensor:
        """Affinity (n, S) of whole rows of key cells, the first of them `first_row`; factors x (n, C'), r (C', S)."""
        logits = x @ r
        if self._leaves_out:
            logits = self._without_left_out(logits, first_row, size)
        return logits.softmax(dim=1)

    def nearby_mass(
        self, key: Tensor, reference: Tensor, inside: Tensor, sigma: float, label: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Affinity that key cells get from inside and outside of regions, less from afar; for inference.

        Args:
            key, reference: (C, H, W).
            inside: (n, S), 1 on the reference cells of each region, else 0; of the features' type.
            sigma: each entry counts exp(-d^2 / sigma^2), d the distance in cells between reference and key cell.
            label: as in `forward`.
        Returns: (n, S) each. A few rows of key cells at a time, so that the S x S matrix never exists.
        """
        height, width = key.shape[-2:]
        x, r = self._factors(key, reference, None, label)
        x = x.T
        # Neither changes what a sum of this type can hold; denormal numbers would take three times as long.
        least = 2 * math.log(torch.finfo(x.dtype).eps)
        near_y, near_x = (
            torch.where(near < _NEXT_TO_NOTHING, 0, near)
            for near in (gaussian_of_distance(cells, sigma, x) for cells in (height, width))
        )
        regions = torch.cat([inside, torch.ones_like(inside[:1])]).T.contiguous()  # the last one is the whole frame
        masses = x.new_empty(len(x), regions.shape[1])
        rows_at_once = max(1, _ENTRIES_AT_ONCE // (width * len(x)))
        for first in range(0, height, rows_at_once):
            last = min(first + rows_at_once, height)
            cells = slice(first * width, last * width)
            weights = x[cells] @ r
            if self._leaves_out:
                weights = self._without_left_out(weights, first, (height, width))
            weights.sub_(weights.amax(dim=1, keepdim=True)).clamp_(min=least).exp_()
            total = weights.sum(dim=1, keepdim=True)
            by_place = weights.view(last - first, width, height, width)
            by_place.mul_(near_x[None, :, None, :]).mul_(near_y[first:last, None, :, None])
            masses[cells] = (weights @ regions).div_(total)
        foreground, whole = masses.T[:-1], masses.T[-1]
        return foreground, whole - foreground

    def _factors(self, key: Tensor, reference: Tensor, sample: int | None, label: int | None) -> tuple[Tensor, Tensor]:
        """Of key and reference features (C, H, W), (C', S) each, whose products are the logits.

        Up to a number for each key cell, which the softmax does not see.
        """
        weight = self._weight(sample, label)
        x, r = key.flatten(1) if weight is None else weight @ key.flatten(1), reference.flatten(1)
        if self.spec.similarity == "cosine":
            x, r = normalize(x, dim=0), normalize(r, dim=0)
        elif self.spec.similarity == "negative_l2":  # -|r - x|^2 = 2 <r, x> - |r|^2 - |x|^2
            x, r = torch.cat([2 * x, torch.ones_like(x[:1])]), torch.cat([r, -r.square().sum(dim=0, keepdim=True)])
        return x if self.spec.logit_scale == 1 else self.spec.logit_scale * x, r

    @property
    def _leaves_out(self) -> bool:
        return self.spec.top_k is not None or self.spec.window_cells is not None

    def _without_left_out(self, logits: Tensor, first_row: int, size: tuple[int, int]) -> Tensor:
        """Logits (n, S) of whole rows of key cells, the first of them `first_row`, with -inf where none counts.

        size: (height, width) of the features.
        """
        height, width = size
        if (reach := self.spec.window_cells) is not None:
            near_y, near_x = (
                (torch.arange(side, device=logits.device)[:, None] - torch.arange(side, device=logits.device)).abs()
                <= reach
                for side in (height, width)
            )
            near_y = near_y[first_row : first_row + len(logits) // width]
            is_near = near_y[:, None, :, None] & near_x[None, :, None, :]
            logits = logits.masked_fill(~is_near.reshape(logits.shape), -torch.inf)
        if (top_k := self.spec.top_k) is not None:
            least = logits.topk(min(top_k, logits.shape[1]), dim=1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        return logits

    def _weight(self, sample: int | None, label: int | None) -> Tensor | None:
        if self.scope is None or (sample is None and not self.weight_at_inference):
            return None
        if self.scope == "shared":
            return self.weight[0]
        if self.scope == "per_category":
            if label is None:
                raise ValueError("a per_category affinity needs the object's label")
            return self.weight[label - 1]
        if sample is None:
            return self.weight.mean(dim=0)
        if sample >= len(self.weight):
            raise ValueError(
                f"model.propagation.affinity.num_samples is {len(self.weight)} but the batch has a position "
                f"{sample}; raise it to train.batch_size"
            )
        return self.weight[sample]


def gaussian_of_distance(cells: int, sigma: float, like: Tensor) -> Tensor:
    """exp(-d^2 / sigma^2) for the distances d between cells of an axis: (cells, cells), of the type of `like`.

    The weight of a pair of cells is the product over both axes.
    """
    position = torch.arange(cells, device=like.device, dtype=like.dtype)
    squared_distance = (position[:, None] - position) ** 2
    return torch.exp(-squared_distance / sigma**2)
