import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tests.models.small import batch_of
from tests.models.starts import assert_normal, assert_uniform, assert_zero
from vistrials.models.propagation_head import PropagationHead, attention_at_cells, box_cells
from vistrials.specs.model import PropagationSpec, WeightedAffinitySpec


def hand_head(num_categories: int = 2, **changes) -> PropagationHead:
    """One channel: convolutions pass their centre on, cells are repeated, and map k is k times the attended feature."""
    spec = PropagationSpec(**({"channels": 1, "num_mask_convs": 1} | changes))
    head = PropagationHead(spec, 1, num_categories)
    with torch.no_grad():
        head.mask_convs[0].weight.zero_()
        head.mask_convs[0].weight[0, 0, 1, 1] = 1
        head.mask_convs[0].bias.zero_()
        head.upsample.weight.fill_(1)
        head.upsample.bias.zero_()
        if spec.class_agnostic:
            head.logits.weight.fill_(1)
        else:
            head.logits.weight[:, 0, 0, 0] = torch.arange(num_categories + 1.0)
    return head.eval()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def labels(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.long)


# Cells of a box


def test_cells_begin_with_the_first_corner_and_end_before_that_of_the_second() -> None:
    boxes = torch.tensor([[0.0, 0.0, 16.0, 8.0], [8.0, 8.0, 23.9, 31.0], [0.0, 0.0, 7.9, 7.9], [7.9, 15.9, 16.1, 24.0]])
    first, second, none, third = box_cells(boxes, 4, 4, 8).int().tolist()
    assert first == [[1, 1, 0, 0], [0] * 4, [0] * 4, [0] * 4]
    assert second == [[0] * 4, [0, 1, 0, 0], [0, 1, 0, 0], [0] * 4]
    assert none == [[0] * 4] * 4
    assert third == [[0] * 4, [1, 1, 0, 0], [1, 1, 0, 0], [0] * 4]


def test_moving_a_box_by_8_pixels_moves_its_cells_by_one() -> None:
    box = torch.tensor([[3.0, 10.0, 17.0, 26.0]])
    shift = torch.tensor([[8.0, 16.0, 8.0, 16.0]])
    assert torch.equal(box_cells(box + shift, 8, 8, 8), box_cells(box, 8, 8, 8).roll((2, 1), (1, 2)))


# Attention


def test_mass_from_inside_and_outside_of_a_box() -> None:
    key = torch.tensor([[[1.0, 2.0, 0.0]]])
    reference = torch.tensor([[[0.0, math.log(2), math.log(3)]]])
    # Weights of the reference cells: (1, 2, 3) / 6, (1, 4, 9) / 14 and (1, 1, 1) / 3; boxes over cells 0 and 1..2.
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 24.0, 8.0]])
    foreground, background = hand_head().attend(key, reference, boxes, labels(1, 1))
    expected = torch.tensor([[[1 / 6, 1 / 14, 1 / 3]], [[5 / 6, 13 / 14, 2 / 3]]])
    assert torch.allclose(foreground, expected)
    assert torch.allclose(background, 1 - expected)


def test_each_object_is_attended_by_the_matrix_of_its_category() -> None:
    head = hand_head(affinity=WeightedAffinitySpec(scope="per_category"))
    with torch.no_grad():
        head.affinity.weight[1] = 0  # label 2: even
    key, reference = torch.ones(1, 1, 2), torch.tensor([[[0.0, math.log(3)]]])
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(3, 1)
    foreground, _ = head.attend(key, reference, boxes, labels(2, 1, 2))
    assert torch.allclose(foreground[:, 0, 0], torch.tensor([1 / 2, 1 / 4, 1 / 2]))
    nearby, background = head.attend_nearby(key, reference, boxes, labels(2, 1, 2))
    assert torch.allclose(nearby[:, 0, 0], foreground[:, 0, 0])  # the own cell
    assert torch.allclose(background[:, 0, 0], torch.tensor([1 / 2, 3 / 4, 1 / 2]) * math.exp(-1 / 64))


def test_attention_at_pixels_is_read_at_the_centres_of_cells() -> None:
    attention = torch.arange(16.0).expand(1, 8, 16)
    key = torch.tensor([[[2.0, 10.0]]])
    # Between pixels 3 and 4, and 11 and 12.
    assert hand_head().attended_features(key, attention).tolist() == [[[[2 * 3.5, 10 * 11.5]]]]


