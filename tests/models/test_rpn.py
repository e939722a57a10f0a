import math

import pytest
import torch
from torch import Tensor

from tests.models.small import batch_of
from tests.models.starts import assert_normal, assert_zero
from vistrials.models.rpn import RPN, grid_anchors, select_proposals
from vistrials.specs.model import AnchorSpec, ProposalSpec, RPNSpec, SamplerSpec

CELLS = AnchorSpec(scale=1, ratios=(1,))
"""One anchor per cell: the cell itself, of level 0 the pixels 0..3, 4..7, .. in both directions."""

HIGH = 20.0  # a logit whose cross entropy is 0 in float32 where it is right


def rpn(channels: int = 1, **changes) -> RPN:
    return RPN(RPNSpec(**({"anchors": CELLS} | changes)), channels)


# Layers


def test_outputs_are_listed_by_row_column_and_anchor() -> None:
    module = rpn(anchors=AnchorSpec(ratios=(1, 2)))
    with torch.no_grad():
        module.conv.weight.zero_()
        module.conv.weight[0, 0, 1, 1] = 1
        module.objectness.weight[:, 0, 0, 0] = torch.tensor([1.0, 10.0])
        module.deltas.weight[:, 0, 0, 0] = torch.arange(8.0)
    levels = [torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]]), torch.tensor([[[[5.0]]]])]
    logits, deltas = module(levels)
    assert [x.tolist() for x in logits] == [[[1, 10, 2, 20, 3, 30, 0, 0]], [[5, 50]]]
    assert deltas[0].shape == (1, 8, 4) and deltas[1].shape == (1, 2, 4)
    assert deltas[0][0, 2:4].tolist() == [[0, 2, 4, 6], [8, 10, 12, 14]]  # the two anchors of the cell of value 2


def test_layers_start_from_normal_numbers() -> None:
    torch.manual_seed(0)
    module = RPN(RPNSpec(), 64)
    assert module.objectness.weight.shape == (3, 64, 1, 1) and module.deltas.weight.shape == (12, 64, 1, 1)
    for layer in (module.conv, module.objectness, module.deltas):
        assert_normal(layer.weight, 0.01)
        assert_zero(layer.bias)


def test_levels_have_strides_4_to_64() -> None:
    levels = grid_anchors(((2, 2), (2, 2), (1, 1), (1, 1), (1, 2)), CELLS)
    assert levels[0].tolist() == [[0, 0, 3, 3], [4, 0, 7, 3], [0, 4, 3, 7], [4, 4, 7, 7]]
    assert levels[1][3].tolist() == [8, 8, 15, 15]
    assert levels[2].tolist() == [[0, 0, 15, 15]] and levels[3].tolist() == [[0, 0, 31, 31]]
    assert levels[4].tolist() == [[0, 0, 63, 63], [64, 0, 127, 63]]


# Losses


def loss_of(
    logits: list[Tensor], deltas: list[Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]], **spec
) -> dict[str, Tensor]:
    """Losses of maps of one anchor per cell: logits (B, rows, columns), deltas (B, rows, columns, 4) per level."""
    level_sizes = [(x.shape[1], x.shape[2]) for x in logits]
    flat_logits, flat_deltas = [x.flatten(1) for x in logits], [x.flatten(1, 2) for x in deltas]
    return rpn(**spec).loss(flat_logits, flat_deltas, level_sizes, batch_of(boxes=boxes, image_sizes=sizes))


def test_losses_by_hand() -> None:
    # Cells of 4 x 4 pixels. The truth is 4 x 6: IoU 16/24 with the first, its best; 8/32 with the one below; else 0.
    truth = torch.tensor([[0.0, 0.0, 3.0, 5.0]])
    logits = torch.tensor([[[math.log(3), 0.0], [math.log(4), 0.0]]])  # probabilities 3/4, 1/2, 4/5, 1/2
    losses = loss_of([logits], [torch.zeros(1, 2, 2, 4)], [truth], [(8, 8)])
    assert losses["loss_rpn_cls"].item() == pytest.approx((-math.log(3 / 4) - math.log(1 / 5) + 2 * math.log(2)) / 4)
    # dy = (2.5 - 1.5) / 4, dh = log(6 / 4), both beyond 1/9: d - .5 / 9 each; divided by all four.
    assert losses["loss_rpn_bbox"].item() == pytest.approx((1 / 4 + math.log(1.5) - 2 * 0.5 / 9) / 4)
    weighted = loss_of(
        [logits], [torch.zeros(1, 2, 2, 4)], [truth], [(8, 8)], loss_cls_weight=2.0, loss_bbox_weight=3.0
    )
    assert weighted["loss_rpn_cls"].item() == pytest.approx(2 * losses["loss_rpn_cls"].item())
    assert weighted["loss_rpn_bbox"].item() == pytest.approx(3 * losses["loss_rpn_bbox"].item())


