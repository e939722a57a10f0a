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

    def after(self, embeddings: Tensor, momentum: float | None) -> "Remembered":
        """The same objects with an embedding (n, D) of one frame more each.

        An object that was never seen takes it as it is; otherwise it gets the share `newest_share`, through which
        there is no gradient.
        """
        share = torch.where(self.counts > 0, newest_share(embeddings, self, momentum), 1)
        return Remembered(
            torch.lerp(self.embeddings, embeddings, share[:, None]),
            self.directions + normalize(embeddings.detach(), dim=1),
            self.counts + 1,
        )


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
    splits = [e.split([len(b) for b in p.reference_boxes]) for e, p in zip(embeddings, pairs, strict=True)]
    found: list[Tensor] = []
    boxes, labels, objects, matches = [], [], [], []
    for image, num_objects in enumerate(_count_objects(pairs)):
        held = Remembered(
            *(embeddings[0].new_zeros(num_objects, *sizes) for sizes in (embeddings[0].shape[1:],) * 2 + ((),))
        )
        last_boxes = pairs[0].reference_boxes[image].new_zeros(num_objects, 4)
        last_labels = pairs[0].reference_labels[image].new_zeros(num_objects)
        match = torch.zeros_like(pairs[0].instance_match[image])
        for of_images, pair in zip(splits, pairs, strict=True):
            rows = pair.reference_objects[image]
            seen = Remembered(*(of_all[rows] for of_all in held)).after(of_images[image], momentum)
            held = Remembered(*(of_all.index_copy(0, rows, new) for of_all, new in zip(held, seen, strict=True)))
            last_boxes = last_boxes.index_copy(0, rows, pair.reference_boxes[image])
            last_labels = last_labels.index_copy(0, rows, pair.reference_labels[image])
            # 0 of what is absent; the same row in all frames that show the object.
            match = torch.maximum(match, torch.cat([rows.new_zeros(1), 1 + rows])[pair.instance_match[image]])
        found.append(held.embeddings)
        boxes.append(last_boxes)
        labels.append(last_labels)
        objects.append(torch.arange(num_objects, device=match.device))
        matches.append(match)
    batch = replace(
        pairs[-1], reference_boxes=boxes, reference_labels=labels, reference_objects=objects, instance_match=matches
    )
    return torch.cat(found), batch


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
