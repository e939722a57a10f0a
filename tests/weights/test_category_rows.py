"""Weights of one list of categories for data of another: by name, or refused; never row by row."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.data.builders import small_document, write_set
from vistrials import pipeline
from vistrials.errors import CheckpointError, DataError
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.loading import load_trial
from vistrials.weights.category_rows import class_layers, load_for_categories, rows_by_name, shared_labels
from vistrials.weights.files import save_tensors, save_weights

SPEC = load_trial(
    "baseline",
    "smoke",
    ["model.mask_head.class_agnostic=false", "model.propagation.affinity={kind: weighted, scope: per_category}"],
)
NAMES = ["cat", "dog", "newt"]  # of the small set
OTHER_ORDER = ["newt", "cat", "dog"]


def model_of(num_categories: int, seed: int = 0) -> ObjProp:
    torch.manual_seed(seed)
    return build_model(SPEC.model, num_categories)


def saved(folder: Path, names: list[str] | None, seed: int = 1) -> tuple[Path, dict[str, Tensor]]:
    model = model_of(3 if names is None else len(names), seed)
    path = folder / "w.safetensors"
    save_weights(path, model, {} if names is None else {"category_names": json.dumps(names)})
    return path, dict(model.state_dict())


def test_the_layers_of_categories_are_known() -> None:
    layers = {name: tuple(layer) for name, layer in class_layers(SPEC.model).items() if name.endswith("weight")}
    assert layers == {
        "box_head.logits.weight": (1, 1),
        "box_head.deltas.weight": (4, 4),
        "mask_head.logits.weight": (1, 1),
        "propagation.affinity.weight": (0, 1),
    }


def test_names_are_shared_where_they_occur_once() -> None:
    assert shared_labels(NAMES, OTHER_ORDER) == {1: 2, 2: 3, 3: 1}
    assert shared_labels(["a", "b", "b"], ["b", "a", "c"]) == {1: 2}
    assert shared_labels(["a"], ["a", "a"]) == {}


@pytest.mark.parametrize("names", [OTHER_ORDER, ["dog", "x", "newt", "cat", "y"]])
def test_rows_go_to_their_names(tmp_path: Path, names: list[str]) -> None:
    path, state = saved(tmp_path, names)
    model = model_of(3)
    report = load_for_categories(model, path, NAMES)
    assert "rows of 3 categories taken by name" in report.summary() and "fresh" not in report.summary()
    places = [names.index(name) for name in NAMES]
    found = model.state_dict()
    assert torch.equal(found["box_head.logits.bias"], state["box_head.logits.bias"][[0, *(1 + p for p in places)]])
    boxes = state["box_head.deltas.weight"].unflatten(0, (-1, 4))[[0, *(1 + p for p in places)]].flatten(0, 1)
    assert torch.equal(found["box_head.deltas.weight"], boxes)
    assert torch.equal(found["propagation.affinity.weight"], state["propagation.affinity.weight"][places])
    assert torch.equal(found["backbone.conv1.weight"], state["backbone.conv1.weight"])


def test_the_same_list_is_loaded_as_it_is(tmp_path: Path) -> None:
    path, state = saved(tmp_path, NAMES)
    model = model_of(3)
    assert load_for_categories(model, path, NAMES).notes == ()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_categories_that_the_file_does_not_know_stay_fresh_and_are_said(tmp_path: Path) -> None:
    path, state = saved(tmp_path, ["dog", "horse", "cat"])
    model, fresh = model_of(3), model_of(3).state_dict()
    report = load_for_categories(model, path, NAMES)
    assert report.notes == ("rows of 2 categories taken by name", "rows of 1 fresh ('newt')")
    bias = model.state_dict()["box_head.logits.bias"]
    assert torch.equal(bias[:3], state["box_head.logits.bias"][[0, 3, 1]])
    assert bias[3] == fresh["box_head.logits.bias"][3]


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "b"]])
def test_weights_of_other_categories_are_refused_or_left_fresh(tmp_path: Path, names: list[str]) -> None:
    path, _ = saved(tmp_path, names)
    with pytest.raises(CheckpointError, match="'cat', 'dog', 'newt'; found those of 'a', 'b'"):
        load_for_categories(model_of(3), path, NAMES)
    model, fresh = model_of(3), model_of(3).state_dict()
    report = load_for_categories(model, path, NAMES, allow_mismatch=True)
    assert "rows of 3 fresh" in report.summary()
    assert torch.equal(model.state_dict()["box_head.logits.weight"], fresh["box_head.logits.weight"])


def test_a_file_without_names_is_taken_as_it_is_and_said(tmp_path: Path) -> None:
    path, state = saved(tmp_path, None)
    model = model_of(3)
    assert "the file names no categories" in load_for_categories(model, path, NAMES).summary()
    assert torch.equal(model.state_dict()["box_head.logits.weight"], state["box_head.logits.weight"])


def run_with(folder: Path, weights: Path, *settings: str) -> bytes:
    root = json.dumps(str(folder))
    spec = load_trial(
        "masktrack_rcnn",
        "smoke",
        [
            f"data.source={{kind: files, root: {root}, train_frames: [frames], valid_frames: [frames]}}",
            "data.splits=[valid]",
            f"init.weights={json.dumps(str(weights))}",
            "inference.score_threshold=0.0",
            "train.max_iters=0",
            *settings,
        ],
    )
    directory = pipeline.run(spec, folder / weights.stem, device="cpu", stages=("train", "infer"))
    return directory.predictions("valid").read_bytes()


def test_predictions_are_the_same_whatever_the_order_of_the_weights(tmp_path: Path) -> None:
    path, _ = write_set(tmp_path, small_document())
    (tmp_path / "valid.json").write_bytes(path.read_bytes())
    spec = load_trial("masktrack_rcnn", "smoke")
    torch.manual_seed(3)
    state = build_model(spec.model, 3).state_dict()
    of_data, other = tmp_path / "data.safetensors", tmp_path / "other.safetensors"
    save_tensors(of_data, state, {"category_names": json.dumps(NAMES)})
    permuted = rows_by_name(state, state, class_layers(spec.model), NAMES, OTHER_ORDER)
    save_tensors(other, permuted, {"category_names": json.dumps(OTHER_ORDER)})
    assert not torch.equal(permuted["box_head.logits.weight"], state["box_head.logits.weight"])
    expected = run_with(tmp_path, of_data)
    assert len(expected) > 1000 and run_with(tmp_path, other) == expected
    unknown = tmp_path / "unknown.safetensors"
    save_tensors(unknown, state, {"category_names": json.dumps(["cat", "dog", "horse"])})
    with pytest.raises(DataError, match="expected weights of all 3 categories of the data, found none of 'newt'"):
        run_with(tmp_path, unknown)
    assert not list((tmp_path / "unknown").rglob("spec.yaml"))
