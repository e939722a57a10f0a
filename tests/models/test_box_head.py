import math

import pytest
import torch
from torch import Tensor

from tests.models.small import batch_of
from tests.models.starts import assert_normal, assert_uniform, assert_zero
from vistrials.models import box_head
from vistrials.models.box_head import BoxHead, Detections, SampledRoIs
from vistrials.models.variants import build_sampler
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import BoxHeadSpec, SamplerSpec

SIZE = (200, 300)
K = 2
NOBODY = batch_of(boxes=[torch.zeros(0, 4)], labels=[torch.zeros(0, dtype=torch.long)])
"""A batch of one image without objects."""


def sample_rois(proposals: Tensor, truth: Tensor, spec: BoxHeadSpec) -> SampledRoIs:
    return box_head.sample_rois(proposals, truth, spec.assigner, build_sampler(spec.sampler, ""))


def head(**changes) -> BoxHead:
    return BoxHead(BoxHeadSpec(**({"fc_channels": 4, "roi_size": 1} | changes)), 2, K)


def row(x1: float, x2: float) -> list[float]:
    """A box one pixel high: IoU is that of the intervals."""
    return [x1, 0.0, x2, 0.0]


# Sampling


def test_ground_truth_stands_before_the_proposals_and_takes_itself() -> None:
    truth = torch.tensor([row(0, 9), row(50, 59)])
    proposals = torch.tensor([row(100, 109), row(50, 57), row(0, 3)])  # IoU 0, .8 with the second, .4 with the first
    (rois,) = sample_rois([proposals], [truth], BoxHeadSpec())
    assert rois.num_positives == 3
    assert rois.truth_index.tolist() == [0, 1, 1]
    assert torch.equal(rois.positive_boxes, torch.cat([truth, proposals[1:2]]))
    assert torch.equal(rois.boxes[3:], proposals[[0, 2]])


def test_ground_truth_does_not_take_part_in_the_assignment() -> None:
    # IoU .5 is positive through the threshold; were the truth among the boxes, the proposal would not tie for the best.
    truth, proposals = torch.tensor([row(0, 9)]), torch.tensor([row(0, 3)])
    spec = BoxHeadSpec(assigner={"positive_iou": 0.5, "negative_iou": 0.3, "min_positive_iou": 0.3})
    assert sample_rois([proposals], [truth], spec)[0].truth_index.tolist() == [0, 0]  # IoU .4, best of all proposals


def test_samples_keep_to_the_quota() -> None:
    truth = torch.tensor([row(0, 9)])
    proposals = torch.tensor([row(0, 9)] * 30 + [row(100, 109)] * 50)
    (rois,) = sample_rois([proposals], [truth], BoxHeadSpec(sampler=SamplerSpec(num=16, positive_fraction=0.25)))
    assert (rois.num_positives, len(rois.boxes)) == (4, 16)
    assert (rois.boxes[:4, 0] == 0).all() and (rois.boxes[4:, 0] == 100).all()


def test_an_image_without_objects_has_negatives_only() -> None:
    (rois,) = sample_rois([torch.tensor([row(0, 9)])], [torch.zeros(0, 4)], BoxHeadSpec())
    assert rois.num_positives == 0 and rois.boxes.tolist() == [row(0, 9)]
    assert len(sample_rois([torch.zeros(0, 4)], [torch.zeros(0, 4)], BoxHeadSpec())[0].boxes) == 0


# Layers


