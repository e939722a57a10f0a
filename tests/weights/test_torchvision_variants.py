"""torchvision's later detectors: our layers compute with their tensors what theirs compute."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    maskrcnn_resnet50_fpn_v2,
)

from vistrials.errors import CheckpointError
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.loading import load_trial
from vistrials.specs.trial import TrialSpec
from vistrials.weights.backbones import load_backbone
from vistrials.weights.foreign import read_foreign
from vistrials.weights.torchvision_names import with_current_names
from vistrials.weights.torchvision_variants import mobilenet_name, settings_for

NAMES = ["lizard", "person", "sedan"]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
V2_HEADS = ("model.rpn.num_convs=2", "model.box_head.num_convs=4", "model.box_head.num_fcs=1")
MOBILE = ("model.backbone={kind: timm, name: mobilenetv3_large_100}", "init.backbone=coco")


def made(build: Callable[..., nn.Module]) -> nn.Module:
    """A detector of torchvision with random weights and statistics, in evaluation mode."""
    torch.manual_seed(0)
    detector = build(weights=None, weights_backbone=None).eval()
    for name, value in detector.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("bias"):
            value.normal_(0, 0.1)
    return detector


def imported(
    detector: nn.Module, spec: TrialSpec, path: Path
) -> tuple[ObjProp, list[tuple[str, str]], tuple[str, ...]]:
    """Our network with what fits of a detector, and the faults and the fresh parts of its import."""
    torch.save(detector.state_dict(), path)
    checkpoint = read_foreign(path, spec, NAMES)
    assert checkpoint.program == "torchvision" and checkpoint.trained_categories == ("person", "sedan")
    model = build_model(spec.model, len(NAMES)).eval()
    model.load_state_dict(checkpoint.tensors, strict=False)
    return model, [(fault.name, fault.kind) for fault in checkpoint.faults], checkpoint.fresh_parts


@pytest.fixture(scope="module")
def v2() -> nn.Module:
    return made(maskrcnn_resnet50_fpn_v2)


@pytest.fixture(scope="module", params=[fasterrcnn_mobilenet_v3_large_fpn, fasterrcnn_mobilenet_v3_large_320_fpn])
def mobile(request: pytest.FixtureRequest) -> nn.Module:
    return made(request.param)


def pyramid_of(detector: nn.Module, features: list[Tensor]) -> list[Tensor]:
    return list(detector.backbone.fpn(OrderedDict((str(i), f) for i, f in enumerate(features))).values())


@torch.inference_mode()
def test_v2_is_taken_over_whole_by_heads_of_its_form(v2: nn.Module, tmp_path: Path) -> None:
    spec = load_trial("masktrack_rcnn", "youtube_vis_2019", V2_HEADS)
    model, faults, fresh = imported(v2, spec, tmp_path / "v2.pth")
    assert faults == [] and fresh == ("track_head",)
    image = torch.randn(1, 3, 64, 96)
    theirs = list(v2.backbone.body(image).values())
    ours = model.backbone(image)
    assert all(torch.allclose(a, b, **CLOSE) for a, b in zip(ours, theirs, strict=True))
    levels = pyramid_of(v2, theirs)
    assert all(torch.allclose(a, b, **CLOSE) for a, b in zip(model.fpn(ours), levels, strict=True))
    logits, deltas = v2.rpn.head(levels)
    own_logits, own_deltas = model.rpn(levels)
    assert torch.allclose(own_logits[0], logits[0].permute(0, 2, 3, 1).flatten(1), **CLOSE)
    # A cell's deltas: theirs by anchor as well.
    assert torch.allclose(own_deltas[0], deltas[0].permute(0, 2, 3, 1).reshape(1, -1, 4), **CLOSE)

    features = torch.randn(2, 256, 7, 7)
    logits, deltas = v2.roi_heads.box_predictor(v2.roi_heads.box_head(features))
    own_logits, own_deltas = model.box_head(features)
    person = 1  # COCO's; ours is the second category
    assert torch.allclose(own_logits[:, [0, 2]], logits[:, [0, person]], **CLOSE)
    assert torch.allclose(own_deltas[:, 8:12], deltas[:, 4 * person : 4 * person + 4], **CLOSE)
    features = torch.randn(2, 256, 14, 14)
    masks = v2.roi_heads.mask_predictor(v2.roi_heads.mask_head(features))[:, person]
    assert torch.allclose(model.mask_head(features, torch.tensor([2, 2])), masks, **CLOSE)


def test_v2_under_published_heads_says_what_does_not_fit(v2: nn.Module, tmp_path: Path) -> None:
    spec = load_trial("masktrack_rcnn", "youtube_vis_2019")
    _, faults, _ = imported(v2, spec, tmp_path / "v2.pth")
    assert ("rpn.head.conv.1.0.weight", "unexpected") in faults
    assert ("roi_heads.box_head.fc7.weight", "missing") in faults
    assert not [name for name, _ in faults if name.startswith(("backbone.", "roi_heads.mask_"))]
    assert settings_for(v2.state_dict()) == V2_HEADS


@torch.inference_mode()
def test_mobilenet_gives_backbone_coarsest_level_rpn_and_box_head(mobile: nn.Module, tmp_path: Path) -> None:
    spec = load_trial("masktrack_rcnn", "youtube_vis_2019", MOBILE)
    model, faults, fresh = imported(mobile, spec, tmp_path / "mobile.pth")
    assert set(fresh) == {"mask_head", "track_head"}
    assert {kind for _, kind in faults} == {"missing"}
    levels = {name.split("_blocks.")[1][0] for name, _ in faults}
    assert levels == {"0", "1", "2"}, "torchvision's pyramid has no levels of stride 4, 8, 16"

    image = torch.randn(1, 3, 64, 96)
    theirs = list(mobile.backbone.body(image).values())
    assert torch.allclose(model.backbone(image)[3], theirs[1], **CLOSE)
    level = pyramid_of(mobile, theirs)[1]
    assert torch.allclose(model.fpn(model.backbone(image))[3], level, **CLOSE)
    # Their anchors are ratios of .5, 1, 2, each of 32, 64, 128, 256, 512 pixels: ours are those of 256, 8 strides.
    logits, deltas = mobile.rpn.head([level])
    own_logits, own_deltas = model.rpn([level])
    expected = logits[0].unflatten(1, (3, 5))[:, :, 3].permute(0, 2, 3, 1).flatten(1)
    assert torch.allclose(own_logits[0], expected, **CLOSE)
    expected = deltas[0].unflatten(1, (3, 5, 4))[:, :, 3].permute(0, 3, 4, 1, 2).reshape(1, -1, 4)
    assert torch.allclose(own_deltas[0], expected, **CLOSE)
    assert mobile.rpn.anchor_generator.sizes[0][3] == 8 * 32
    features = torch.randn(2, 256, 7, 7)
    logits, _ = mobile.roi_heads.box_predictor(mobile.roi_heads.box_head(features))
    assert torch.allclose(model.box_head(features)[0][:, [0, 2]], logits[:, [0, 1]], **CLOSE)


def test_each_tensor_of_timms_mobilenet_has_one_of_torchvisions(mobile: nn.Module) -> None:
    ours = timm.create_model("mobilenetv3_large_100", features_only=True).state_dict()
    theirs = {n.removeprefix("backbone.body."): v for n, v in mobile.state_dict().items() if ".body." in n}
    mapped = {mobilenet_name(name): value.shape for name, value in ours.items()}
    assert mapped == {name: value.shape for name, value in theirs.items()}
    for name in (
        "blocks.7.0.conv.weight",
        "blocks.0.1.conv_pw.weight",
        "classifier.bias",
        "blocks.1.0.se.conv_reduce.bias",
    ):
        assert mobilenet_name(name) is None


def test_init_backbone_takes_backbone_and_pyramid_of_a_file(v2: nn.Module, mobile: nn.Module, tmp_path: Path) -> None:
    for detector, settings in ((v2, ()), (mobile, MOBILE)):
        torch.save(detector.state_dict(), tmp_path / "detector.pth")
        model = build_model(load_trial("masktrack_rcnn", "youtube_vis_2019", settings).model, 3).eval()
        assert load_backbone(model, str(tmp_path / "detector.pth")) is not None
        image = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            theirs = list(detector.backbone(image).values())[-2]
            assert torch.allclose(model.pyramid(image)[3], theirs, **CLOSE)


def test_a_detector_of_another_backbone_is_refused(mobile: nn.Module, tmp_path: Path) -> None:
    torch.save(mobile.state_dict(), tmp_path / "mobile.pth")
    for settings in ((), ("model.backbone={kind: timm, name: regnetx_002}",)):
        model = build_model(load_trial("masktrack_rcnn", "youtube_vis_2019", settings).model, 3)
        with pytest.raises(CheckpointError, match=r"no backbone\.\w+"):
            load_backbone(model, str(tmp_path / "mobile.pth"))


def test_folding_norms_leaves_a_state_without_norms_alone() -> None:
    state = {"backbone.fpn.inner_blocks.0.0.weight": torch.ones(2, 2, 1, 1), "backbone.body.bn1.bias": torch.ones(2)}
    assert with_current_names(state) == state
