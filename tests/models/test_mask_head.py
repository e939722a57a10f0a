import math

import pytest
import torch
from torch import Tensor

from tests.models.small import batch_of
from tests.models.starts import assert_normal, assert_zero
from vistrials.models.box_head import SampledRoIs
from vistrials.models.mask_head import MaskHead, crop_mask, mask_targets, paste
from vistrials.specs.model import MaskHeadSpec


def target(mask: list[list[int]], box: tuple[float, float, float, float], size: int) -> list[list[int]]:
    masks = torch.tensor([mask], dtype=torch.uint8)
    return mask_targets(masks, torch.tensor([0]), torch.tensor([box]), size)[0].tolist()


def test_a_crop_of_the_target_size_is_copied() -> None:
    mask = torch.zeros(1, 6, 8, dtype=torch.uint8)
    mask[0, 1:4, 2:5] = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    # Corners are cut to integers and both belong to the crop: columns 2..4, rows 1..3.
    found = mask_targets(mask, torch.tensor([0]), torch.tensor([[2.9, 1.2, 4.7, 3.9]]), 3)
    assert found.tolist() == [[[1, 0, 1], [0, 1, 0], [1, 1, 0]]]
    assert found.dtype == torch.uint8


def test_a_halved_crop_is_1_where_two_of_four_pixels_are() -> None:
    mask = [[1, 1, 1, 0],
            [0, 0, 0, 0],
            [1, 0, 1, 1],
            [1, 1, 1, 1]]  # fmt: skip
    assert target(mask, (0, 0, 3, 3), 2) == [[1, 0], [1, 1]]


def test_columns_turn_at_half_coverage() -> None:
    # Two columns to four: positions -.25, .25, .75, 1.25; the second has .75 of column 0, the third .25.
    assert target([[1, 0], [1, 0]], (0, 0, 1, 1), 4) == [[1, 1, 0, 0]] * 4
    assert target([[1, 1], [0, 0]], (0, 0, 1, 1), 4) == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]


def test_the_rule_is_fixed_point_and_not_bilinear_from_half_on() -> None:
    # Three columns to four: positions -.125, .625, 1.375, 2.125; both middle cells have .625 of the middle column,
    # 1280 of 2048, shifted right by 4: 80. One row to four: weights (768, 1280), (256, 1792) and their mirror images:
    # (768 * 80 >> 16) + (1280 * 80 >> 16) = 0 + 1, and 0 + 2; (1 + 2) >> 2 = 0, (2 + 2) >> 2 = 1.
    assert target([[0, 1, 0]], (0, 0, 2, 0), 4) == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_a_box_that_ends_before_it_begins_is_one_pixel() -> None:
    mask = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert target(mask, (1.5, 1.5, 0.5, 0.5), 4) == [[1] * 4] * 4


def test_pixels_beside_the_crop_have_no_weight() -> None:
    mask = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert target(mask, (1, 1, 2, 1), 6) == [[1] * 6] * 6
    hole = [[1 - pixel for pixel in row] for row in mask]
    assert target(hole, (1, 1, 2, 1), 6) == [[0] * 6] * 6


def test_beyond_the_image_the_border_goes_on() -> None:
    assert target([[0, 1], [1, 0]], (-1, -1, 2, 2), 4) == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_full_and_empty_masks_stay_so_at_any_size() -> None:
    for sides in ((1, 1), (5, 3), (27, 40), (56, 56), (100, 7)):
        box = (3.0, 2.0, 3.0 + sides[0] - 1, 2.0 + sides[1] - 1)
        full = torch.ones(2, 60, 110, dtype=torch.uint8)
        full[1] = 0
        found = mask_targets(full, torch.tensor([0, 1]), torch.tensor([box, box]), 28)
        assert found[0].all() and not found[1].any()