def test_layers_are_shared_with_relu_after_each() -> None:
    module = head(fc_channels=2, num_fcs=2)
    with torch.no_grad():
        module.fcs[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        module.fcs[1].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
        module.logits.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
        module.deltas.weight.fill_(0.5)
    # (3, 5) -> (3, -5) -> relu (3, 0) -> (6, 0).
    logits, deltas = module(torch.tensor([3.0, 5.0]).reshape(1, 2, 1, 1))
    assert logits.tolist() == [[6, 0, -6]]
    assert deltas.tolist() == [[3.0] * 4 * (K + 1)]


def test_layers_start_as_published() -> None:
    torch.manual_seed(0)
    module = BoxHead(BoxHeadSpec(fc_channels=60, roi_size=3), 8, num_categories=50)
    assert [tuple(fc.weight.shape) for fc in module.fcs] == [(60, 72), (60, 60)]
    assert_uniform(module.fcs[0].weight, math.sqrt(6 / (72 + 60)))
    assert_uniform(module.fcs[1].weight, math.sqrt(6 / (60 + 60)))
    assert_normal(module.logits.weight, 0.01)
    assert_normal(module.deltas.weight, 0.001)
    assert module.logits.weight.shape == (51, 60) and module.deltas.weight.shape == (204, 60)
    for layer in (*module.fcs, module.logits, module.deltas):
        assert_zero(layer.bias)


# Losses


def loss_of(
    module: BoxHead, logits: Tensor, deltas: Tensor, rois: list[SampledRoIs], boxes: list[Tensor], labels: list[Tensor]
) -> dict[str, float]:
    losses = module.loss(logits, deltas, rois, batch_of(boxes=boxes, labels=labels))
    return {name: float(value) for name, value in losses.items()}


def test_losses_by_hand() -> None:
    truth = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    positive, negative = [2.0, 0.0, 11.0, 9.0], [50.0, 50.0, 59.0, 59.0]
    rois = SampledRoIs(torch.tensor([positive, negative, negative, negative]), torch.tensor([0]))
    # Probabilities: the positive has 1/4 for its label 2; the negatives 1/3, 1/2 and 1/3 for background.
    logits = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0], [2.0, 1.0, 1.0], [1.0, 1.0, 1.0]]))
    deltas = torch.zeros(4, 4 * (K + 1))
    deltas[0, 8:] = torch.tensor([0.0, 0.5, 0.0, -3.0])
    deltas[0, :8] = 9  # of the other labels: not looked at
    deltas[1:] = 9  # of negatives: nor these
    losses = loss_of(head(), logits, deltas, [rois], [truth], [torch.tensor([2])])
    # dx = (4.5 - 6.5) / 10 / .1 = -2, the others 0: |2| - .5, .5 * .5^2, |-3| - .5; over all four RoIs.
    assert losses["loss_bbox"] == pytest.approx((1.5 + 0.125 + 0 + 2.5) / 4)
    assert losses["loss_cls"] == pytest.approx((math.log(4) + 2 * math.log(3) + math.log(2)) / 4)
    weighted = head(loss_cls_weight=1.5, loss_bbox_weight=2.0)
    again = loss_of(weighted, logits, deltas, [rois], [truth], [torch.tensor([2])])
    assert again["loss_cls"] == pytest.approx(1.5 * losses["loss_cls"])
    assert again["loss_bbox"] == pytest.approx(2 * losses["loss_bbox"])


def test_a_single_roi_divides_by_one() -> None:
    rois = SampledRoIs(torch.tensor([row(0, 9)]), torch.tensor([0]))
    losses = loss_of(
        head(), torch.zeros(1, 3), torch.zeros(1, 12), [rois], [torch.tensor([row(0, 19)])], [torch.tensor([1])]
    )
    # dx = 5 / 10 / .1, dw = log 2 / .2.
    expected = {"loss_cls": math.log(3), "loss_bbox": 5 - 0.5 + math.log(2) / 0.2 - 0.5, "acc": 0}
    assert losses == pytest.approx(expected)


def test_beta_says_up_to_where_box_errors_are_squared_and_stds_what_deltas_are_divided_by() -> None:
    def box_loss(**spec) -> float:
        rois = SampledRoIs(torch.tensor([row(0, 9)]), torch.tensor([0]))
        truth, labels = [torch.tensor([row(0, 19)])], [torch.tensor([1])]
        return loss_of(head(**spec), torch.zeros(1, 3), torch.zeros(1, 12), [rois], truth, labels)["loss_bbox"]

    # dx = 5 / 10 / .1 lies above beta 4, dw = log 2 / .2 below.
    assert box_loss(smooth_l1_beta=4) == pytest.approx(5 - 0.5 * 4 + 0.5 * (math.log(2) / 0.2) ** 2 / 4)
    assert box_loss(delta_stds=(0.2, 0.3, 0.5, 0.7)) == pytest.approx(5 / 10 / 0.2 - 0.5 + math.log(2) / 0.5 - 0.5)


def test_the_accuracy_counts_all_rois() -> None:
    rois = SampledRoIs(torch.tensor([row(0, 9)] * 4), torch.tensor([0, 0]))
    logits = torch.eye(3)[[1, 0, 0, 2]]  # right, wrong, right, wrong
    losses = loss_of(head(), logits, torch.zeros(4, 12), [rois], [torch.tensor([row(0, 9)])], [torch.tensor([1])])
    assert losses["acc"] == 2 / 4


def test_every_positive_has_the_label_and_the_box_of_its_own_truth_in_its_own_image() -> None:
    truths = [torch.tensor([row(0, 9), row(20, 29)]), torch.tensor([row(40, 49)])]
    labels = [torch.tensor([1, 2]), torch.tensor([2])]
    rois = [
        SampledRoIs(torch.tensor([row(20, 29), row(0, 9), row(70, 79)]), torch.tensor([1, 0])),
        SampledRoIs(torch.tensor([row(40, 49)]), torch.tensor([0])),
    ]
    logits = 100 * torch.eye(3)[[2, 1, 0, 2]]
    losses = loss_of(head(), logits, torch.zeros(4, 12), rois, truths, labels)
    assert losses == {"loss_cls": 0, "loss_bbox": 0, "acc": 1}