@pytest.mark.parametrize("stride", [4, 8])
def test_attention_at_cells_is_that_at_pixels_read_at_the_centres(stride: int) -> None:
    torch.manual_seed(0)
    for size in ((1, 1), (1, 3), (4, 5)):
        logits = 3 * torch.randn(2, *size, dtype=torch.float64)
        pixels = interpolate(logits[:, None], scale_factor=stride, mode="bilinear").sigmoid()
        expected = interpolate(pixels, size=size, mode="bilinear")[:, 0]
        assert torch.allclose(attention_at_cells(logits, stride), expected, atol=1e-12)


def test_maps_grow_to_pixels_and_follow_the_label() -> None:
    features = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2).repeat(2, 1, 1, 1)
    maps = hand_head().mask_logits(features, labels(1, 2))
    assert maps.shape == (2, 8, 16)
    # At stride 4 the row is 0, 0, 1, 1; pixel x reads position (x + .5) / 4 - .5.
    ramp = [min(max((x + 0.5) / 4 - 0.5 - 1, 0), 1) for x in range(16)]
    assert maps[0, 3].tolist() == pytest.approx(ramp)
    assert torch.allclose(maps[1], 2 * maps[0])
    shared = hand_head(class_agnostic=True).mask_logits(features, labels(1, 2))
    assert torch.allclose(shared[0], maps[0]) and torch.allclose(shared[1], maps[0])


def test_features_are_all_levels_at_stride_8() -> None:
    head = hand_head()
    head.features = nn.Identity()
    p2 = torch.arange(16.0).reshape(1, 1, 4, 4)
    levels = [
        p2,
        torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]),
        torch.full((1, 1, 1, 1), 5.0),
        torch.full((1, 1, 1, 1), 6.0),
    ]
    features = head.extract([*levels, torch.full((1, 1, 1, 1), 99.0)])  # a fifth level is not read
    assert features[0].tolist() == [
        [[(0 + 1 + 4 + 5) / 4, (2 + 3 + 6 + 7) / 4], [(8 + 9 + 12 + 13) / 4, (10 + 11 + 14 + 15) / 4]],
        [[1, 2], [3, 4]],
        [[5, 5], [5, 5]],
        [[6, 6], [6, 6]],
    ]


def test_at_stride_4_features_are_those_of_the_finest_level_and_maps_still_grow_to_pixels() -> None:
    head = hand_head(stride=4)
    features, head.features = head.features, nn.Identity()
    p2 = torch.arange(16.0).reshape(1, 1, 4, 4)
    levels = [p2, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.full((1, 1, 1, 1), 5.0), torch.zeros(1, 1, 1, 1)]
    cells = head.extract(levels)[0]
    assert torch.equal(cells[0], p2[0, 0])
    assert cells[1, 0].tolist() == [1.0, 1.25, 1.75, 2.0]  # between the centres of cells of 8 pixels
    assert torch.equal(cells[2], torch.full((4, 4), 5.0))
    head.features = features
    assert head.mask_logits(torch.ones(1, 1, 4, 4), labels(1)).shape == (1, 16, 16)
    # A box of 8 x 4 pixels is two cells wide and one high.
    assert box_cells(torch.tensor([[4.0, 8.0, 12.0, 12.0]]), 4, 4, 4).nonzero().tolist() == [[0, 2, 1], [0, 2, 2]]


# Inference


def test_propagation_by_hand() -> None:
    # Even features: each of four cells gives 1/4, near ones more: exp(-d^2 / 2^2) for d^2 = 0, 1, 1, 2.
    head = hand_head(sigma_cells=2.0)
    key = torch.full((1, 2, 2), 3.0)
    probs = head.propagate(key, [key], [torch.tensor([[0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 7.0, 7.0]])], [labels(2, 1)])
    near = (1 + 2 * math.exp(-1 / 4) + math.exp(-2 / 4)) / 4
    assert probs.shape == (2, 16, 16)
    # The first box covers all cells, the second none: fg - bg = +near and -near, everywhere the same.
    assert torch.allclose(probs[0], torch.tensor(sigmoid(2 * 3 * sigmoid(near))).expand(16, 16))
    assert torch.allclose(probs[1], torch.tensor(sigmoid(1 * 3 * sigmoid(-near))).expand(16, 16))


