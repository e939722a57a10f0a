"""Track memory: embeddings of objects over several frames, as a tracker holds them, in training."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vistrials.structures.frames import FramePairBatch


class Remembered(NamedTuple):
    """Objects, one to a row.

    embeddings: (n, D); directions: (n, D), sum of what they were made of, each of length 1; counts: (n,), its number.
    """

    embeddings: Tensor
    directions: Tensor
    counts: Tensor

    @classmethod
    def nothing(cls, num: int, like: Tensor) -> "Remembered":
        """Objects that were never seen, for embeddings (m, D) such as these."""
        return cls(like.new_zeros(num, like.shape[1]), like.new_zeros(num, like.shape[1]), like.new_zeros(num))

    def after(self, embeddings: Tensor, momentum: float | None) -> "Remembered":
        """The same objects, with an embedding (n, D) of one frame more each.

        Of it they get the share `newest_share`, through which there is no gradient; all of it the first time.
        """
        share = torch.where(self.counts > 0, newest_share(embeddings, self, momentum), 1)
        return Remembered(
            torch.lerp(self.embeddings, embeddings, share[:, None]),
            self.directions + normalize(embeddings.detach(), dim=1),
            self.counts + 1,
        )

    def at(self, rows: Tensor) -> "Remembered":
        """Some of the objects."""
        return Remembered(*(of_all[rows] for of_all in self))

    def replaced(self, rows: Tensor, objects: "Remembered") -> "Remembered":
        """With others in the place of some."""
        return Remembered(*(of_all.index_copy(0, rows, new) for of_all, new in zip(self, objects, strict=True)))


def newest_share(embeddings: Tensor, remembered: Remembered, momentum: float | None) -> Tensor:
    """What share of an object's memory its newest embedding (n, D) takes; (n,).

    1 - momentum or, with None, its mean cosine to those before, at least 0: what looks otherwise, as where something is
    in front of the object, hardly counts.
    """
    if momentum is not None:
        return torch.full_like(remembered.counts, 1 - momentum)
    cosines = (normalize(embeddings.detach(), dim=1) * remembered.directions).sum(dim=1)
    return (cosines / remembered.counts.clamp(min=1)).clamp(min=0)


def remember(
    embeddings: list[Tensor], pairs: list[FramePairBatch], momentum: float | None
) -> tuple[Tensor, FramePairBatch]:
    """What a tracker remembers after the reference frames of each key frame, in the place of one reference frame.

    Args: per reference frame, in the order of memory, embeddings (m, D) of the boxes of all images; the batches of
        `FramePairBatch.by_reference`; momentum as of `newest_share`.
    Returns: embeddings (n, D) of the objects of all images; the batch whose reference boxes and labels are those of
        each object where it was seen last, and whose instance_match leads there.
    Source: CTVIS (Ying et al., ICCV 2023, arXiv 2307.12616), section 3.2, with the similarity-guided fusion of IDOL
        (arXiv 2203.14208). There every frame of a clip in turn is matched, half of the time against the memory, with
        embeddings of others as noise; here the key frame alone, always, without noise.
    """
    of_images = [e.split([len(b) for b in p.reference_boxes]) for e, p in zip(embeddings, pairs, strict=True)]
    remembered: list[Tensor] = []
    boxes, labels, objects, matches = [], [], [], []
    for image, num in enumerate(_count_objects(pairs)):
        held = Remembered.nothing(num, embeddings[0])
        last_boxes = pairs[0].reference_boxes[image].new_zeros(num, 4)
        last_labels = pairs[0].reference_labels[image].new_zeros(num)
        match = torch.zeros_like(pairs[0].instance_match[image])
        for found, pair in zip(of_images, pairs, strict=True):
            rows = pair.reference_objects[image]
            held = held.replaced(rows, held.at(rows).after(found[image], momentum))
            last_boxes = last_boxes.index_copy(0, rows, pair.reference_boxes[image])
            last_labels = last_labels.index_copy(0, rows, pair.reference_labels[image])
            # 0 where it is absent; else the same row in every frame.
            match = torch.maximum(match, torch.cat([rows.new_zeros(1), 1 + rows])[pair.instance_match[image]])
        remembered.append(held.embeddings)
        boxes.append(last_boxes)
        labels.append(last_labels)
        objects.append(torch.arange(num, device=match.device))
        matches.append(match)
    batch = replace(
        pairs[-1], reference_boxes=boxes, reference_labels=labels, reference_objects=objects, instance_match=matches
    )
    return torch.cat(remembered), batch


def _count_objects(pairs: list[FramePairBatch]) -> list[int]:
    """Of each image, over its reference frames; one transfer for all."""
    of_frames = [objects for pair in pairs for objects in pair.reference_objects]
    numbers = torch.cat(of_frames).tolist()
    num_images = len(pairs[0].reference_objects)
    counts, first = [0] * num_images, 0
    for i, objects in enumerate(of_frames):
        image = i % num_images
        counts[image] = max([counts[image], *(1 + number for number in numbers[first : first + len(objects)])])
        first += len(objects)
    return counts
