"""What the tracker knows of every object so far."""

import torch
from torch import Tensor


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


def _grow(rows: Tensor, count: int) -> Tensor:
    return torch.cat([rows, rows.new_empty(count - len(rows), *rows.shape[1:])])
