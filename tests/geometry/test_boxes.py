import math

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
