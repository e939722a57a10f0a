"""Parts of a batch draw and count as the whole does; here the other part's answers are known beforehand."""

from collections.abc import Sequence

import pytest
import torch

from vistrials.models.box_head import SampledRoIs
from vistrials.models.mask_head import MaskHead
from vistrials.models.matching import sample
from vistrials.models.shared_batch import Counts, part_of, position, weighted
from vistrials.specs.model import MaskHeadSpec, SamplerSpec


class Known:
    """One of two parts, which knows what both will say."""

    num = 2

    def __init__(self, own: int, counts: Sequence[Counts] = (), total: float = 0) -> None:
        self.own, self._counts, self._total = own, list(counts), total
        self.generator = torch.Generator().manual_seed(5)

    def gather(self, of_images: Sequence[Counts]) -> list[Counts]:
        first = self.own * len(of_images)
        assert self._counts[first : first + len(of_images)] == list(of_images)
        return self._counts

    def sum(self, count: float) -> float:
        return self._total


def test_samples_of_parts_are_those_of_the_whole() -> None:
    assigned = [torch.tensor([1] * a + [0] * b + [-1]) for a, b in ((5, 9), (1, 30), (0, 8), (7, 2))]
    counts = [(5, 9), (1, 30), (0, 8), (7, 2)]
    spec = SamplerSpec(num=6, positive_fraction=0.5)
    torch.manual_seed(5)
    whole = sample(assigned, spec)
    rest = torch.rand(1)
    for own in (0, 1):
        parts = Known(own, counts)
        with part_of(parts):
            part = sample(assigned[2 * own :][:2], spec)
        for ours, theirs in zip(part, whole[2 * own :], strict=False):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert torch.equal(torch.rand(1, generator=parts.generator), rest)  # what comes next is the same, too


def test_masks_of_parts_are_those_of_the_whole() -> None:
    head = MaskHead(MaskHeadSpec(num_convs=1, channels=1, max_rois=2), 1, 2)
    rois = [SampledRoIs(torch.rand(n + 1, 4), torch.arange(n)) for n in (5, 1, 4, 3)]
    torch.manual_seed(5)
    whole = head.rois(rois)
    for own in (0, 1):
        with part_of(Known(own, [(5,), (1,), (4,), (3,)])):
            part = head.rois(rois[2 * own :][:2])
        for ours, theirs in zip(part, whole[2 * own :], strict=False):
            assert torch.equal(ours.boxes, theirs.boxes) and torch.equal(ours.truth_index, theirs.truth_index)


@pytest.mark.parametrize("counts", [(3, 1), (4, 0), (0, 0)])
def test_means_of_parts_average_to_that_of_the_whole(counts: tuple[int, int]) -> None:
    values = [torch.arange(1.0, 1 + count) * (part + 1) for part, count in enumerate(counts)]
    means = []
    for own, mine in enumerate(values):
        with part_of(Known(own, total=sum(counts))):
            means.append(weighted(mine.sum() / max(len(mine), 1), len(mine)))
    assert torch.stack(means).mean() == torch.cat(values).sum() / max(sum(counts), 1)


def test_the_whole_is_its_only_part() -> None:
    mean = torch.rand(())
    assert weighted(mean, 3) is mean and position(4) == 0
    with part_of(Known(1)):
        assert position(4) == 4
    assert position(4) == 0
