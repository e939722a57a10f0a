import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.models.small import batch_of
from tests.models.starts import assert_normal, assert_zero
from vistrials.models.box_head import SampledRoIs
from vistrials.models.track_head import TrackHead, match_scores
from vistrials.specs.model import TrackHeadSpec


def head(**changes) -> TrackHead:
    return TrackHead(TrackHeadSpec(**({"fc_channels": 2} | changes)), 2, 1)


def test_scores_are_dot_products_beside_a_0_for_new_objects() -> None:
    detections, memory = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    assert match_scores(detections, memory).tolist() == [[0, 3, 8, 7], [0, 1, 0, 1]]


def test_at_test_time_they_are_cosines() -> None:
    detections, memory = torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0, 0.0], [0.0, 0.1], [-3.0, -4.0]])
    assert match_scores(normalize(detections), normalize(memory))[0].tolist() == pytest.approx([0, 3 / 5, 4 / 5, -1])


def test_the_size_of_an_embedding_counts_in_training() -> None:
    torch.manual_seed(0)
    detections, memory = torch.randn(3, 5), torch.randn(4, 5)
    assert torch.allclose(match_scores(detections * 7, memory), match_scores(detections, memory) * 7, atol=1e-5)


def test_nothing_in_memory_leaves_the_new_object() -> None:
    assert match_scores(torch.ones(2, 3), torch.zeros(0, 3)).tolist() == [[0], [0]]


def test_relu_stands_between_layers_only() -> None:
    module = head(num_fcs=3)
    weights = ([[1.0, 0.0], [0.0, -1.0]], [[1.0, 1.0], [-1.0, 0.0]], [[-1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        for fc, weight in zip(module.fcs, weights, strict=True):
            fc.weight.copy_(torch.tensor(weight))
    # (3, 5) -> (3, -5) -> relu (3, 0) -> (3, -3) -> relu (3, 0) -> (-3, 0).
    assert module(torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1)).tolist() == [[-3, 0]]
    with torch.no_grad():
        module.fcs[0].weight.copy_(torch.eye(2))
    # Features themselves are not cut: (-1, 2) -> relu (0, 2) -> (2, 0) -> (-2, 0).
    assert module(torch.tensor([-1.0, 2.0]).reshape(1, 2, 1, 1)).tolist() == [[-2, 0]]


def test_layers_start_from_normal_numbers() -> None:
    torch.manual_seed(0)
    module = TrackHead(TrackHeadSpec(fc_channels=60), 8, 3)
    assert [tuple(fc.weight.shape) for fc in module.fcs] == [(60, 72), (60, 60)]
    for fc in module.fcs:
        assert_normal(fc.weight, 0.01)
        assert_zero(fc.bias)


def loss_of(
    module: TrackHead, key: list[list[list[float]]], reference: list[list[list[float]]], targets: list[list[int]]
) -> dict[str, float]:
    """Losses of images given as rows of embeddings and, for the positives in front, targets.

    Each positive is an instance of its own; they are listed from the last to the first.
    """
    rois = [
        SampledRoIs(torch.zeros(len(k), 4), torch.arange(len(t)).flip(0)) for k, t in zip(key, targets, strict=True)
    ]
    batch = batch_of(
        reference_boxes=[torch.zeros(len(r), 4) for r in reference],
        instance_match=[torch.tensor(t, dtype=torch.long).flip(0) for t in targets],
    )
    losses = module.loss(_joined(key), _joined(reference), rois, batch)
    return {name: float(value) for name, value in losses.items()}


def _joined(images: list[list[list[float]]]) -> Tensor:
    return torch.tensor([row for image in images for row in image]).reshape(-1, 2)


A, B = [math.log(2.0), 0.0], [0.0, math.log(3.0)]


def test_the_loss_of_positives_is_a_mean_over_all_rois() -> None:
    # Scores of (1, 0): 0, log 2, 0: softmax 1/4, 2/4, 1/4. Of (0, 1): 0, 0, log 3: 1/5, 1/5, 3/5. Two negatives.
    losses = loss_of(head(), [[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 9.0]]], [[A, B]], [[1, 0]])
    assert losses["loss_match"] == pytest.approx((math.log(4 / 2) + math.log(5)) / 4)
    assert losses["match_acc"] == 1 / 2  # the second prefers B


def test_images_count_alike() -> None:
    first = [[1.0, 0.0]] * 2  # two positives of two RoIs: log 2 each
    second = [[1.0, 0.0]] + [[0.0, 0.0]] * 3  # one of four, new: log 4
    losses = loss_of(head(), [first, second], [[A, B], [A, B]], [[1, 1], [0]])
    assert losses["loss_match"] == pytest.approx((math.log(2) + math.log(4) / 4) / 2)
    assert losses["match_acc"] == pytest.approx(2 / 3)


def test_images_without_positives_count_in_the_mean() -> None:
    losses = loss_of(head(), [[[1.0, 0.0]], [[1.0, 0.0]], []], [[A], [A], [A]], [[1], [], []])
    assert losses["loss_match"] == pytest.approx(math.log(3 / 2) / 3)


def test_weight_and_scale() -> None:
    arguments = [[[1.0, 0.0]]], [[A]], [[1]]
    assert loss_of(head(), *arguments) == pytest.approx({"loss_match": math.log(3 / 2), "match_acc": 1})
    assert loss_of(head(loss_weight=5), *arguments)["loss_match"] == pytest.approx(5 * math.log(3 / 2))
    # Twice log 2 is log 4: 4 of 5.
    assert loss_of(head(logit_scale=2), *arguments)["loss_match"] == pytest.approx(math.log(5 / 4))


def test_the_released_program_left_out_an_image_with_one_positive() -> None:
    # log 2 against 0 in the first image, log 4 against 0 in the second.
    arguments = [[[1.0, 0.0]], [[2.0, 0.0]] * 2], [[A], [A]], [[1], [1, 1]]
    assert loss_of(head(), *arguments)["loss_match"] == pytest.approx((math.log(3 / 2) + math.log(5 / 4)) / 2)
    released = head(skip_single_positive_match=True)
    assert loss_of(released, *arguments)["loss_match"] == pytest.approx((0 + math.log(5 / 4)) / 2)


def test_the_order_of_reference_objects_changes_nothing() -> None:
    key = [[[1.0, 0.5], [-0.5, 2.0], [0.3, 0.3]]]
    assert loss_of(head(), key, [[A, B]], [[1, 2]]) == pytest.approx(loss_of(head(), key, [[B, A]], [[2, 1]]))


@pytest.mark.parametrize(("num_rois", "num_references"), [(3, 2), (3, 0), (0, 2), (0, 0)])
def test_without_positives_the_loss_is_0_with_a_graph(num_rois: int, num_references: int) -> None:
    key, reference = (torch.ones(n, 2, requires_grad=True) for n in (num_rois, num_references))
    nothing = torch.zeros(0, dtype=torch.long)
    batch = batch_of(reference_boxes=[torch.zeros(num_references, 4)], instance_match=[nothing])
    losses = head().loss(key, reference, [SampledRoIs(torch.zeros(num_rois, 4), nothing)], batch)
    assert losses["loss_match"] == 0 and losses["match_acc"] == 0
    losses["loss_match"].backward()
    assert isinstance(key.grad, Tensor) and not key.grad.any()
