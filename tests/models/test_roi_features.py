import math

import pytest
import torch
from torchvision.ops import roi_align

from vistrials.models import roi_features as module
from vistrials.models.roi_features import align, roi_features
from vistrials.specs.model import RoISpec

WAYS = {"gathering": 0, "matrix products": 10**9}
"""Up to how many cells matrices are multiplied."""


def _rois(count: int) -> torch.Tensor:
    """Boxes inside, across the border of and outside a 96 x 64 pixel image, some of them smaller than a cell."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64) * torch.tensor([130.0, 90.0]) - 15
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def torchvision_align(features: torch.Tensor, rois: torch.Tensor, image_index: torch.Tensor, size: int, stride: int):
    """Its aligned RoIAlign puts pixel centres at half-integers and ends at x2: half a cell further, and one pixel."""
    half = 0.5 * stride
    shifted = rois + rois.new_tensor([half, half, half + 1, half + 1])
    rows = torch.cat([image_index[:, None].to(rois), shifted], dim=1)
    return roi_align(features, rows, (size, size), spatial_scale=1 / stride, sampling_ratio=2, aligned=True)


@pytest.mark.parametrize("limit", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("stride", [4, 8])
def test_features_and_gradients_equal_torchvisions(monkeypatch: pytest.MonkeyPatch, stride: int, limit: int) -> None:
    monkeypatch.setattr(module, "_MAX_SEPARABLE_CELLS", limit)
    features = torch.randn(2, 3, 64 // stride, 96 // stride, dtype=torch.float64, requires_grad=True)
    rois, image_index = _rois(40), torch.arange(40) % 2
    results = []
    for function in (align, torchvision_align):
        pooled = function(features, rois, image_index, 7, stride)
        (gradient,) = torch.autograd.grad((pooled**2).sum(), features)
        results.append((pooled, gradient))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-12)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-12)


def test_boxes_of_all_levels_and_images_are_gathered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SEPARABLE_CELLS", 0)
    torch.manual_seed(0)
    levels = [torch.randn(2, 3, 128 // s, 160 // s, dtype=torch.float64) for s in (4, 8, 16, 32)]
    boxes = [torch.cat([_rois(15), 3 * _rois(15)]), 2 * _rois(20)]
    pooled = roi_features(levels, boxes, 7, RoISpec(finest_scale_px=20))
    seen = set()
    for i, (image, box) in enumerate([(i, box) for i, own in enumerate(boxes) for box in own]):
        side = float(((box[2] - box[0] + 1) * (box[3] - box[1] + 1)).sqrt())
        level = min(max(math.floor(math.log2(side / 20 + 1e-6)), 0), 3)
        seen.add(level)
        expected = torchvision_align(levels[level], box[None], torch.tensor([image]), 7, 4 * 2**level)[0]
        assert torch.allclose(pooled[i], expected, atol=1e-12)
    assert seen == {0, 1, 2, 3}


def test_a_linear_ramp_is_sampled_at_the_centres_of_the_bins() -> None:
    ramp = torch.arange(16, dtype=torch.float64).expand(1, 1, 16, 16)
    # Pixels 16..31 are cells 4..8 of stride 4; two bins centred at cells 5 and 7.
    pooled = align(ramp, torch.tensor([[16.0, 16.0, 31.0, 31.0]], dtype=torch.float64), torch.tensor([0]), 2, 4)
    assert torch.allclose(pooled[0, 0], torch.tensor([[5.0, 7.0], [5.0, 7.0]], dtype=torch.float64))


def test_large_boxes_read_coarse_levels() -> None:
    levels = [torch.full((1, 1, 512 // s, 512 // s), float(s)) for s in (4, 8, 16, 32)]
    sides = [20, 55, 112, 224, 448]  # 56 -> P2 up to 111, P3 from 112, P4 from 224, P5 from 448
    boxes = torch.tensor([[0.0, 0.0, side - 1, side - 1] for side in sides])
    pooled = roi_features(levels, [boxes], 1, RoISpec())
    assert pooled.flatten().tolist() == [4, 4, 8, 16, 32]
    assert roi_features(levels, [boxes], 1, RoISpec(num_levels=1)).flatten().tolist() == [4] * 5


def test_images_keep_their_order() -> None:
    level = torch.stack([torch.full((1, 8, 8), 1.0), torch.full((1, 8, 8), 2.0)])
    box = torch.tensor([[4.0, 4.0, 11.0, 11.0]])
    pooled = roi_features([level], [box.repeat(2, 1), box], 1, RoISpec(num_levels=1))
    assert pooled.flatten().tolist() == [1, 1, 2]


@pytest.mark.parametrize("limit", WAYS.values(), ids=WAYS)
def test_a_box_of_one_cell_reads_that_cell_and_its_right_and_lower_neighbours(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(module, "_MAX_SEPARABLE_CELLS", limit)
    features = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]]]], dtype=torch.float64)
    # Pixels 0..3 of stride 4 span cells 0..1; samples at .25 and .75, whose mean lies half way to each neighbour.
    pooled = align(features, torch.tensor([[0.0, 0.0, 3.0, 3.0]], dtype=torch.float64), torch.tensor([0]), 1, 4)
    assert pooled.item() == pytest.approx((10 + 20 + 30 + 40) / 4)


@pytest.mark.parametrize("limit", WAYS.values(), ids=WAYS)
def test_samples_outside_the_map_take_its_border_or_0(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(module, "_MAX_SEPARABLE_CELLS", limit)
    features = torch.full((1, 1, 4, 4), 8.0, dtype=torch.float64)
    # Stride 1, one row; pixels -4..-1 have samples at -3 and -1, of which the second is within a cell of the map.
    rois = torch.tensor([[-4.0, 1.0, -1.0, 1.0], [4.0, 1.0, 7.0, 1.0], [0.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    pooled = align(features, rois, torch.tensor([0, 0, 0]), 1, 1)
    assert pooled.flatten().tolist() == pytest.approx([8 / 2, 0, 8])  # pixels 4..7: samples at 5 and 7, past 4


def test_levels_change_at_twice_the_finest_scale() -> None:
    levels = [torch.full((1, 1, 256, 256), float(i)) for i in range(4)]
    # Level floor(log2(sqrt(w h) / 56 + 1e-6)): sides 111 and 112, 223 and 224, 447 and 448, 896.
    boxes = torch.tensor([[0.0, 0.0, s - 1.0, s - 1.0] for s in (1, 111, 112, 223, 224, 447, 448, 896)])
    pooled = roi_features(levels, [boxes], 1, RoISpec())
    assert pooled.flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # The area counts, not the longer side: 28 x 448 is as large as 112 x 112.
    long = torch.tensor([[0.0, 0.0, 27.0, 447.0], [0.0, 0.0, 27.0, 440.0]])
    assert roi_features(levels, [long], 1, RoISpec()).flatten().tolist() == [1, 0]
    assert roi_features(levels, [boxes[2:3]], 1, RoISpec(finest_scale_px=57)).item() == 0


def test_moving_box_and_map_by_whole_cells_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    box = torch.tensor([[9.0, 5.0, 30.0, 23.0]], dtype=torch.float64)
    moved = align(
        features.roll((2, 3), dims=(2, 3)), box + torch.tensor([12.0, 8.0, 12.0, 8.0]), torch.tensor([0]), 3, 4
    )
    assert torch.allclose(moved, align(features, box, torch.tensor([0]), 3, 4))


def test_no_boxes_give_no_features() -> None:
    level = torch.zeros(2, 5, 8, 8, requires_grad=True)
    pooled = roi_features([level], [torch.zeros(0, 4), torch.zeros(0, 4)], 7, RoISpec(num_levels=1))
    assert pooled.shape == (0, 5, 7, 7)
