"""What the tracker knows of every object so far."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vistrials.models.track_memory import Remembered
from vistrials.specs.model import TrackMemorySpec


class Memory:
    """Embeddings (m, D), boxes (m, 4) and labels (m,) of objects; row = object id.

    Rows are replaced in place and the tensors grow by doubling, so that a frame costs its own objects, not all so far.
    """

    def __init__(self, embeddings: Tensor, boxes: Tensor, labels: Tensor) -> None:
        self._count = len(labels)
        # Copies: rows of these are written to.
        self._embeddings, self._boxes, self._labels = embeddings.clone(), boxes.clone(), labels.clone()

    def __len__(self) -> int:
        return self._count

    @property
    def embeddings(self) -> Tensor:
        return self._embeddings[: self._count]

    @property
    def boxes(self) -> Tensor:
        return self._boxes[: self._count]

    @property
    def labels(self) -> Tensor:
        return self._labels[: self._count]

    def update(self, ids: list[int], embeddings: Tensor, boxes: Tensor) -> None:
        """Known objects as they are now; their labels are never updated."""
        self._embeddings[ids] = embeddings
        self._boxes[ids] = boxes

    def append(self, embeddings: Tensor, boxes: Tensor, labels: Tensor) -> None:
        """New objects, whose ids go on from the last one."""
        end = self._count + len(labels)
        if end > len(self._labels):
            grown = (_grow(rows, 2 * end) for rows in (self._embeddings, self._boxes, self._labels))
            self._embeddings, self._boxes, self._labels = grown
        new = slice(self._count, end)
        self._embeddings[new], self._boxes[new], self._labels[new] = embeddings, boxes, labels
        self._count = end


class MomentumMemory(Memory):
    """Memory in which an object's embedding is made of all that were found of it, as in training; of length 1 each."""

    def __init__(self, embeddings: Tensor, boxes: Tensor, labels: Tensor, momentum: float | None) -> None:
        self._momentum = momentum
        super().__init__(self._first(embeddings), boxes, labels)

    @property
    def embeddings(self) -> Tensor:
        return normalize(_unpack(super().embeddings).embeddings, dim=1)

    def update(self, ids: list[int], embeddings: Tensor, boxes: Tensor) -> None:
        known = _unpack(super().embeddings[ids])
        super().update(ids, _pack(known.after(embeddings, self._momentum)), boxes)

    def append(self, embeddings: Tensor, boxes: Tensor, labels: Tensor) -> None:
        super().append(self._first(embeddings), boxes, labels)

    def _first(self, embeddings: Tensor) -> Tensor:
        return _pack(Remembered.nothing(len(embeddings), embeddings).after(embeddings, self._momentum))


def build_memory(embeddings: Tensor, boxes: Tensor, labels: Tensor, spec: TrackMemorySpec | None) -> Memory:
    """The memory of a tracker, from the objects of its first frame; spec as of `ObjProp.memory_at_inference`."""
    if spec is None:
        return Memory(embeddings, boxes, labels)
    return MomentumMemory(embeddings, boxes, labels, spec.momentum)


def _pack(objects: Remembered) -> Tensor:
    """Of n objects with embeddings (n, D) all there is, (n, 2 D + 1)."""
    return torch.cat([objects.embeddings, objects.directions, objects.counts[:, None]], dim=1)


def _unpack(rows: Tensor) -> Remembered:
    size = rows.shape[1] // 2
    return Remembered(rows[:, :size], rows[:, size:-1], rows[:, -1])


def _grow(rows: Tensor, count: int) -> Tensor:
    return torch.cat([rows, rows.new_empty(count - len(rows), *rows.shape[1:])])
