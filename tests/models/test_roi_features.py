import pytest
import torch

from vistrials.models import roi_features as module
from vistrials.models.roi_features import align, roi_features
from vistrials.specs.model import RoISpec


def _rois(count: int) -> torch.Tensor:
    """Boxes inside, across the border of and outside a 96 x 64 pixel image, some of them smaller than a cell."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64) * torch.tensor([130.0, 90.0]) - 15
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


@pytest.mark.parametrize("stride", [4, 8])
def test_matrix_products_equal_torchvision(monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    features = torch.randn(2, 3, 64 // stride, 96 // stride, dtype=torch.float64, requires_grad=True)
    rois, image_index = _rois(40), torch.arange(40) % 2
    results = []
    for limit in (0, 10**9):
        monkeypatch.setattr(module, "_MAX_SEPARABLE_CELLS", limit)
        pooled = align(features, rois, image_index, 7, stride)
        (gradient,) = torch.autograd.grad((pooled**2).sum(), features)
        results.append((pooled, gradient))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-12)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-12)


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