def test_without_objects_the_box_loss_is_0_with_a_graph() -> None:
    logits, deltas = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 12, requires_grad=True)
    empty = SampledRoIs(torch.tensor([row(0, 9)] * 2), torch.zeros(0, dtype=torch.long))
    losses = head().loss(logits, deltas, [empty], NOBODY)
    assert losses["loss_bbox"] == 0 and losses["loss_cls"].item() == pytest.approx(math.log(3))
    (losses["loss_bbox"] + losses["loss_cls"]).backward()
    assert deltas.grad is not None and not deltas.grad.any()


def test_without_rois_all_losses_are_0_with_a_graph() -> None:
    logits, deltas = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, 12, requires_grad=True)
    empty = SampledRoIs(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    losses = head().loss(logits, deltas, [empty], NOBODY)
    assert losses["loss_cls"] == 0 and losses["loss_bbox"] == 0
    assert losses["loss_cls"].requires_grad and losses["loss_bbox"].requires_grad


# Detections


def detect(
    proposals: list[list[float]],
    probabilities: list[list[float]],
    deltas: Tensor | None = None,
    scale: float = 1.0,
    **spec,
) -> Detections:
    """Softmax of the logarithms gives the probabilities back."""
    boxes = torch.tensor(proposals)
    deltas = torch.zeros(len(boxes), 4 * (K + 1)) if deltas is None else deltas
    return head().detect(torch.log(torch.tensor(probabilities)), deltas, boxes, SIZE, scale, InferenceSpec(**spec))


def test_a_proposal_may_be_several_classes_listed_class_by_class() -> None:
    found = detect([row(0, 9), row(50, 59)], [[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    assert found.labels.tolist() == [1, 1, 2, 2]
    assert found.scores.tolist() == pytest.approx([0.3, 0.6, 0.5, 0.3])
    assert found.boxes.tolist() == [row(0, 9), row(50, 59)] * 2
    assert len(found) == 4


def test_a_score_at_the_threshold_is_dropped() -> None:
    probabilities = [[0.5, 0.25, 0.25]]
    assert len(detect([row(0, 9)], probabilities, score_threshold=0.25)) == 0
    assert len(detect([row(0, 9)], probabilities, score_threshold=0.2499)) == 2


def test_each_class_has_its_own_deltas() -> None:
    deltas = torch.zeros(1, 12)
    deltas[0, 4], deltas[0, 8] = 10.0, 20.0  # times .1 and the width 10: 10 and 20 pixels to the right
    found = detect([row(0, 9)], [[0.2, 0.4, 0.4]], deltas)
    assert found.boxes.tolist() == [row(10, 19), row(20, 29)]


def test_boxes_are_clipped_to_the_image_before_they_are_scaled() -> None:
    found = detect([[250.0, 150.0, 349.0, 249.0]], [[0.2, 0.4, 0.4]], scale=0.5)
    assert found.boxes[0].tolist() == [500, 300, 2 * 299, 2 * 199]


def test_suppression_is_class_by_class() -> None:
    found = detect([row(0, 9), row(1, 9), row(40, 49)], [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5], [0.9, 0.05, 0.05]])
    # IoU 9 / 10: of label 1 the first wins, of label 2 the second.
    assert [(label, box[0]) for label, box in zip(found.labels.tolist(), found.boxes.tolist(), strict=True)] == [
        (1, 0), (1, 40), (2, 1), (2, 40),
    ]  # fmt: skip


def test_suppression_happens_in_pixels_of_the_frame() -> None:
    proposals = [row(0, 5), row(1.9, 6.9)]
    probabilities = [[0.1, 0.8, 0.1], [0.2, 0.7, 0.1]]
    # In network pixels 4.1 of 7.9 (.52); with scale .5 the frame has 0..10 and 3.8..13.8: 7.2 of 14.8 (.49).
    assert detect(proposals, probabilities, scale=1.0, score_threshold=0.5).boxes.shape[0] == 1
    assert detect(proposals, probabilities, scale=0.5, score_threshold=0.5).boxes.shape[0] == 2


def test_only_a_surplus_is_sorted_and_the_best_are_kept() -> None:
    proposals = [row(0, 9), row(50, 59), row(100, 109)]
    probabilities = [[0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.5, 0.1, 0.4]]
    unsorted = detect(proposals, probabilities, max_detections=6)
    assert unsorted.scores.tolist() == pytest.approx([0.3, 0.6, 0.1, 0.2, 0.1, 0.4])
    best = detect(proposals, probabilities, max_detections=3)
    assert best.scores.tolist() == pytest.approx([0.6, 0.4, 0.3])
    assert best.labels.tolist() == [1, 2, 1]
    assert best.boxes[:, 0].tolist() == [50, 100, 0]


def test_no_proposals_give_no_detections() -> None:
    found = head().detect(torch.zeros(0, 3), torch.zeros(0, 12), torch.zeros(0, 4), SIZE, 1.0, InferenceSpec())
    assert len(found) == 0 and found.boxes.shape == (0, 4) and found.labels.dtype == torch.long