def test_small_box_errors_are_squared() -> None:
    deltas = torch.zeros(1, 1, 1, 4)
    deltas[..., 0] = 0.1  # below 1/9: .5 * .01 * 9
    losses = loss_of([torch.zeros(1, 1, 1)], [deltas], [torch.tensor([[0.0, 0.0, 3.0, 3.0]])], [(4, 4)])
    assert losses["loss_rpn_bbox"].item() == pytest.approx(0.5 * 0.1**2 * 9 / (1 + 1))  # one positive, at least one


def test_beta_says_up_to_where_box_errors_are_squared() -> None:
    deltas = torch.zeros(1, 1, 1, 4)
    deltas[..., 0], deltas[..., 1] = 0.4, 0.6
    truth = torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    losses = loss_of([torch.zeros(1, 1, 1)], [deltas], [truth], [(4, 4)], smooth_l1_beta=0.5)
    assert losses["loss_rpn_bbox"].item() == pytest.approx((0.5 * 0.4**2 / 0.5 + 0.6 - 0.5 * 0.5) / (1 + 1))


def test_every_image_counts_one_positive_and_one_negative_at_least() -> None:
    empty = torch.zeros(0, 4)
    logits = torch.zeros(2, 2, 2)
    losses = loss_of([logits], [torch.zeros(2, 2, 2, 4)], [empty, torch.tensor([[0.0, 0.0, 3.0, 3.0]])], [(8, 8)] * 2)
    # (at least 1 + 4 negatives) + (1 positive + 3 negatives); all eight anchors are undecided.
    assert losses["loss_rpn_cls"].item() == pytest.approx(8 * math.log(2) / ((1 + 4) + (1 + 3)))


def test_anchors_that_reach_into_the_padding_are_left_out() -> None:
    logits = torch.zeros(1, 2, 2)
    logits[:, :, 1] = HIGH  # wrong by 20, were they looked at
    losses = loss_of([logits], [torch.zeros(1, 2, 2, 4)], [torch.zeros(0, 4)], [(8, 7)])
    assert losses["loss_rpn_cls"].item() == pytest.approx(2 * math.log(2) / (1 + 2))


def test_levels_compete_for_a_truth() -> None:
    # IoU .44 with the first cell of level 0, .56 with that of level 1: the latter is the best and positive; the former
    # is unused, and the others of level 0 are negatives.
    truth = torch.tensor([[0.0, 0.0, 5.0, 5.0]])
    logits = [torch.zeros(1, 2, 2), torch.full((1, 1, 1), HIGH)]
    losses = loss_of(logits, [torch.zeros(1, 2, 2, 4), torch.zeros(1, 1, 1, 4)], [truth], [(8, 8)])
    assert losses["loss_rpn_cls"].item() == pytest.approx(3 * math.log(2) / (1 + 3))
    # Centre 2.5 instead of 3.5 of width 8, side 6 instead of 8.
    each = 1 / 8 - 0.5 / 9 + math.log(8 / 6) - 0.5 / 9
    assert losses["loss_rpn_bbox"].item() == pytest.approx(2 * each / 4)


def test_few_are_drawn_half_of_them_positive_at_most() -> None:
    truth = grid_anchors(((4, 4),), CELLS)[0][:8].float()  # eight of sixteen cells are objects
    logits = torch.zeros(1, 4, 4)
    sampler = SamplerSpec(num=6, positive_fraction=0.5)
    losses = loss_of([logits], [torch.ones(1, 4, 4, 4)], [truth], [(16, 16)], sampler=sampler)
    assert losses["loss_rpn_cls"].item() == pytest.approx(6 * math.log(2) / 6)
    assert losses["loss_rpn_bbox"].item() == pytest.approx(3 * 4 * (1 - 0.5 / 9) / 6)


def test_the_order_of_objects_and_of_images_changes_nothing() -> None:
    torch.manual_seed(0)
    logits, deltas = torch.randn(2, 3, 4), torch.randn(2, 3, 4, 4)
    boxes = [torch.tensor([[0.0, 0.0, 3.0, 4.0], [8.0, 4.0, 13.0, 9.0]]), torch.tensor([[4.0, 4.0, 7.0, 8.0]])]
    sizes = [(12, 16), (12, 12)]
    losses = loss_of([logits], [deltas], boxes, sizes)
    moved = loss_of([logits.flip(0)], [deltas.flip(0)], [boxes[1], boxes[0].flip(0)], sizes[::-1])
    for name in ("loss_rpn_cls", "loss_rpn_bbox"):
        assert torch.allclose(moved[name], losses[name])


