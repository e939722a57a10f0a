from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.small import small_model
from vistrials.errors import CheckpointError
from vistrials.models.objprop import build_model
from vistrials.models.original_names import from_original, original_name, to_original
from vistrials.specs.model import ModelSpec, NeckSpec, PropagationSpec, WeightedAffinitySpec

NECK = NeckSpec(levels=(0, 1, 2, 3))


@pytest.mark.parametrize("neck", [None, NeckSpec()])
def test_every_original_key_has_one_of_ours_with_its_shape(shared_dir: Path, neck: NeckSpec | None) -> None:
    listed = np.load(shared_dir / "goldens" / "weights_fingerprint.npz")
    shapes = {n.decode(): s.decode() for n, s in zip(listed["names"], listed["shapes"], strict=True)}
    if neck is None:
        shapes = {name: shape for name, shape in shapes.items() if not name.startswith("neck_attn.")}
    with torch.device("meta"):
        model = build_model(ModelSpec(neck=neck), num_categories=40)
    ours = {original_name(name): str(tuple(value.shape)) for name, value in model.state_dict().items()}
    assert ours == shapes


def test_round_trip() -> None:
    source, target = small_model(neck=NECK).state_dict(), small_model(neck=NECK).state_dict()
    source = {name: torch.randn_like(v) if v.is_floating_point() else v + 3 for name, v in source.items()}
    restored = from_original(to_original(source), target)
    assert restored.keys() == source.keys()
    assert all(torch.equal(restored[name], value) for name, value in source.items())


def test_what_does_not_fit_is_listed() -> None:
    model = small_model()
    state = to_original(model.state_dict())
    del state["rpn_head.rpn_cls.bias"]
    state["backbone.fc.weight"] = torch.zeros(2)
    state["bbox_head.fc_cls.bias"] = torch.zeros(81)
    with pytest.raises(CheckpointError) as error:
        from_original(state, model.state_dict())
    message = str(error.value)
    assert "1 missing: rpn_head.rpn_cls.bias" in message
    assert "1 unexpected: backbone.fc.weight" in message
    assert "1 of another shape: bbox_head.fc_cls.bias (expected (4,), found (81,))" in message


def test_old_files_without_batch_counts_load() -> None:
    model = small_model()
    state = {n: v for n, v in to_original(model.state_dict()).items() if not n.endswith("num_batches_tracked")}
    assert from_original(state, model.state_dict()).keys() == model.state_dict().keys()


def test_parameters_that_the_original_lacks_are_not_exported() -> None:
    affinity = WeightedAffinitySpec(scope="shared")
    model = small_model(propagation=PropagationSpec(channels=8, num_mask_convs=1, affinity=affinity))
    with pytest.raises(CheckpointError, match=r"propagation\.affinity\.weight"):
        to_original(model.state_dict())
