"""Propagation head: objects of a reference frame carried to the key frame by inter-frame attention."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, softplus

from vistrials.models import shared_batch
from vistrials.models.affinity import Affinity, gaussian_of_distance
from vistrials.models.initialisation import kaiming_
from vistrials.models.layers import convolutions, map_of_label
from vistrials.models.precision import widen, without_autocast
from vistrials.models.presence_head import PresenceHead
from vistrials.models.propagation_windows import logits_in_windows
from vistrials.models.shared_batch import weighted
from vistrials.models.variants import build_affinity
from vistrials.specs.model import PropagationSpec
from vistrials.structures.frames import FramePairBatch

_MIN_WINDOWED = 10**6  # cells x channels^2: below, on 20 x 12 cells of 48 channels, windows cost more than they save

_CELLS_AT_ONCE = 4096  # of reference frames that are propagated from together: bounds memory

_CHUNK = 16  # objects that go through the mask convolutions at once: bounds memory, 4 MB each and layer at 640 x 384


class PropagationHead(nn.Module):
    """ObjProp's head.

    Source: arXiv 2111.07529, section 3; where the released program differs: docs/method.md, section 3.
    """

    def __init__(self, spec: PropagationSpec, in_channels: int, num_categories: int) -> None:
        super().__init__()
        self.spec = spec
        c = spec.channels
        self.features = nn.Sequential(
            nn.Conv2d(4 * in_channels, c, 1), nn.BatchNorm2d(c), nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(),
            nn.Conv2d(c, c, 1),
        )  # fmt: skip
        self.affinity = build_affinity(spec.affinity, c, num_categories)
        self.mask_convs = nn.ModuleList(convolutions(c, c, spec.num_mask_convs))
        self.upsample = nn.ConvTranspose2d(c, c, 2, stride=2)  # starts from PyTorch's default, as published
        self.logits = nn.Conv2d(c, 1 if spec.class_agnostic else num_categories + 1, 1)
        for module in (*self.features, *self.mask_convs):
            if isinstance(module, nn.Conv2d):
                kaiming_(module)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.bias)
        kaiming_(self.logits, fan_out=num_categories + 1)  # one shared map starts like one of K + 1
        self.presence = PresenceHead(spec.presence, c) if spec.presence else None

    def extract(self, levels: list[Tensor]) -> Tensor:
        """P2..P5 (B, C, ...) -> propagation features (B, C', H, W) at the spec's stride, never in 16 bits."""
        size = levels[{4: 0, 8: 1}[self.spec.stride]].shape[-2:]
        resized = [x if x.shape[-2:] == size else interpolate(x, size=size, mode="bilinear") for x in levels[:4]]
        return widen(self.features(torch.cat(resized, dim=1)))

    def loss(self, key: Tensor, reference: Tensor, batch: FramePairBatch) -> dict[str, Tensor]:
        """loss_propattn, loss_propmask and, of a presence head, loss_proppresence of a batch.

        0 without reference boxes or matches.

        Args: features (B, C', h, w) of key and reference frames; the batch.
        """
        nothing = (key.sum() + reference.sum()) * 0
        first = shared_batch.position(len(key))
        attn_losses, attended, labels, masks = [], [], [], []
        presence_logits, is_present = [], []
        counts = [len(of_image) for of_image in batch.instance_match]
        matches = _split(torch.cat(batch.instance_match).tolist(), counts)  # one transfer for all images
        for image, (boxes, box_labels) in enumerate(zip(batch.reference_boxes, batch.reference_labels, strict=True)):
            if len(boxes) == 0:
                continue
            masses = self.attend(key[image], reference[image], boxes, box_labels, first + image)
            logits = _attention_logits(*masses, self.spec.stride)
            match = _key_instance_of(matches[image], len(boxes))
            present = [row for row, instance in enumerate(match) if instance >= 0]
            instances = torch.tensor([match[row] for row in present], dtype=torch.long, device=logits.device)
            matched = torch.tensor(present, dtype=torch.long, device=logits.device)
            filled = torch.zeros_like(logits)
            filled[matched] = _filled(batch.boxes[image][instances].trunc(), *logits.shape[-2:]).to(logits)
            if self.presence is not None:
                presence_logits.append(self._presence(key[image], reference[image], *masses, boxes))
                is_present.append(torch.zeros_like(presence_logits[-1], dtype=torch.bool).index_fill(0, matched, True))
            attn_losses.append((softplus(logits) - filled * logits).flatten(1).mean(dim=1))
            attended.append(self.attended_features(key[image], logits[matched].sigmoid()))
            labels.append(box_labels[matched])
            masks.append(batch.masks[image][instances])
        loss_attn, loss_mask, loss_presence = nothing, nothing, nothing
        num_boxes, num_matched = sum(map(len, attn_losses)), sum(map(len, labels))
        if num_boxes:
            loss_attn = self.spec.loss_attn_weight * torch.cat(attn_losses).mean()
        if num_matched:
            logits = self.mask_logits(torch.cat(attended), torch.cat(labels))
            loss_mask = binary_cross_entropy_with_logits(logits, torch.cat(masks).to(logits))
            loss_mask = self.spec.loss_mask_weight * loss_mask
        losses = {"loss_propattn": weighted(loss_attn, num_boxes), "loss_propmask": weighted(loss_mask, num_matched)}
        if self.presence is not None:
            if num_boxes:
                loss_presence = self.presence.loss(torch.cat(presence_logits), torch.cat(is_present))
            losses["loss_proppresence"] = weighted(loss_presence, num_boxes)
        return losses

    def _presence(
        self, key: Tensor, reference: Tensor, foreground: Tensor, background: Tensor, boxes: Tensor
    ) -> Tensor:
        """Logits (n,) of the presence head, from what `attend` gives."""
        assert self.presence is not None
        attention = attention_at_cells(foreground - background, self.spec.stride)
        height, width = key.shape[-2:]
        logits: Tensor = self.presence(key, reference, attention, box_cells(boxes, height, width, self.spec.stride))
        return logits

    def attend(
        self, key: Tensor, reference: Tensor, boxes: Tensor, labels: Tensor, sample: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Affinity mass that key cells get from inside and from outside each reference box.

        Args: key, reference (C', h, w); boxes (n, 4) in network pixels; labels (n,); sample as in `Affinity`.
        Returns: foreground and background, (n, h, w) each.
        """
        height, width = key.shape[-2:]
        # On a real clip loss_propmask stayed at .05 in bfloat16 (432 x 240) and fell to .02 in float32 (320 x 180).
        with without_autocast(key):
            inside = box_cells(boxes, height, width, self.spec.stride).flatten(1).to(key)
            foreground, background = torch.empty_like(inside), torch.empty_like(inside)
            for rows, label in self._sharing_affinity(labels):
                foreground[rows], background[rows] = self._mass(key, reference, inside[rows], sample, label)
        return foreground.reshape(-1, height, width), background.reshape(-1, height, width)

    def attend_nearby(self, key: Tensor, reference: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`attend` as at inference: the affinity falls with the distance of the cells, after its softmax."""
        height, width = key.shape[-2:]
        with without_autocast(key):
            inside = box_cells(boxes, height, width, self.spec.stride).flatten(1).to(key)
            foreground, background = torch.empty_like(inside), torch.empty_like(inside)
            for rows, label in self._sharing_affinity(labels):
                foreground[rows], background[rows] = self._nearby_mass(key, reference, inside[rows], label)
        return foreground.reshape(-1, height, width), background.reshape(-1, height, width)

    def _mass(
        self, key: Tensor, reference: Tensor, inside: Tensor, sample: int | None, label: int | None
    ) -> tuple[Tensor, Tensor]:
        """From inside and outside of regions (n, S); of an affinity of the user's own from its whole matrix."""
        if isinstance(self.affinity, Affinity):
            foreground = self.affinity.mass(key, reference, inside, sample, label)
            return foreground, 1 - foreground
        affinity = self.affinity(key, reference, sample, label)
        return inside @ affinity, (1 - inside) @ affinity

    def _nearby_mass(self, key: Tensor, reference: Tensor, inside: Tensor, label: int | None) -> tuple[Tensor, Tensor]:
        """As `Affinity.nearby_mass`; of an affinity of the user's own from its whole matrix."""
        sigma = self.spec.sigma_cells
        if isinstance(self.affinity, Affinity):
            return self.affinity.nearby_mass(key, reference, inside, sigma, label)
        near = torch.kron(*(gaussian_of_distance(cells, sigma, key) for cells in key.shape[-2:]))
        weighted = self.affinity(key, reference, None, label) * near
        return inside @ weighted, (1 - inside) @ weighted

    def _sharing_affinity(self, labels: Tensor) -> list[tuple[Tensor | slice, int | None]]:
        """Rows of objects that have one affinity, and the label that it depends on."""
        if not self.affinity.per_category:
            return [(slice(None), None)]
        return [(labels == label, label) for label in labels.unique().tolist()]

    def attended_features(self, key: Tensor, attention: Tensor) -> Tensor:
        """Key features (C', h, w) weighted by attention (n, H, W) at pixels, resized back. Returns: (n, C', h, w)."""
        resized = interpolate(attention[:, None], size=key.shape[-2:], mode="bilinear")
        return key[None] * resized

    def mask_logits(self, features: Tensor, labels: Tensor) -> Tensor:
        """Attended features (n, C', h, w), labels (n,) in 1..K -> logits of the labels' maps at pixels, (n, H, W) of
        H = stride * h."""
        return self._at_pixels(self._maps(features, labels))

    def _maps(self, features: Tensor, labels: Tensor) -> Tensor:
        """`mask_logits` at twice the resolution of cells, (n, 2h, 2w)."""
        x = features
        for conv in self.mask_convs:
            x = conv(x).relu_()
        return widen(map_of_label(self.logits, self.upsample(x).relu_(), labels))

    def _at_pixels(self, maps: Tensor) -> Tensor:
        return interpolate(maps[:, None], scale_factor=self.spec.stride // 2, mode="bilinear")[:, 0]

    @torch.no_grad()
    def propagate(
        self,
        key: Tensor,
        references: Sequence[Tensor],
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        objects: Sequence[list[int]] | None = None,
    ) -> Tensor:
        """Mask probabilities in the key frame of objects stored with reference frames, by presence where it is learnt.

        Args:
            key: (C', h, w).
            references, boxes, labels: per reference frame features (C', h, w), and of its objects the boxes (n, 4) in
                network pixels and labels (n,) in 1..K.
            objects: per reference frame which object of the result each box is, 0, 1, ..., none twice; by default each
                box of all frames is one of its own.
        Returns: (objects, H, W) at pixels, H = stride * h; of an object of several frames the mean.
        """
        counts = [len(of_frame) for of_frame in boxes]
        objects = _split(list(range(sum(counts))), counts) if objects is None else objects
        height, width = key.shape[-2:]
        num_objects = 1 + max(map(max, objects))
        sums = key.new_zeros(num_objects, self.spec.stride * height, self.spec.stride * width)
        at_once = max(1, _CELLS_AT_ONCE // (height * width))
        for first in range(0, len(references), at_once):
            part = slice(first, first + at_once)
            probs = self._propagate_together(key, references[part], boxes[part], labels[part])
            for rows, of_frame in zip(objects[part], probs.split(counts[part]), strict=True):
                sums[rows] += of_frame
        times = Counter(chain.from_iterable(objects))
        return sums / sums.new_tensor([times[row] for row in range(num_objects)])[:, None, None]

    def _propagate_together(
        self, key: Tensor, references: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        """`propagate` of each box by itself, (sum of n, H, W)."""
        masses = [self.attend_nearby(key, *of_frame) for of_frame in zip(references, boxes, labels, strict=True)]
        foreground, background = (torch.cat(parts) for parts in zip(*masses, strict=True))
        in_windows = key.device.type == "cpu" and key.numel() * len(key) >= _MIN_WINDOWED
        maps = (self._maps_in_windows if in_windows else self._maps_in_chunks)(key, foreground, background, labels)
        probs = self._at_pixels(maps).sigmoid()
        if self.presence is None:
            return probs
        presence = [
            self._presence(key, reference, *of_frame, in_frame)
            for reference, of_frame, in_frame in zip(references, masses, boxes, strict=True)
        ]
        return probs * torch.cat(presence).sigmoid()[:, None, None]

    def _maps_in_chunks(self, key: Tensor, foreground: Tensor, background: Tensor, labels: Sequence[Tensor]) -> Tensor:
        maps = []
        for f, b, of_labels in zip(
            *(t.split(_CHUNK) for t in (foreground, background, torch.cat(list(labels)))), strict=True
        ):
            maps.append(self._maps(key[None] * attention_at_cells(f - b, self.spec.stride)[:, None], of_labels))
        return torch.cat(maps)

    def _maps_in_windows(self, key: Tensor, foreground: Tensor, background: Tensor, labels: Sequence[Tensor]) -> Tensor:
        # What a frame without objects looks like is the same for those that share an affinity to a reference frame.
        all_labels = torch.cat(list(labels))
        first_rows: list[int] = []
        empty_of = [0] * len(all_labels)
        for rows_of_frame in torch.arange(len(all_labels)).split([len(of_frame) for of_frame in labels]):
            for sharing, _ in self._sharing_affinity(all_labels[rows_of_frame]):
                rows = rows_of_frame[sharing].tolist()
                for row in rows:
                    empty_of[row] = len(first_rows)
                first_rows += rows[:1]
        totals = foreground[first_rows] + background[first_rows]
        logits = logits_in_windows(
            cast(list[nn.Conv2d], list(self.mask_convs)),
            self.upsample,
            self.logits,
            key,
            attention_at_cells(foreground - background, self.spec.stride),
            attention_at_cells(-totals, self.spec.stride),
            empty_of,
            foreground,
            all_labels,
        )
        return widen(logits)


def attention_at_cells(logits: Tensor, stride: int) -> Tensor:
    """Sigmoid of logits (n, h, w) resized to pixels, and that resized back to cells, without the pixels: (n, h, w).

    Back at the cells only the two pixels around each centre count, and they lie half a pixel from it.
    """
    beside = 1 / (2 * stride)
    points = [point for row in _beside_centres(logits, 1, beside) for point in _beside_centres(row, 2, beside)]
    return torch.stack([point.sigmoid() for point in points]).mean(dim=0)


def _beside_centres(x: Tensor, dim: int, share: float) -> tuple[Tensor, Tensor]:
    """Linear interpolation along one axis, that share of a cell before and behind each centre; the border goes on."""
    last = x.shape[dim] - 1
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, last)], dim)
    behind = torch.cat([x.narrow(dim, 1, last), x.narrow(dim, last, 1)], dim)
    return torch.lerp(x, before, share), torch.lerp(x, behind, share)


def box_cells(boxes: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Cells that boxes (n, 4) cover: rows y1 // stride .. y2 // stride - 1, columns so too; (n, height, width) bool."""
    return _filled(boxes // stride, height, width)


def _filled(corners: Tensor, height: int, width: int) -> Tensor:
    """Rows y1 .. y2 - 1 and columns x1 .. x2 - 1 of whole-numbered corners (n, 4): (n, height, width) bool."""
    x1, y1, x2, y2 = corners.unbind(dim=1)
    rows, columns = (torch.arange(side, device=corners.device) for side in (height, width))
    in_rows = (rows >= y1[:, None]) & (rows < y2[:, None])
    in_columns = (columns >= x1[:, None]) & (columns < x2[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]


def _attention_logits(foreground: Tensor, background: Tensor, stride: int) -> Tensor:
    """Both (n, h, w) at cells -> (n, H, W) at pixels; of a softmax over the two, the foreground's logit is this."""
    foreground, background = (
        interpolate(cells[:, None], scale_factor=stride, mode="bilinear")[:, 0] for cells in (foreground, background)
    )
    return foreground - background


def _split(values: list[int], counts: list[int]) -> list[list[int]]:
    ends = list(accumulate(counts))
    return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _key_instance_of(instance_match: list[int], num_references: int) -> list[int]:
    """For each reference box the index of its instance in the key frame, -1 where absent."""
    match = [-1] * num_references
    for instance, reference in enumerate(instance_match):
        if reference > 0:
            match[reference - 1] = instance
    return match
