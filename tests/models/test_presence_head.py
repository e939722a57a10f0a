import math

import pytest
import torch

from tests.models.small import make_batch, small_model
from vistrials.models.presence_head import PresenceHead
from vistrials.specs.model import PresenceSpec, PropagationSpec


def small_head(**changes) -> PresenceHead:
    torch.manual_seed(0)
    return PresenceHead(PresenceSpec(**({"channels": 4} | changes)), channels=2)


def test_it_reads_mean_features_in_both_frames_and_the_peak() -> None:
    head = small_head()
    seen = []
    head.hidden.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    key, reference = torch.tensor([[[1.0, 3.0]], [[0.0, 8.0]]]), torch.tensor([[[5.0, 7.0]], [[2.0, 4.0]]])
    attention, inside = torch.tensor([[[0.2, 0.6]], [[0.0, 0.0]]]), torch.tensor([[[True, True]], [[False, True]]])
    assert head(key, reference, attention, inside).shape == (2,)
    # Means by .25 and .75; without attention 0.
    expected = torch.tensor([[2.5, 6.0, 6.0, 3.0, 0.6], [0.0, 0.0, 7.0, 4.0, 0.0]])
    assert torch.allclose(seen[0], expected)


def test_no_gradient_leaves_it() -> None:
    key, reference, attention = (torch.rand(2, 2, 3, requires_grad=True) for _ in range(3))
    head = small_head()
    head(key, reference, attention, torch.ones(2, 2, 3)).sum().backward()
    assert key.grad is reference.grad is attention.grad is None and head.hidden.weight.grad is not None


def test_its_loss_is_the_mean_cross_entropy() -> None:
    loss = small_head(loss_weight=2.0).loss(torch.tensor([0.0, math.log(3)]), torch.tensor([True, False]))
    assert float(loss) == pytest.approx(2 * (math.log(2) + math.log(4)) / 2)


def test_missing_objects_are_what_it_learns_from() -> None:
    model = small_model(propagation=PropagationSpec(channels=8, num_mask_convs=1, presence=PresenceSpec()))
    targets = []
    loss = PresenceHead.loss
    model.propagation.presence.loss = lambda logits, present: (
        targets.append(present) or loss(model.propagation.presence, logits, present)
    )
    batch = make_batch([2, 1], [3, 2])  # the last reference object of each image is not in its key frame
    losses = model(batch)
    assert targets[0].tolist() == [True, True, False, True, False]
    assert losses["loss_proppresence"] > 0
    assert model(make_batch([1], [0]))["loss_proppresence"] == 0


def test_propagated_probabilities_are_by_presence() -> None:
    head = small_model(
        propagation=PropagationSpec(channels=8, num_mask_convs=1, presence=PresenceSpec())
    ).propagation.eval()
    key, reference = torch.randn(2, 8, 4, 6)
    boxes, labels = torch.tensor([[0.0, 0.0, 16.0, 16.0], [8.0, 8.0, 40.0, 24.0]]), torch.tensor([1, 2])
    probs = head.propagate(key, [reference], [boxes], [labels])
    presence = head._presence(key, reference, *head.attend_nearby(key, reference, boxes, labels), boxes).sigmoid()
    head.presence = None
    assert torch.allclose(probs, head.propagate(key, [reference], [boxes], [labels]) * presence[:, None, None])
    assert (presence < 1).all() and (presence > 0).all()
