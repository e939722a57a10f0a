import sys

import pytest
import torch
from torch import nn

from tests.models.small import make_batch, small_model
from vistrials.errors import SpecError
from vistrials.models.backbone import Backbone, build_backbone
from vistrials.specs.model import TimmSpec

SMALL = "mobilenetv4_conv_small_050"
FAMILIES = [
    "convnext_atto", "efficientnet_lite0", "mobilenetv3_small_050", SMALL, "regnetx_002", "pvt_v2_b0",
]  # fmt: skip


def backbone(name: str = SMALL, **changes) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(TimmSpec(name=name, **changes))


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_learns_inside_the_whole_network(name: str) -> None:
    model = small_model(backbone=TimmSpec(name=name, frozen_stages=0)).train()
    images = torch.randn(1, 3, 64, 96)
    features = model.backbone(images)
    assert [tuple(f.shape[-2:]) for f in features] == [(64 // s, 96 // s) for s in (4, 8, 16, 32)]
    assert [f.shape[1] for f in features] == model.backbone.out_channels
    losses = model(make_batch([2, 1]))
    sum(value for key, value in losses.items() if key.startswith("loss_")).backward()
    trained = [p for p in model.backbone.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_frozen_stages_are_what_their_features_are_made_of(name: str, stages: int) -> None:
    """A feature depends on frozen parameters alone up to the last frozen stage, and on trained ones after it."""
    module = backbone(name, frozen_stages=stages)
    features = module(torch.randn(1, 3, 64, 64))
    assert [feature.requires_grad for feature in features] == [stage > stages for stage in (1, 2, 3, 4)]


def test_the_stem_alone_or_nothing_can_be_frozen() -> None:
    def frozen(**changes) -> set[str]:
        return {
            n.split(".")[1] for n, p in backbone("regnetx_002", **changes).named_parameters() if not p.requires_grad
        }

    assert frozen(frozen_stages=-1) == set()
    assert frozen(frozen_stages=0) == {"stem"}
    assert frozen(frozen_stages=1) == {"stem", "s1"}


def test_norms_use_running_statistics_in_training_or_their_own() -> None:
    image = torch.randn(2, 3, 64, 64) * 5 + 3
    published = backbone()
    before = {name: value.clone() for name, value in published.state_dict().items()}
    assert torch.equal(published.train()(image)[3], published.eval()(image)[3])
    assert all(torch.equal(before[name], value) for name, value in published.state_dict().items())

    scratch = backbone(norm="batch_stats", frozen_stages=1).train()
    scratch(image)
    updated = {n.split(".")[2] for n, v in scratch.state_dict().items() if not torch.equal(before[n], v)}
    assert updated == {"1", "2", "3", "4"}  # of the blocks; the stem and the first keep theirs
    assert not any(m.training for m in scratch.eval().modules() if isinstance(m, nn.BatchNorm2d))


def test_a_network_of_another_normalisation_gets_its_own() -> None:
    """tf_efficientnet_lite0 was trained on pixels in -1..1: grey of value 127.5 is 0 there."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    module = backbone("tf_efficientnet_lite0", frozen_stages=-1).eval()
    seen = []
    module.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module((torch.full((1, 3, 64, 64), 0.5) - mean) / std)
    module((torch.ones(1, 3, 64, 64) - mean) / std)
    assert torch.allclose(seen[0], torch.zeros(()), atol=1e-6) and torch.allclose(seen[1], torch.ones(()), atol=1e-6)


def test_out_indices_choose_among_features() -> None:
    assert backbone(out_indices=(1, 2, 3, 4)).out_channels == backbone().out_channels
    with pytest.raises(SpecError, match=r"has 2, 4, 8, 16 for out_indices \[0, 1, 2, 3\]"):
        backbone(out_indices=(0, 1, 2, 3))
    with pytest.raises(SpecError, match="timm makes no features"):
        backbone(out_indices=(1, 2, 3, 9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "efficientnet_lite9"}, "no network 'efficientnet_lite9'; did you mean 'efficientnet_lite4'"),
        (
            {"name": "regnetx_002.nobody"},
            "no weights 'regnetx_002.nobody'; expected regnetx_002 or one of regnetx_002.pycls",
        ),
        ({"name": "vit_tiny_patch16_224"}, "takes images of 224 x 224 pixels alone"),
        ({"name": "convnext_atto", "norm": "batch_stats"}, "has no batch norm"),
        ({"name": "vgg11"}, "frozen_stages.* set it to -1"),
    ],
)
def test_what_cannot_work_is_refused_by_name(changes: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        backbone(**changes)
    assert "\n" not in str(error.value)


def test_without_timm_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SpecError, match=r"pip install 'vistrials\[timm\]'"):
        backbone()
