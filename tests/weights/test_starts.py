"""What a trial starts from, as `vistrials show` says it."""

from pathlib import Path

import pytest

from tests.models.small import small_model, small_spec
from vistrials.specs.loading import load_trial
from vistrials.specs.model import TimmSpec
from vistrials.specs.training import InitSpec
from vistrials.weights.files import save_weights
from vistrials.weights.starts import describe_backbone, describe_starts, holds_backbone


def starts(trial: str, profile: str, *overrides: str) -> list[tuple[str, str, str]]:
    spec = load_trial(trial, profile, overrides)
    return [tuple(start) for start in describe_starts(spec.init, spec.model)]


def test_each_published_start_says_what_from_where_and_under_which_licence() -> None:
    assert starts("attention_neck", "youtube_vis_2019") == [
        ("last checkpoint of a trial, trained first", "masktrack_rcnn", "that of what it starts from")
    ]
    ((what, origin, licence),) = starts("masktrack_rcnn", "youtube_vis_2019")
    assert "maskrcnn_resnet50_fpn, COCO" in what and "download.pytorch.org" in origin and "BSD-3-Clause" in licence
    ((what, origin, licence),) = starts("masktrack_rcnn", "ovis", "init.backbone=imagenet")
    assert what == "ResNet-50, ImageNet-1k (IMAGENET1K_V1)"
    ((what, origin, licence),) = starts("masktrack_rcnn", "laptop")
    assert "EfficientNet-Lite0" in what and origin.endswith("efficientnet-lite0-57934424.pth")
    assert licence == "Apache-2.0"
    ((what, origin, licence),) = starts("baseline", "demo")
    assert origin.endswith("vistrials/shipped/masktrack_rcnn_demo.safetensors") and licence == "Apache-2.0 (vistrials)"
    assert starts("masktrack_rcnn", "laptop", "init.backbone=random")[0][0] == "random numbers"


def test_weights_without_a_backbone_leave_it_to_init_backbone() -> None:
    both = starts("masktrack_rcnn", "laptop", "init.weights=shipped:masktrack_rcnn_demo", "init.allow_mismatch=true")
    assert [start[2] for start in both] == ["Apache-2.0 (vistrials)", "Apache-2.0"]
    assert "EfficientNet-Lite0" in both[1][0]


def test_a_file_holds_a_backbone_if_a_tensor_of_it_fits(tmp_path: Path) -> None:
    save_weights(tmp_path / "own.safetensors", small_model(), {})
    assert holds_backbone(tmp_path / "own.safetensors", small_spec())
    assert not holds_backbone(tmp_path / "own.safetensors", small_spec(backbone=TimmSpec(name="regnetx_002")))
    init = InitSpec(weights=str(tmp_path / "gone.safetensors"))
    assert describe_starts(init, small_spec())[0].origin.endswith("gone.safetensors (no such file)")


@pytest.mark.parametrize(
    ("name", "what", "licence"),
    [
        ("mobilenetv3_large_100", "mobilenetv3_large_100.ra_in1k of timm", "apache-2.0"),
        ("efficientnet_lite0.ra_in1k", "efficientnet_lite0.ra_in1k of timm", "apache-2.0"),
        ("regnetx_002.pycls_in1k", "regnetx_002.pycls_in1k of timm", "mit"),
    ],
)
def test_weights_of_timms_hub_carry_its_licence(name: str, what: str, licence: str) -> None:
    start = describe_backbone(small_spec(backbone=TimmSpec(name=name)), "imagenet")
    assert start.what == what and start.licence == licence and start.origin.startswith("huggingface.co/timm/")


def test_a_network_that_timm_has_no_weights_of_says_so() -> None:
    name = "mobilenetv4_conv_small_035"
    start = describe_backbone(small_spec(backbone=TimmSpec(name=name)), "imagenet")
    assert start == (f"ImageNet weights of {name}", "nowhere: timm has none", "")