def test_an_object_is_found_where_the_key_frame_resembles_it() -> None:
    # Both key cells resemble the right reference cell: its box gets attention sigmoid(1 - 0), the left one's
    # sigmoid(0 - 1), but for exp(-40).
    key, reference = torch.tensor([[[5.0, 4.0]]]), torch.tensor([[[-5.0, 5.0]]])
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0]])
    left, right = hand_head(sigma_cells=1e6).propagate(key, [reference], [boxes], [labels(1, 1)])
    assert [left[4, x].item() for x in (0, 15)] == pytest.approx([sigmoid(5 * sigmoid(-1)), sigmoid(4 * sigmoid(-1))])
    assert [right[4, x].item() for x in (0, 15)] == pytest.approx([sigmoid(5 * sigmoid(1)), sigmoid(4 * sigmoid(1))])


def test_many_objects_are_propagated_like_each_alone() -> None:
    torch.manual_seed(0)
    head = PropagationHead(PropagationSpec(channels=4, num_mask_convs=1), 1, 3).eval()
    key, reference = torch.randn(2, 4, 3, 4)
    low = torch.rand(20, 2) * 10
    boxes, kinds = torch.cat([low, low + 14], dim=1), torch.arange(20) % 3 + 1
    together = head.propagate(key, [reference], [boxes], [kinds])
    alone = torch.cat(
        [head.propagate(key, [reference], [b[None]], [k[None]]) for b, k in zip(boxes, kinds, strict=True)]
    )
    assert torch.allclose(together, alone, atol=1e-6)


# Losses


def loss_of(head: PropagationHead, key: Tensor, reference: Tensor, **fields: list[Tensor]) -> dict[str, Tensor]:
    """Losses of features (B, 1, h, w)."""
    return head.loss(key, reference, batch_of(**fields))


QUARTER = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
"""A box over one of 2 x 2 cells: of even features it gets a quarter, fg - bg = 1/4 - 3/4."""


def one_image(value: float = 3.0, **changes) -> dict:
    """2 x 2 cells, 16 x 16 pixels of even features; one object of label 2 on 4 x 2 pixels, seen in the reference."""
    features = torch.full((1, 1, 2, 2), value)
    mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
    mask[0, :4] = 1
    image = {
        "key": features,
        "reference": features,
        "reference_boxes": [QUARTER],
        "reference_labels": [labels(2)],
        "boxes": [torch.tensor([[1.0, 2.0, 5.9, 4.9]])],
        "labels": [labels(2)],
        "masks": [mask],
        "instance_match": [labels(1)],
    }
    return image | changes


def test_losses_by_hand() -> None:
    losses = loss_of(hand_head(), **one_image())
    # The key box is filled from (1, 2) to (5, 4), ends exclusive: 4 x 2 of 256 pixels.
    assert losses["loss_propattn"].item() == pytest.approx(softplus(-1 / 2) + 8 / 256 * 1 / 2)
    logit = 2 * 3 * sigmoid(-1 / 2)  # map 2, feature 3, attention of the foreground
    assert losses["loss_propmask"].item() == pytest.approx((softplus(logit) * 192 + softplus(-logit) * 64) / 256)
    weighted = loss_of(hand_head(loss_attn_weight=2.0, loss_mask_weight=5.0), **one_image())
    assert weighted["loss_propattn"].item() == pytest.approx(2 * losses["loss_propattn"].item())
    assert weighted["loss_propmask"].item() == pytest.approx(5 * losses["loss_propmask"].item())


def test_at_stride_4_a_cell_is_4_pixels_wide_in_losses_and_propagation() -> None:
    # The picture of `one_image` at half its size: even features make every cell alike.
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[0, :2] = 1
    head, half = hand_head(stride=4), QUARTER / 2
    losses = loss_of(head, **one_image(reference_boxes=[half], masks=[mask]))
    assert losses["loss_propattn"].item() == pytest.approx(softplus(-1 / 2) + 8 / 64 * 1 / 2)
    logit = 2 * 3 * sigmoid(-1 / 2)
    assert losses["loss_propmask"].item() == pytest.approx((softplus(logit) * 48 + softplus(-logit) * 16) / 64)
    key = torch.full((1, 2, 2), 3.0)
    probs = head.propagate(key, [key], [torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 3.0, 3.0]])], [labels(2, 2)])
    assert probs.shape == (2, 8, 8) and (probs[0] > probs[1]).all()  # the second box covers no cell


