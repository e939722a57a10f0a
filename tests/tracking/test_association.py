import math

import pytest
import torch

from vistrials.specs.inference import AssociationSpec
from vistrials.tracking.association import DROPPED, associate, association_scores


def test_scores_add_up_the_published_cues() -> None:
    match = torch.tensor([[0.0, math.log(3.0)]])  # softmax: 1/4 new, 3/4 the object in memory
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    scores = association_scores(
        match, torch.tensor([0.5]), box, torch.tensor([2]), box + 5, torch.tensor([2]), AssociationSpec()
    )
    iou = 25 / 175
    assert scores[0].tolist() == pytest.approx(
        [math.log(1 / 4) + math.log(0.5) + 10, math.log(3 / 4) + math.log(0.5) + 2 * iou + 10]
    )


def test_another_label_costs_ten() -> None:
    match, box = torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    one = torch.tensor([1.0])
    same, other = (
        association_scores(match, one, box, torch.tensor([1]), box, torch.tensor([label]), AssociationSpec())
        for label in (1, 2)
    )
    assert (same - other)[0].tolist() == [0, 10]


def test_new_objects_get_the_next_ids() -> None:
    ids, source = associate(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), next_id=1)
    assert ids == [1, 2] and source == {1: 0, 2: 1}


def test_a_better_detection_displaces_an_earlier_one_that_keeps_its_id() -> None:
    ids, source = associate(torch.tensor([[0.0, 5.0], [0.0, 6.0]]), next_id=1)
    assert ids == [0, 0] and source == {0: 1}


def test_a_worse_detection_is_dropped() -> None:
    ids, source = associate(torch.tensor([[0.0, 6.0], [0.0, 5.0]]), next_id=1)
    assert ids == [0, DROPPED] and source == {0: 0}
    assert DROPPED < 0  # no object's id


def test_every_cue_has_its_weight() -> None:
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    spec = AssociationSpec(score_weight=3, iou_weight=5, label_weight=7)
    scores = association_scores(
        torch.zeros(1, 3), torch.tensor([0.2]), box, torch.tensor([1]),
        torch.cat([box, box + 100]), torch.tensor([2, 1]), spec,
    )  # fmt: skip
    common = math.log(1 / 3) + 3 * math.log(0.2)
    assert scores[0].tolist() == pytest.approx([common + 7, common + 5, common + 7])


def test_a_detection_shares_its_match_among_new_and_known_objects() -> None:
    # Softmax along a row: 1, 2 and 5 of 8 and, in the other row, 6, 1 and 1 of 8.
    match = torch.log(torch.tensor([[1.0, 2.0, 5.0], [6.0, 1.0, 1.0]]))
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    scores = association_scores(
        match, torch.ones(2), box.repeat(2, 1), torch.tensor([1, 1]), box.repeat(2, 1) + 50, torch.tensor([1, 1]),
        AssociationSpec(),
    )  # fmt: skip
    expected = torch.log(torch.tensor([[1 / 8, 2 / 8, 5 / 8], [6 / 8, 1 / 8, 1 / 8]])) + 10
    assert torch.allclose(scores, expected)


def test_objects_in_another_order_keep_their_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(3, 2, generator=generator) * 20
    boxes = torch.cat([low, low + 20], dim=1)
    match, labels = torch.randn(3, 4, generator=generator), torch.tensor([1, 2, 1])
    order = torch.tensor([2, 0, 1])
    columns = torch.cat([torch.tensor([0]), 1 + order])
    one = torch.full((3,), 0.5)
    scores = association_scores(match, one, boxes, labels, boxes, labels, AssociationSpec())
    moved = association_scores(match[:, columns], one, boxes, labels, boxes[order], labels[order], AssociationSpec())
    assert torch.allclose(moved, scores[:, columns])


def test_an_equal_detection_does_not_displace() -> None:
    ids, source = associate(torch.tensor([[0.0, 5.0], [0.0, 5.0]]), next_id=1)
    assert ids == [0, DROPPED] and source == {0: 0}


def test_a_fit_of_minus_100_or_less_is_dropped() -> None:
    assert associate(torch.tensor([[-200.0, -100.0]]), next_id=1) == ([DROPPED], {})
    assert associate(torch.tensor([[-200.0, -99.0]]), next_id=1) == ([0], {0: 0})


def test_three_detections_of_one_object_are_compared_with_the_best_so_far() -> None:
    ids, source = associate(torch.tensor([[0.0, 5.0], [0.0, 7.0], [0.0, 6.0]]), next_id=1)
    assert ids == [0, 0, DROPPED] and source == {0: 1}


def test_columns_name_objects_from_0_and_new_ids_follow_those_given() -> None:
    scores = torch.tensor([[0.0, 1.0, 9.0], [5.0, 1.0, 1.0], [0.0, 9.0, 1.0], [5.0, 1.0, 1.0]])
    ids, source = associate(scores, next_id=7)
    assert ids == [1, 7, 0, 8] and source == {1: 0, 7: 1, 0: 2, 8: 3}


def test_a_frame_without_detections_gives_nothing() -> None:
    assert associate(torch.zeros(0, 3), next_id=2) == ([], {})
