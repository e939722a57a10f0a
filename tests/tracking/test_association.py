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
