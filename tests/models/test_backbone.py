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


@pytest.mark.parametrize("norm", ["running_stats", "batch_stats"])
@pytest.mark.parametrize(("depth", "original"), [(18, resnet18), (50, resnet50)])
def test_outputs_and_gradients_equal_torchvisions(depth: int, original, norm: str) -> None:
    ours = backbone(depth=depth, base_width=64, frozen_stages=-1, norm=norm).double().train()
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    theirs = original().double().train(norm == "batch_stats")
    theirs.load_state_dict(ours.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
    total, expected = torch.zeros(()), torch.zeros(())
    for stage, found in zip((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(images), strict=True):
        x = stage(x)
        assert torch.allclose(found, x, rtol=1e-9, atol=1e-9 * float(x.detach().abs().max()))
        weights = torch.randn_like(x)
        total, expected = total + (found * weights).sum(), expected + (x * weights).sum()
    total.backward()
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        of_theirs = gradients[name]
        assert torch.allclose(parameter.grad, of_theirs, rtol=1e-8, atol=1e-9 * float(of_theirs.abs().max())), name


def test_the_output_of_a_convolution_alone_is_not_kept_for_the_gradients() -> None:
    module = backbone(depth=50, base_width=8, frozen_stages=-1).train()
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(torch.randn(2, 3, 256, 256))
    counts = {"alone": sum(kept.values())}
    kept.clear()
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(torch.randn(2, 3, 256, 256))
    counts["both"] = sum(kept.values())
    assert counts["alone"] < 0.7 * counts["both"], counts


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
