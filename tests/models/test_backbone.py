import math

import pytest
import torch
from torch import nn
from torchvision.models.resnet import resnet18, resnet50

from tests.models.starts import assert_normal
from vistrials.models.backbone import ResNet
from vistrials.specs.model import ResNetSpec


def backbone(**changes) -> ResNet:
    torch.manual_seed(0)
    return ResNet(ResNetSpec(**({"depth": 18, "base_width": 4} | changes)))


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.state_dict().items()}


@pytest.mark.parametrize(("depth", "original"), [(18, resnet18), (50, resnet50)])
def test_names_and_shapes_are_torchvisions_without_the_classifier(depth: int, original) -> None:
    with torch.device("meta"):
        expected = {name: shape for name, shape in shapes(original()).items() if not name.startswith("fc.")}
        assert shapes(backbone(depth=depth, base_width=64)) == expected


def test_outputs_equal_torchvisions_stage_by_stage() -> None:
    ours = backbone(base_width=64).eval()
    theirs = resnet18().eval()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 96)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    with torch.no_grad():
        for stage, found in zip((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(image), strict=True):
            x = stage(x)
            assert torch.allclose(found, x, atol=1e-6)


def test_strides_and_widths() -> None:
    for depth, expansion in ((18, 1), (50, 4)):
        module = backbone(depth=depth)
        assert module.out_channels == [4 * expansion, 8 * expansion, 16 * expansion, 32 * expansion]
        features = module.eval()(torch.randn(2, 3, 64, 96))
        assert [tuple(f.shape) for f in features] == [
            (2, channels, 64 // stride, 96 // stride)
            for channels, stride in zip(module.out_channels, (4, 8, 16, 32), strict=True)
        ]


def test_the_stride_of_a_bottleneck_is_in_its_3x3() -> None:
    first = backbone(depth=50).layer2[0]
    assert (first.conv1.stride, first.conv2.stride, first.conv3.stride) == ((1, 1), (2, 2), (1, 1))


@pytest.mark.parametrize(("depth", "blocks"), [(18, [2, 2, 2, 2]), (34, [3, 4, 6, 3]), (50, [3, 4, 6, 3]),
                                               (101, [3, 4, 23, 3]), (152, [3, 8, 36, 3])])  # fmt: skip
def test_blocks_per_stage(depth: int, blocks: list[int]) -> None:
    module = backbone(depth=depth)
    assert [len(module.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == blocks


@pytest.mark.parametrize(("stages", "trained"), [
    (-1, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    (0, {"layer1", "layer2", "layer3", "layer4"}),
    (1, {"layer2", "layer3", "layer4"}),
    (4, set()),
])  # fmt: skip
def test_frozen_stages(stages: int, trained: set[str]) -> None:
    module = backbone(frozen_stages=stages)
    assert {name.split(".")[0] for name, p in module.named_parameters() if p.requires_grad} == trained


def test_norms_use_running_statistics_in_training_or_their_own() -> None:
    image = torch.randn(2, 3, 64, 64) * 5 + 3
    published = backbone()
    before = {name: value.clone() for name, value in published.state_dict().items()}
    assert torch.equal(published.train()(image)[3], published.eval()(image)[3])
    assert all(torch.equal(before[name], value) for name, value in published.state_dict().items())

    scratch = backbone(norm="batch_stats", frozen_stages=1).train()
    scratch(image)
    updated = {
        name.split(".")[0] for name, value in scratch.state_dict().items() if not torch.equal(before[name], value)
    }
    assert updated == {"layer2", "layer3", "layer4"}  # frozen stages keep theirs
    assert not scratch.eval().layer2[0].bn1.training


def test_convolutions_start_kaiming_normal() -> None:
    module = backbone(base_width=32)
    assert_normal(module.conv1.weight, math.sqrt(2 / (32 * 49)))
    assert_normal(module.layer3[0].conv1.weight, math.sqrt(2 / (128 * 9)))