def test_moving_mask_and_box_changes_nothing_and_mirroring_mirrors() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(1, 60, 60, dtype=torch.uint8)
    masks[0, 5:40, 5:40] = (torch.rand(35, 35, generator=generator) < 0.5).to(torch.uint8)
    box = torch.tensor([[5.0, 5.0, 38.0, 36.0]])
    index = torch.tensor([0])
    found = mask_targets(masks, index, box, 14)
    moved = mask_targets(masks.roll((3, 11), (1, 2)), index, box + torch.tensor([11.0, 3.0, 11.0, 3.0]), 14)
    assert torch.equal(moved, found)
    mirrored_box = torch.tensor([[59.0 - 38, 5.0, 59.0 - 5, 36.0]])
    assert torch.equal(mask_targets(masks.flip(2), index, mirrored_box, 14), found.flip(2))


def test_each_roi_reads_the_mask_of_its_own_truth() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.uint8)
    masks[1] = 1
    boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0]]).repeat(4, 1)
    found = mask_targets(masks, torch.tensor([1, 0, 2, 1]), boxes, 4)
    assert found.flatten(1).float().mean(dim=1).tolist() == [1, 0, 0, 1]
    assert mask_targets(masks, torch.zeros(0, dtype=torch.long), boxes[:0], 4).shape == (0, 4, 4)


def pasted(probs: list[list[float]], box: tuple[int, int, int, int], threshold: float = 0.5) -> list[list[int]]:
    return paste(*crop_mask(torch.tensor(probs), box, (4, 6), threshold), (4, 6)).int().tolist()


def test_a_mask_fills_its_box_both_ends_included() -> None:
    assert pasted([[1.0]], (1, 1, 3, 2)) == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]


def test_a_probability_at_the_threshold_is_background() -> None:
    assert pasted([[0.5]], (0, 0, 5, 3), 0.5) == [[0] * 6] * 4
    assert pasted([[0.5]], (0, 0, 5, 3), 0.49) == [[1] * 6] * 4


def test_resizing_has_half_pixel_centres() -> None:
    # Two columns 1, 0 over four pixels: 1, .75, .25, 0.
    counts = [sum(pasted([[1.0, 0.0]], (0, 0, 3, 0), threshold)[0]) for threshold in (0.76, 0.74, 0.26, 0.24)]
    assert counts == [1, 2, 2, 3]
    rows = [sum(map(sum, pasted([[1.0], [0.0]], (0, 0, 0, 3), t))) for t in (0.76, 0.74, 0.26, 0.24)]
    assert rows == [1, 2, 2, 3]


def test_a_box_beyond_the_frame_is_cut_not_squeezed() -> None:
    # Columns 1, 0 over x = -2..1: the frame sees the second half, .25 and 0.
    assert pasted([[1.0, 0.0]], (-2, 0, 1, 0), 0.2) == [[1, 0, 0, 0, 0, 0]] + [[0] * 6] * 3
    assert pasted([[0.0], [1.0]], (5, 2, 9, 5), 0.2) == [[0] * 6] * 3 + [[0, 0, 0, 0, 0, 1]]


def test_a_pasted_box_has_at_least_one_pixel() -> None:
    assert sum(map(sum, pasted([[1.0]], (2, 1, 0, 0)))) == 1
    assert pasted([[1.0]], (2, 1, 0, 0))[1][2] == 1