def test_attention_is_interpolated_between_cells() -> None:
    # One row of two key cells that get 1/4 and 1/10 from the first reference cell.
    key, reference = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[0.0, math.log(3)]]]])
    mask = torch.zeros(1, 8, 16, dtype=torch.uint8)
    losses = loss_of(hand_head(), **one_image(key=key, reference=reference, masks=[mask]))
    first, second = 1 / 4 - 3 / 4, 1 / 10 - 9 / 10
    total = 0.0
    for x in range(16):
        logit = first + (second - first) * min(max((x + 0.5) / 8 - 0.5, 0), 1)
        total += 8 * softplus(logit) - (2 * logit if 1 <= x < 5 else 0)
    assert losses["loss_propattn"].item() == pytest.approx(total / (8 * 16))


def test_an_object_that_left_trains_an_empty_attention_and_no_mask() -> None:
    losses = loss_of(hand_head(), **one_image(instance_match=[labels(0)]))
    assert losses["loss_propattn"].item() == pytest.approx(softplus(-1 / 2))
    assert losses["loss_propmask"] == 0


def test_every_reference_box_follows_its_own_instance() -> None:
    # Reference rows 0, 1, 2 are key instances 1, none and 0.
    whole = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    masks[0] = 1
    image = one_image(
        reference_boxes=[torch.cat([QUARTER, QUARTER, whole])],
        reference_labels=[labels(2, 1, 1)],
        boxes=[torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 2.0, 2.0]])],
        labels=[labels(1, 2)],
        masks=[masks],
        instance_match=[labels(3, 1)],
    )
    losses = loss_of(hand_head(), **image)
    attention = [softplus(-1 / 2) + 4 / 256 / 2, softplus(-1 / 2), softplus(1) - 64 / 256]
    assert losses["loss_propattn"].item() == pytest.approx(sum(attention) / 3)
    # Instance 1 has an empty mask and label 2; instance 0 a full one and label 1, its attention from the whole frame.
    absent, full = 2 * 3 * sigmoid(-1 / 2), 1 * 3 * sigmoid(1)
    assert losses["loss_propmask"].item() == pytest.approx((softplus(absent) + softplus(-full)) / 2)


def test_boxes_of_all_images_count_alike() -> None:
    one, two = (
        one_image(),
        one_image(instance_match=[labels(0)], reference_boxes=[QUARTER.repeat(2, 1)], reference_labels=[labels(1, 1)]),
    )
    features = torch.cat([one["key"], two["key"]])
    both = {name: one[name] + two[name] for name in one if isinstance(one[name], list)}
    losses = loss_of(hand_head(), key=features, reference=features, **both)
    expected = (softplus(-1 / 2) + 8 / 512 + 2 * softplus(-1 / 2)) / 3
    assert losses["loss_propattn"].item() == pytest.approx(expected)


def test_images_have_matrices_by_their_place_in_the_batch() -> None:
    head = hand_head(affinity=WeightedAffinitySpec(scope="per_sample", num_samples=2))
    with torch.no_grad():
        head.affinity.weight[1] = 0
    reference = torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2)
    image = one_image(
        key=torch.ones(1, 1, 1, 2),
        reference=reference,
        instance_match=[labels(0)],
        masks=[torch.zeros(1, 8, 16).byte()],
    )
    lists = {name: value * 2 for name, value in image.items() if isinstance(value, list)}
    pair = {name: torch.cat([image[name]] * 2) for name in ("key", "reference")}
    # The first image has 1/4 and 3/4, the second an even affinity: fg - bg = -1/2 and 0.
    losses = loss_of(head, **pair, **lists)
    assert losses["loss_propattn"].item() == pytest.approx((softplus(-1 / 2) + softplus(0)) / 2)


def test_objects_have_the_matrix_of_their_category_in_the_key_frame_or_not() -> None:
    head = hand_head(affinity=WeightedAffinitySpec(scope="per_category"))
    with torch.no_grad():
        head.affinity.weight[1] = 0
    # Label 1: 1/4 against 3/4; label 2: even. Neither object is in the key frame.
    image = one_image(
        key=torch.ones(1, 1, 1, 2),
        reference=torch.tensor([0.0, math.log(3)]).reshape(1, 1, 1, 2),
        reference_boxes=[QUARTER.repeat(2, 1)],
        reference_labels=[labels(2, 1)],
        instance_match=[labels(0)],
        masks=[torch.zeros(1, 8, 16, dtype=torch.uint8)],
    )
    losses = loss_of(head, **image)
    assert losses["loss_propattn"].item() == pytest.approx((softplus(0) + softplus(-1 / 2)) / 2)


