import torch

from vistrials.models.matching import assign, sample
from vistrials.specs.model import AssignerSpec, SamplerSpec

SPEC = AssignerSpec(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)


def row(x1: float, x2: float) -> list[float]:
    """A box one pixel high: IoU is that of the intervals."""
    return [x1, 0.0, x2, 0.0]


def test_thresholds() -> None:
    truth = torch.tensor([row(0, 9)])
    boxes = torch.tensor([row(0, 9), row(0, 7), row(0, 4), row(8, 17)])  # IoU 1, .8, .5, 2/18
    assert assign(boxes, truth, SPEC).tolist() == [1, 1, -1, 0]


def test_every_box_that_ties_for_the_best_is_taken() -> None:
    truth = torch.tensor([row(0, 9)])
    boxes = torch.tensor([row(0, 4), row(5, 9), row(0, 3)])  # IoU .5, .5, .4
    assert assign(boxes, truth, SPEC).tolist() == [1, 1, -1]


def test_a_later_ground_truth_takes_over() -> None:
    truth = torch.tensor([row(0, 9), row(0, 9)])
    assert assign(torch.tensor([row(0, 9)]), truth, SPEC).tolist() == [2]


def test_best_boxes_below_the_minimum_stay_negative() -> None:
    truth = torch.tensor([row(0, 9)])
    assert assign(torch.tensor([row(8, 17)]), truth, SPEC).tolist() == [0]


def test_without_ground_truth_all_are_negative() -> None:
    assert assign(torch.tensor([row(0, 9)]), torch.zeros(0, 4), SPEC).tolist() == [0]
    assert assign(torch.zeros(0, 4), torch.tensor([row(0, 9)]), SPEC).tolist() == []


def test_sample_respects_its_quota_and_fills_with_negatives() -> None:
    assigned = torch.tensor([1] * 10 + [0] * 50 + [-1] * 10)
    ((positives, negatives),) = sample([assigned], SamplerSpec(num=16, positive_fraction=0.25))
    assert len(positives) == 4 and len(negatives) == 12
    assert (assigned[positives] > 0).all() and (assigned[negatives] == 0).all()
    assert positives.tolist() == sorted(positives.tolist())
    assert negatives.tolist() == sorted(set(negatives.tolist()))


def test_thresholds_themselves_are_positive_and_unused() -> None:
    truth = torch.tensor([row(0, 9)])
    spec = AssignerSpec(positive_iou=0.5, negative_iou=0.25, min_positive_iou=1.0)
    boxes = torch.tensor([row(0, 4), row(0, 3.5), row(6, 15), row(7, 16)])  # IoU .5, .45, 4/16, 3/17
    assert assign(boxes, truth, spec).tolist() == [1, -1, -1, 0]


def test_a_best_iou_at_the_minimum_is_enough() -> None:
    truth = torch.tensor([row(0, 9)])
    spec = AssignerSpec(positive_iou=0.75, negative_iou=0.25, min_positive_iou=0.5)
    assert assign(torch.tensor([row(0, 4)]), truth, spec).tolist() == [1]  # IoU 5 / 10


def test_a_tie_takes_a_box_from_a_ground_truth_that_it_fits_better() -> None:
    # The only box has IoU 1 with the first, and 10/12 with the second, whose best it is nevertheless.
    truth = torch.tensor([row(0, 9), row(0, 11)])
    assert assign(torch.tensor([row(0, 9)]), truth, SPEC).tolist() == [2]


def test_boxes_in_another_order_are_assigned_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(40, generator=generator) * 20
    boxes = torch.stack([start, torch.zeros(40), start + 5 + start.flip(0) / 3, torch.zeros(40)], dim=1)
    truth = torch.tensor([row(0, 9), row(8, 15), row(18, 30)])
    order = torch.randperm(40, generator=generator)
    assigned = assign(boxes, truth, SPEC)
    assert torch.equal(assign(boxes[order], truth, SPEC), assigned[order])
    assert set(assigned.tolist()) == {-1, 0, 1, 2, 3}


def test_few_candidates_are_all_taken() -> None:
    ((positives, negatives),) = sample([torch.tensor([0, 2, -1, 0, 1])], SamplerSpec(num=16, positive_fraction=0.5))
    assert positives.tolist() == [1, 4] and negatives.tolist() == [0, 3]


def test_the_quota_is_rounded_down() -> None:
    ((positives, negatives),) = sample([torch.tensor([1] * 10 + [0] * 10)], SamplerSpec(num=7, positive_fraction=0.5))
    assert len(positives) == 3 and len(negatives) == 4


def test_a_sample_is_uniform() -> None:
    torch.manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(2000):
        counts[sample([torch.tensor([1] * 10)], SamplerSpec(num=3, positive_fraction=1.0))[0][0]] += 1
    # Each is drawn with p = .3: 600 of 2000, standard deviation sqrt(2000 * .3 * .7) = 20.5.
    assert ((counts - 600).abs() < 5 * 20.5).all()


def test_images_are_sampled_one_after_the_other_and_apart() -> None:
    spec = SamplerSpec(num=4, positive_fraction=0.5)
    images = [torch.tensor([1] * 9 + [0] * 9), torch.zeros(0, dtype=torch.long), torch.tensor([-1, 2, 0, 3, 1, 0])]
    torch.manual_seed(0)
    together = sample(images, spec)
    torch.manual_seed(0)
    alone = [sample([image], spec)[0] for image in images]
    assert all(
        torch.equal(a, b)
        for ours, theirs in zip(together, alone, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    assert together[2][1].tolist() == [2, 5] and len(together[2][0]) == 2 and len(together[0][0]) == 2
    assert sample([], spec) == []
