import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet18

from tests.models.small import small_model
from vistrials.errors import CheckpointError
from vistrials.models.objprop import ObjProp
from vistrials.specs.model import FPNSpec, ResNetSpec
from vistrials.weights.backbones import load_backbone

STANDARD = ResNetSpec(depth=18)


def _saved_resnet(path: Path) -> dict[str, torch.Tensor]:
    state = resnet18().state_dict()
    torch.save(state, path)
    return state


def _same_features(model: ObjProp, state: dict[str, torch.Tensor]) -> bool:
    return all(
        torch.equal(model.backbone.state_dict()[name], state[name]) for name in state if not name.startswith("fc.")
    )


def test_a_file_of_torchvisions_names_loads_whole(tmp_path: Path) -> None:
    state = _saved_resnet(tmp_path / "resnet.pth")
    model = small_model(backbone=STANDARD)
    assert not _same_features(model, state)
    load_backbone(model, str(tmp_path / "resnet.pth"))
    assert _same_features(model, state)


def test_our_backbone_computes_what_torchvisions_does() -> None:
    reference = resnet18().double().eval()
    model = small_model(backbone=STANDARD).double().eval()
    model.backbone.load_state_dict({n: v for n, v in reference.state_dict().items() if not n.startswith("fc.")})
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        expected = reference.layer1(reference.maxpool(reference.relu(reference.bn1(reference.conv1(images)))))
        assert torch.allclose(model.backbone(images)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("block", [".0.", "."], ids=["current names", "names of the published file"])
def test_a_detectors_file_fills_backbone_and_pyramid(tmp_path: Path, block: str) -> None:
    source = small_model(backbone=STANDARD)
    torch.nn.init.normal_(source.fpn.pyramid.inner_blocks[0][0].bias)
    state = {
        re.sub(
            r"^fpn\.pyramid\.(\w+\.\d)\.0\.", rf"backbone.fpn.\1{block}", name.replace("backbone.", "backbone.body.")
        ): value
        for name, value in source.state_dict().items()
        if name.startswith(("backbone.", "fpn."))
    } | {"rpn.head.cls_logits.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "detector.pth")
    torch.manual_seed(3)
    model = small_model(backbone=STANDARD)
    load_backbone(model, str(tmp_path / "detector.pth"))
    bias = "pyramid.inner_blocks.0.0.bias"
    assert torch.equal(model.fpn.state_dict()[bias], source.fpn.state_dict()[bias])


def test_another_width_is_refused_by_name_and_shape(tmp_path: Path) -> None:
    _saved_resnet(tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"backbone\.conv1\.weight expected shape \(8, .*found \(64"):
        load_backbone(small_model(), str(tmp_path / "resnet.pth"))


def test_another_depth_is_refused(tmp_path: Path) -> None:
    _saved_resnet(tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match="no backbone.layer1.2"):
        load_backbone(small_model(backbone=ResNetSpec(depth=34)), str(tmp_path / "resnet.pth"))


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError) as error:
        load_backbone(small_model(), str(path))
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    with pytest.raises(CheckpointError, match="no such file"):
        load_backbone(small_model(), str(tmp_path / "absent.pth"))


def test_without_a_connection_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    for source in ("imagenet", "coco"):
        depth = {"imagenet": 18, "coco": 50}[source]
        model = small_model(backbone=ResNetSpec(depth=depth), fpn=FPNSpec(channels=256))
        with pytest.raises(CheckpointError) as error:
            load_backbone(model, source)
        message = str(error.value)
        assert source in message and "no route to host" in message and "\n" not in message
        assert "--set init.backbone=FILE" in message and "--set init.backbone=random" in message


def test_standard_weights_are_not_for_other_widths() -> None:
    with pytest.raises(CheckpointError, match="base_width 8"):
        load_backbone(small_model(), "imagenet")


def test_random_is_taken_at_its_word() -> None:
    model = small_model(backbone=STANDARD)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_backbone(model, "random")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