def test_an_image_without_objects_or_without_anchors_has_losses_with_a_graph() -> None:
    logits, deltas = torch.full((1, 2, 2), -HIGH, requires_grad=True), torch.ones(1, 2, 2, 4, requires_grad=True)
    for size, expected in (((8, 8), 0.0), ((3, 3), 0.0)):
        losses = loss_of([logits], [deltas], [torch.zeros(0, 4)], [size])
        assert losses["loss_rpn_cls"].item() == pytest.approx(expected, abs=1e-6)
        assert losses["loss_rpn_bbox"] == 0
        sum(losses.values()).backward()
    assert logits.grad is not None and deltas.grad is not None and not deltas.grad.any()


# Proposals


def row(x1: float, x2: float) -> list[float]:
    """A box one pixel high: IoU is that of the intervals."""
    return [x1, 0.0, x2, 0.0]


def select(
    levels: list[tuple[list[float], list[list[float]]]], size: tuple[int, int] = (100, 200), **spec
) -> tuple[list[list[float]], list[float]]:
    boxes = [torch.tensor(b) for _, b in levels]
    found, scores = select_proposals(
        [torch.tensor(s) for s, _ in levels], [torch.zeros_like(b) for b in boxes], boxes, size, ProposalSpec(**spec)
    )
    return found.tolist(), scores.tolist()


def test_suppression_stays_within_a_level() -> None:
    level = [0.5, 0.75, 0.25], [row(0, 9), row(1, 9), row(50, 59)]  # IoU of the first two 9 / 10
    found, scores = select([level, ([0.625], [row(0, 9)])])
    assert scores == [0.75, 0.625, 0.25]
    assert found == [row(1, 9), row(0, 9), row(50, 59)]


def test_suppression_begins_above_its_threshold() -> None:
    level = [0.75, 0.5], [row(0, 9), row(0, 6)]  # IoU 7 / 10
    assert len(select([level], nms_iou=0.69)[1]) == 1
    assert len(select([level], nms_iou=0.71)[1]) == 2


def test_limits_before_and_after_suppression_and_over_all_levels() -> None:
    apart = [row(20 * i, 20 * i + 9) for i in range(4)]
    levels = [([0.5, 0.25, 0.125, 0.75], apart), ([0.875, 0.0625, 0.375, 0.625], apart)]
    assert select(levels)[1] == [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0625]
    assert select(levels, num_before_nms=1)[1] == [0.875, 0.75]
    assert select(levels, num_after_nms=2)[1] == [0.875, 0.75, 0.625, 0.5]
    assert select(levels, max_num=3)[1] == [0.875, 0.75, 0.625]
    # Of one level three enter, of which the second best is suppressed.
    same = [[0.75, 0.5, 0.25, 0.125], [row(0, 9), row(0, 9), row(50, 59), row(90, 99)]]
    assert select([tuple(same)], num_before_nms=3, num_after_nms=2)[1] == [0.75, 0.25]


def test_proposals_are_decoded_without_deviations_and_clipped() -> None:
    anchors = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    deltas = torch.tensor([[1.0, -0.5, math.log(2), 0.0]])
    found, _ = select_proposals([torch.tensor([0.5])], [deltas], [anchors], (20, 22), ProposalSpec())
    # Centre (4.5 + 10, 4.5 - 5), width 20: 5..24 and -5..4, of an image of 22 x 20.
    assert found.tolist() == [[5, 0, 21, 4]]


def test_small_boxes_are_dropped_by_either_side() -> None:
    level = [0.75, 0.5, 0.25], [[0.0, 0.0, 9.0, 3.0], [20.0, 0.0, 23.0, 9.0], [40.0, 0.0, 44.0, 4.0]]
    assert select([level], min_size_px=5)[1] == [0.25]
    assert select([level], min_size_px=4)[1] == [0.75, 0.5, 0.25]


def test_every_image_has_its_own_proposals_without_a_graph() -> None:
    logits = torch.tensor([[0.0, -9.0, -9.0, -9.0], [-9.0, -9.0, -9.0, math.log(3)]], requires_grad=True)
    found = rpn(proposals=ProposalSpec(max_num=1)).propose([logits], [torch.zeros(2, 4, 4)], [(2, 2)], [(8, 8), (8, 6)])
    assert [boxes.tolist() for boxes, _ in found] == [[[0, 0, 3, 3]], [[4, 4, 5, 7]]]  # the second is cut at its width
    assert [scores.tolist() for _, scores in found] == [[0.5], [pytest.approx(3 / 4)]]
    assert not any(tensor.requires_grad for pair in found for tensor in pair)
