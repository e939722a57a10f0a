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
    positives, negatives = sample(assigned, SamplerSpec(num=16, positive_fraction=0.25))
    assert len(positives) == 4 and len(negatives) == 12
    assert (assigned[positives] > 0).all() and (assigned[negatives] == 0).all()
    assert positives.tolist() == sorted(positives.tolist())
    assert negatives.tolist() == sorted(set(negatives.tolist()))