def hand_head(*, class_agnostic: bool = False) -> MaskHead:
    """One channel, K = 2: the convolution passes its centre on, each cell becomes 1, 2 / 3, 4 times itself, and map k
    of the logits is k times that."""
    head = MaskHead(MaskHeadSpec(num_convs=1, channels=1, class_agnostic=class_agnostic), 1, num_categories=2)
    with torch.no_grad():
        head.convs[0].weight.zero_()
        head.convs[0].weight[0, 0, 1, 1] = 1
        head.upsample.weight[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        if not class_agnostic:
            head.logits.weight[:, 0, 0, 0] = torch.tensor([0.0, 1.0, 2.0])
        else:
            head.logits.weight.fill_(1)
    return head


def test_a_roi_reads_the_map_of_its_label_at_twice_the_size() -> None:
    features = torch.tensor([[[[5.0, 1.0]]], [[[7.0, 0.0]]], [[[-5.0, 1.0]]]])
    maps = hand_head()(features, torch.tensor([1, 2, 2]))
    assert maps[0].tolist() == [[5, 10, 1, 2], [15, 20, 3, 4]]
    assert maps[1].tolist() == [[14, 28, 0, 0], [42, 56, 0, 0]]
    assert maps[2].tolist() == [[0, 0, 2, 4], [0, 0, 6, 8]]


def test_a_class_agnostic_head_has_one_map_for_all_labels() -> None:
    maps = hand_head(class_agnostic=True)(torch.tensor([[[[5.0]]], [[[5.0]]]]), torch.tensor([1, 2]))
    assert maps.tolist() == [[[5, 10], [15, 20]]] * 2


def test_the_mask_loss_takes_all_positives_or_a_few_at_random() -> None:
    boxes = torch.arange(24.0).reshape(6, 4)
    rois = SampledRoIs(boxes, torch.tensor([4, 3, 2, 1]))  # four positives, two negatives
    everything = MaskHead(MaskHeadSpec(num_convs=1, channels=1), 1, 2).rois([rois])[0]
    assert torch.equal(everything.boxes, boxes[:4]) and everything.truth_index.tolist() == [4, 3, 2, 1]
    limited = MaskHead(MaskHeadSpec(num_convs=1, channels=1, max_rois=2), 1, 2)
    seen = set()
    for _ in range(50):
        chosen = limited.rois([rois])[0]
        assert torch.equal(chosen.boxes, boxes[4 - chosen.truth_index])  # each keeps its own truth
        seen |= {tuple(chosen.truth_index.tolist())}
    assert seen == {(a, b) for a in range(5) for b in range(1, a)} and len(seen) == 6


def loss_of(head: MaskHead, logits: Tensor, rois: list[SampledRoIs], masks: list[Tensor]) -> Tensor:
    losses = head.loss(logits, rois, batch_of(masks=masks))
    assert losses.keys() == {"loss_mask"}
    return losses["loss_mask"]


def test_the_loss_is_the_mean_cross_entropy_of_all_pixels() -> None:
    mask = torch.tensor([[[1, 0], [1, 1]]], dtype=torch.uint8)
    box, first = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0])
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]], [[0.0, 0.0], [math.log(9), 0.0]]])  # p = 3/4 and 9/10
    loss = loss_of(hand_head(), logits, [SampledRoIs(box, first)] * 2, [mask, 1 - mask])
    # One right with 3/4, one wrong with 9/10 (its target in the second image is 0), six undecided.
    assert float(loss) == pytest.approx((-math.log(3 / 4) - math.log(1 / 10) + 6 * math.log(2)) / 8)
    weighted = MaskHead(MaskHeadSpec(num_convs=1, channels=1, loss_weight=3), 1, 2)
    assert float(loss_of(weighted, logits, [SampledRoIs(box, first)] * 2, [mask, 1 - mask])) == pytest.approx(
        3 * float(loss)
    )


def test_without_rois_the_loss_is_0_with_a_graph() -> None:
    logits = torch.zeros(0, 28, 28, requires_grad=True)
    rois = SampledRoIs(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    loss = loss_of(hand_head(), logits, [rois], [torch.zeros(0, 32, 32, dtype=torch.uint8)])
    assert loss == 0 and loss.requires_grad


def test_all_layers_start_kaiming_normal_by_fan_out() -> None:
    torch.manual_seed(0)
    head = MaskHead(MaskHeadSpec(num_convs=2, channels=48), 16, num_categories=400)
    assert [tuple(conv.weight.shape) for conv in head.convs] == [(48, 16, 3, 3), (48, 48, 3, 3)]
    for conv in head.convs:
        assert_normal(conv.weight, math.sqrt(2 / (48 * 9)))
    assert_normal(head.upsample.weight, math.sqrt(2 / (48 * 4)))
    assert_normal(head.logits.weight, math.sqrt(2 / 401))
    for layer in (*head.convs, head.upsample, head.logits):
        assert_zero(layer.bias)


def test_a_shared_map_starts_like_one_among_all() -> None:
    torch.manual_seed(0)
    head = MaskHead(MaskHeadSpec(num_convs=1, channels=1000, class_agnostic=True), 1, num_categories=1)
    assert head.logits.weight.shape == (1, 1000, 1, 1)
    assert_normal(head.logits.weight, math.sqrt(2 / 2))
