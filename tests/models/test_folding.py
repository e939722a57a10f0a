import pytest
import torch
from torch import nn

from tests.models.small import small_model
from vistrials.models.folding import for_inference
from vistrials.specs.model import ResNetSpec, TimmSpec


def with_statistics(model: nn.Module) -> nn.Module:
    """Batch norms of all kinds of numbers."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                nn.init.uniform_(values, low, low + 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.double().eval()


@pytest.mark.parametrize("depth", [18, 50])
def test_features_and_masks_are_the_same(depth: int) -> None:
    model = with_statistics(small_model(backbone=ResNetSpec(depth=depth, base_width=8)))
    folded = for_inference(model)
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        levels, found = model.pyramid(image), folded.pyramid(image)
        for ours, theirs in zip(found, levels, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))
        expected = model.propagation.extract(levels)
        assert torch.allclose(folded.propagation.extract(levels), expected, rtol=1e-9)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_the_model_itself_stays_as_it_is() -> None:
    model = small_model()
    names, mode = list(model.state_dict()), model.training
    folded = for_inference(model)
    assert list(model.state_dict()) == names and model.training == mode
    assert all(p.requires_grad for p in model.rpn.parameters()) and not folded.training
    assert not any(p.requires_grad for p in folded.parameters())


def test_convolutions_have_channels_last() -> None:
    folded, image = for_inference(small_model()), torch.randn(1, 3, 64, 96)
    assert folded.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert folded.pyramid(image)[0].is_contiguous(memory_format=torch.channels_last)


def test_a_backbone_of_timm_gives_the_same_features() -> None:
    """Its batch norms hold an activation, which folding them would lose."""
    model = with_statistics(small_model(backbone=TimmSpec(name="efficientnet_lite0")))
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(for_inference(model).pyramid(image), model.pyramid(image), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * float(theirs.abs().max()))
