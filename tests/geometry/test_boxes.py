import math

import pytest
import torch

from vistrials.geometry import boxes as box_ops


def test_sides_count_both_corners() -> None:
    widths, heights = box_ops.sides(torch.tensor([[2.0, 3.0, 2.0, 7.0]]))
    assert (widths.item(), heights.item()) == (1, 5)


def test_iou_of_inclusive_boxes() -> None:
    a = torch.tensor([[0.0, 0.0, 9.0, 9.0]])  # 10 x 10
    b = torch.tensor([[5.0, 0.0, 14.0, 9.0], [10.0, 0.0, 19.0, 9.0], [0.0, 0.0, 9.0, 9.0]])
    iou = box_ops.pairwise_iou(a, b)[0]
    assert torch.allclose(iou, torch.tensor([50 / 150, 0.0, 1.0]))


def test_encode_moves_the_centre_and_scales_the_sides() -> None:
    box, target = torch.tensor([[0.0, 0.0, 9.0, 19.0]]), torch.tensor([[5.0, 0.0, 24.0, 19.0]])
    # centres (4.5, 9.5) and (14.5, 9.5); widths 10 and 20, heights 20 and 20
    assert torch.allclose(box_ops.encode(box, target), torch.tensor([[10 / 10, 0.0, math.log(2), 0.0]]))


def test_decode_inverts_encode() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(20, 2, 2, generator=generator, dtype=torch.float64) * 50
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    targets = boxes.roll(1, dims=0)
    stds = (0.1, 0.1, 0.2, 0.2)
    assert torch.allclose(box_ops.decode(boxes, box_ops.encode(boxes, targets, stds), stds), targets)


def test_decode_limits_the_growth_of_a_side() -> None:
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    grown = box_ops.decode(box, torch.tensor([[0.0, 0.0, 100.0, 0.0]]))
    assert math.isclose(float(box_ops.sides(grown)[0]), 10 * 1000 / 16, rel_tol=1e-4)


def test_clip_to_pixel_positions() -> None:
    box = torch.tensor([[-3.0, 2.0, 40.0, 50.0]])
    assert box_ops.clip(box, (20, 30)).tolist() == [[0, 2, 29, 19]]


def test_nms_counts_both_corners_and_keeps_input_order() -> None:
    # 10-pixel rows: the first two share 6 of 14 pixels inclusively (.43), but 5 of 13 (.38) if corners were exclusive.
    boxes = torch.tensor([[0.0, 0.0, 9.0, 0.0], [4.0, 0.0, 13.0, 0.0], [30.0, 0.0, 39.0, 0.0]])
    scores = torch.tensor([0.5, 0.6, 0.9])
    assert box_ops.nms(boxes, scores, 0.40).tolist() == [1, 2]
    assert box_ops.nms(boxes, scores, 0.45).tolist() == [0, 1, 2]


def test_deltas_are_divided_by_their_deviations() -> None:
    box, target = torch.tensor([[0.0, 0.0, 9.0, 19.0]]), torch.tensor([[5.0, 4.0, 24.0, 33.0]])
    # Centres (4.5, 9.5) and (14.5, 18.5); widths 10 and 20, heights 20 and 30.
    deltas = [10 / 10 / 0.1, 9 / 20 / 0.1, math.log(20 / 10) / 0.2, math.log(30 / 20) / 0.2]
    assert torch.allclose(box_ops.encode(box, target, (0.1, 0.1, 0.2, 0.2)), torch.tensor([deltas]))


def test_decode_multiplies_by_the_deviations() -> None:
    box = torch.tensor([[0.0, 0.0, 9.0, 19.0]])
    # Centre (4.5 + 10 * .1 * 2, 9.5 - 20 * .1), sides 10 * exp(.2 * 5 log 2) = 20 and 20: corners -+ (side / 2 - .5).
    deltas = torch.tensor([[2.0, -1.0, 5 * math.log(2), 0.0]])
    decoded = box_ops.decode(box, deltas, (0.1, 0.1, 0.2, 0.2))
    assert torch.allclose(decoded, torch.tensor([[6.5 - 9.5, 7.5 - 9.5, 6.5 + 9.5, 7.5 + 9.5]]))


def test_one_proposal_decodes_to_a_box_per_class() -> None:
    box = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    decoded = box_ops.decode(box, torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0]]), size=(12, 15))
    assert decoded.tolist() == [[0, 0, 9, 9, 10, 5, 14, 11]]  # the second moved by (10, 5) and clipped


def test_moving_both_boxes_changes_no_iou_and_no_delta() -> None:
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(10, 2, 2, generator=generator, dtype=torch.float64) * 50
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    shift = torch.tensor([7.0, -3.0, 7.0, -3.0], dtype=torch.float64)
    assert torch.allclose(
        box_ops.pairwise_iou(boxes, boxes.flip(0)), box_ops.pairwise_iou(boxes + shift, boxes.flip(0) + shift)
    )
    assert torch.allclose(box_ops.encode(boxes, boxes.flip(0)), box_ops.encode(boxes + shift, boxes.flip(0) + shift))


@pytest.mark.parametrize("waits", [True, False], ids=["one call", "a call per group"])
def test_boxes_suppress_others_of_their_group_only(monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    monkeypatch.setattr(box_ops, "_waits", lambda device: waits)
    generator = torch.Generator().manual_seed(0)
    corners = 100 * torch.rand(200, 2, generator=generator)
    boxes = torch.cat([corners, corners + 10 + 30 * torch.rand(200, 2, generator=generator)], dim=1) - 40
    scores = torch.rand(200, generator=generator)
    groups = torch.randint(0, 6, (200,), generator=generator).sort().values * 2  # some numbers have no box
    found = box_ops.nms_within(boxes, scores, groups, 0.4)
    expected = [
        rows[box_ops.nms(boxes[rows], scores[rows], 0.4)]
        for g in range(12)
        if len(rows := (groups == g).nonzero()[:, 0])
    ]
    assert found.tolist() == torch.cat(expected).tolist() and len(found) < 200
    assert box_ops.nms_within(boxes[:0], scores[:0], groups[:0], 0.4).tolist() == []
