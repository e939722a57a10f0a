from pathlib import Path

import pytest
import torch

from tests.models.small import small_model
from tests.weights.original_checkpoints import listed_shapes
from vistrials.errors import CheckpointError
from vistrials.models.objprop import build_model
from vistrials.specs.model import ModelSpec, NeckSpec, PropagationSpec, WeightedAffinitySpec
from vistrials.weights.original_names import CLASS_LAYER, original_name, to_original


@pytest.mark.parametrize("neck", [None, NeckSpec()])
def test_every_original_key_has_one_of_ours_with_its_shape(recordings: Path, neck: NeckSpec | None) -> None:
    shapes = listed_shapes(recordings, without=() if neck else ("neck_attn.",))
    with torch.device("meta"):
        model = build_model(ModelSpec(neck=neck), num_categories=40)
    ours = {original_name(name): tuple(value.shape) for name, value in model.state_dict().items()}
    assert ours == shapes


def test_renaming_keeps_every_tensor_and_gives_each_a_name_of_its_own() -> None:
    state = small_model(neck=NeckSpec(levels=(0, 1, 2, 3))).state_dict()
    renamed = to_original(state)
    assert list(map(id, renamed.values())) == list(map(id, state.values()))
    assert renamed[CLASS_LAYER] is state["box_head.logits.weight"]
    assert renamed["neck_attn.conv1.weight"] is state["neck.conv1.0.weight"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (
            {"propagation": PropagationSpec(channels=8, affinity=WeightedAffinitySpec(scope="shared"))},
            "propagation.affinity.weight",
        ),
        ({"neck": NeckSpec(levels=(0,), num_convs=2)}, "neck.conv1.2.weight"),
    ],
)
def test_parameters_that_the_original_lacks_are_not_renamed(spec: dict, name: str) -> None:
    state = small_model(**spec).state_dict()
    assert original_name(name) is None
    with pytest.raises(CheckpointError, match="the original program has no such parameter"):
        to_original({name: state[name]})