@pytest.mark.parametrize("num_objects", [0, 1])
def test_without_reference_boxes_the_losses_are_0_with_a_graph(num_objects: int) -> None:
    image = one_image(
        reference_boxes=[torch.zeros(0, 4)],
        reference_labels=[labels()],
        boxes=[torch.zeros(num_objects, 4)],
        labels=[labels(*[1] * num_objects)],
        masks=[torch.zeros(num_objects, 16, 16, dtype=torch.uint8)],
        instance_match=[labels(*[0] * num_objects)],
    )
    image["key"].requires_grad_()
    losses = loss_of(hand_head(), **image)
    assert losses["loss_propattn"] == 0 and losses["loss_propmask"] == 0
    sum(losses.values()).backward()
    assert not image["key"].grad.any()


def test_reference_boxes_without_any_key_instance_train_attention_alone() -> None:
    empty = {"boxes": [torch.zeros(0, 4)], "labels": [labels()], "instance_match": [labels()]}
    image = one_image(**empty, masks=[torch.zeros(0, 16, 16, dtype=torch.uint8)])
    image["key"].requires_grad_()
    losses = loss_of(hand_head(), **image)
    assert losses["loss_propattn"].item() == pytest.approx(softplus(-1 / 2))
    assert losses["loss_propmask"] == 0 and losses["loss_propmask"].requires_grad


# Start


def test_layers_start_as_published() -> None:
    torch.manual_seed(0)
    head = PropagationHead(PropagationSpec(channels=48, num_mask_convs=2), 8, num_categories=400)
    convs = [m for m in head.features if isinstance(m, nn.Conv2d)]
    assert [tuple(c.weight.shape) for c in convs] == [(48, 32, 1, 1), (48, 48, 3, 3), (48, 48, 1, 1)]
    for conv in (*convs, *head.mask_convs):
        assert_normal(conv.weight, math.sqrt(2 / (48 * conv.kernel_size[0] ** 2)))
        assert_zero(conv.bias)
    norms = [m for m in head.features if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 2 and [type(m) for m in head.features].count(nn.ReLU) == 2
    for norm in norms:
        assert (norm.weight == 1).all() and (norm.bias == 1).all() and norm.momentum == 0.1
    assert_normal(head.logits.weight, math.sqrt(2 / 401))
    assert_zero(head.logits.bias)
    # PyTorch's default: uniform within 1 / sqrt(fan in), where it counts outputs x 2 x 2 as fan in; bias alike.
    assert_uniform(head.upsample.weight, 1 / math.sqrt(48 * 4))
    assert head.upsample.bias.abs().max() <= 1 / math.sqrt(48 * 4) and head.upsample.bias.any()


def test_a_shared_map_starts_like_one_among_all() -> None:
    torch.manual_seed(0)
    head = PropagationHead(PropagationSpec(channels=600, num_mask_convs=1, class_agnostic=True), 1, 1)
    assert head.logits.weight.shape == (1, 600, 1, 1)
    assert_normal(head.logits.weight, math.sqrt(2 / 2))


class PlainCopy(torch.nn.Module):
    """The published affinity as a user's own class would have it: the whole matrix, nothing else."""

    per_category = False

    def forward(
        self, key: torch.Tensor, reference: torch.Tensor, sample: int | None = None, label: int | None = None
    ) -> torch.Tensor:
        return (reference.flatten(1).T @ key.flatten(1)).softmax(dim=0)


def test_an_affinity_of_ones_own_propagates_as_the_same_one_of_ours() -> None:
    torch.manual_seed(0)
    head = (
        PropagationHead(PropagationSpec(channels=4, num_mask_convs=1), in_channels=4, num_categories=2).double().eval()
    )
    key, reference = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    boxes, labels = torch.tensor([[8.0, 8.0, 31.0, 23.0], [24.0, 0.0, 63.0, 47.0]]).double(), torch.tensor([1, 2])
    ours = head.propagate(key, [reference], [boxes], [labels])
    head.affinity = PlainCopy()
    assert torch.allclose(head.propagate(key, [reference], [boxes], [labels]), ours, rtol=0, atol=1e-9)
