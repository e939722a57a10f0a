"""Checkpoints of the original program and of torchvision against the networks of trials."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn

from tests.weights.original_checkpoints import NUM_CATEGORIES, listed_shapes, numbered_state, small_state
from vistrials.errors import CheckpointError, DataError
from vistrials.finished_runs.export import export_weights
from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial
from vistrials.weights.files import load_weights, read_metadata, read_tensors
from vistrials.weights.foreign import Fault, read_foreign, save_foreign
from vistrials.weights.original_names import to_original

BASELINE = load_trial("baseline", "smoke")
NAMES = ["disc", "square", "triangle", "star", "cross", "ring", "crescent", "hourglass"]
COCO = 91


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) and value.dtype == other[name].dtype for name, value in one.items()
    )


@pytest.mark.parametrize(
    ("trial", "without"),
    [
        ("masktrack_rcnn", ("prop_head.", "neck_attn.")),
        ("baseline", ("neck_attn.",)),
        ("attention_neck", ()),
    ],
)
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "meta": {"epoch": 12}}])
def test_published_networks_map_one_to_one_and_back(
    recordings: Path, tmp_path: Path, trial: str, without: tuple[str, ...], wrap
) -> None:
    state = numbered_state(listed_shapes(recordings, without))
    checkpoint = read_foreign(saved(tmp_path / "original.pth", wrap(state)), load_trial(trial, "youtube_vis_2019"))
    assert checkpoint.faults == () and checkpoint.fresh_parts == ()
    assert checkpoint.num_categories == 40
    assert same(to_original(checkpoint.tensors), state)


@pytest.mark.parametrize("trial", ["masktrack_rcnn", "baseline", "attention_neck"])
def test_import_and_export_are_bit_equal(tmp_path: Path, trial: str) -> None:
    state, spec = small_state(trial), load_trial(trial, "smoke")
    path = saved(tmp_path / "original.pth", {"state_dict": {f"module.{n}": v for n, v in state.items()}, "meta": {}})
    save_foreign(read_foreign(path, spec), spec, tmp_path / "ours.safetensors")
    (back,) = export_weights(tmp_path / "ours.safetensors", tmp_path / "back.pth", original=True)
    assert same(read_tensors(back), state)
    model = build_model(spec.model, NUM_CATEGORIES)
    report = load_weights(model, tmp_path / "ours.safetensors", allow_missing=False)
    assert len(report.loaded) == len(state)
    assert torch.equal(model.rpn.deltas.weight, state["rpn_head.rpn_reg.weight"])


def test_old_files_without_batch_counts_are_whole(tmp_path: Path) -> None:
    state = {name: value for name, value in small_state().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    checkpoint = read_foreign(tmp_path / "old.pth", BASELINE)
    assert checkpoint.faults == ()
    model = build_model(BASELINE.model, NUM_CATEGORIES)
    assert checkpoint.tensors.keys() == model.state_dict().keys()
    assert checkpoint.tensors["backbone.bn1.num_batches_tracked"] == 0


def test_every_fault_is_listed_and_what_fits_can_be_taken(tmp_path: Path) -> None:
    state = small_state()
    bias = state.pop("rpn_head.rpn_cls.bias")
    state["backbone.fc.weight"] = torch.zeros(2)
    state["mask_head.upsample.bias"] = torch.zeros(7)
    checkpoint = read_foreign(saved(tmp_path / "original.pth", state), BASELINE)
    assert checkpoint.faults == (
        Fault("rpn_head.rpn_cls.bias", "missing", tuple(bias.shape), None),
        Fault("backbone.fc.weight", "unexpected", None, (2,)),
        Fault("mask_head.upsample.bias", "of another shape", (48,), (7,)),
    )
    save_foreign(checkpoint, BASELINE, tmp_path / "out" / "ours.safetensors")
    report = load_weights(build_model(BASELINE.model, NUM_CATEGORIES), tmp_path / "out" / "ours.safetensors")
    assert report.missing == ("mask_head.upsample.bias", "rpn.objectness.bias")
    assert report.unexpected == report.mismatched == ()


def test_the_class_layer_says_how_many_categories_there_are(tmp_path: Path) -> None:
    state = small_state() | {
        "bbox_head.fc_cls.weight": torch.zeros(1 + 3, 256),
        "bbox_head.fc_cls.bias": torch.zeros(1 + 3),
        "bbox_head.fc_reg.weight": torch.zeros(4 * (1 + 3), 256),
        "bbox_head.fc_reg.bias": torch.zeros(4 * (1 + 3)),
    }
    checkpoint = read_foreign(saved(tmp_path / "original.pth", state), BASELINE)
    assert (checkpoint.num_categories, checkpoint.faults) == (3, ())


def test_category_names_travel_and_must_be_those_of_the_data(tmp_path: Path) -> None:
    path = saved(tmp_path / "original.pth", {"state_dict": small_state(), "meta": {"CLASSES": tuple(NAMES)}})
    save_foreign(read_foreign(path, BASELINE, NAMES), BASELINE, tmp_path / "ours.safetensors")
    (back,) = export_weights(tmp_path / "ours.safetensors", tmp_path / "back.pth", original=True)
    assert read_metadata(path) == read_metadata(back) != {}
    with pytest.raises(CheckpointError, match="expected 7 categories as in the data, found 8"):
        read_foreign(path, BASELINE, NAMES[:7])
    with pytest.raises(CheckpointError, match="found 'disc' where the data list 'square'"):
        read_foreign(path, BASELINE, [NAMES[1], NAMES[0], *NAMES[2:]])


def test_what_the_original_does_not_have_stays_fresh(tmp_path: Path) -> None:
    checkpoint = read_foreign(
        saved(tmp_path / "original.pth", small_state()),
        load_trial("baseline", "smoke", ["model.propagation.affinity={kind: weighted, scope: shared}"]),
    )
    assert (checkpoint.faults, checkpoint.fresh_parts) == ((), ("propagation.affinity.weight",))


class Exploit:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("where", ["state_dict", "meta"])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path: Path, where: str) -> None:
    content = {"state_dict": small_state(), "meta": {}}
    content[where] |= {"extra": Exploit(tmp_path / "trace")}
    with pytest.raises(CheckpointError, match="could run code"):
        read_foreign(saved(tmp_path / "original.pth", content), BASELINE)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"encoder.weight": torch.zeros(3)}, "found encoder.weight"),
        ({}, "found nothing"),
        ({"bbox_head.fc_cls.weight": torch.zeros(3)}, "1 \\+ categories rows"),
    ],
)
def test_another_programs_checkpoint_is_refused(tmp_path: Path, state: dict[str, Tensor], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_foreign(saved(tmp_path / "other.pth", state), BASELINE)


def test_broken_numbers_and_names_of_files_are_refused(tmp_path: Path) -> None:
    state = small_state()
    state["rpn_head.rpn_cls.bias"][0] = float("nan")
    checkpoint = read_foreign(saved(tmp_path / "original.pth", state), BASELINE)
    with pytest.raises(CheckpointError, match=r"rpn\.objectness\.bias: expected finite numbers"):
        save_foreign(checkpoint, BASELINE, tmp_path / "ours.safetensors")
    with pytest.raises(DataError, match="end in .safetensors"):
        save_foreign(checkpoint, BASELINE, tmp_path / "ours.pth")
    with pytest.raises(DataError, match="end in .pth"):
        export_weights(tmp_path / "ours.safetensors", tmp_path / "back.safetensors", original=True)


def test_torchvisions_detector_starts_a_trial(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {
            n: tuple(v.shape)
            for n, v in maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict().items()
        }
    state = numbered_state({n: s for n, s in shapes.items() if not n.endswith("num_batches_tracked")})
    logits = torch.arange(float(COCO))[:, None].expand(COCO, 1024)
    state["roi_heads.box_predictor.cls_score.weight"] = logits
    spec = load_trial("baseline", "youtube_vis_2019")
    path = saved(tmp_path / "detector.pth", state)
    checkpoint = read_foreign(path, spec, ["lizard", "person", "sedan"])
    assert checkpoint.faults == ()
    assert checkpoint.fresh_parts == ("propagation", "track_head")
    assert checkpoint.trained_categories == ("person", "sedan")
    ours = checkpoint.tensors
    assert ours["box_head.logits.weight"][[0, 2, 3], 0].tolist() == [0, 1, 3]  # background, COCO's person and car
    assert 0 < ours["box_head.logits.weight"][1].std() < 0.02  # fresh, of standard deviation .01
    assert torch.equal(ours["box_head.fcs.1.weight"], state["roi_heads.box_head.fc7.weight"])
    again = read_foreign(path, spec, ["lizard", "person", "sedan"]).tensors
    assert torch.equal(again["mask_head.logits.weight"], ours["mask_head.logits.weight"])
    assert checkpoint.class_rows == "91 rows and no names, as many as COCO's list has: taken by name for 2 categories"

    # Trained on by somebody: nothing in the file says what its rows are, so nothing is said to come from COCO.
    for name in ("cls_score.weight", "cls_score.bias", "bbox_pred.weight", "bbox_pred.bias"):
        key = f"roi_heads.box_predictor.{name}"
        state[key] = state[key][: 4 * (4 if "bbox" in name else 1)]
    for name in ("weight", "bias"):
        key = f"roi_heads.mask_predictor.mask_fcn_logits.{name}"
        state[key] = state[key][:4]
    path = saved(tmp_path / "tuned.pth", state)
    tuned = read_foreign(path, spec, ["lizard", "person", "sedan"])
    assert tuned.faults == () and tuned.trained_categories is None
    assert tuned.class_rows == "4 rows and no names: taken to be background and the given categories in their order"
    assert tuned.tensors["box_head.logits.weight"][:, 0].tolist() == [0, 1, 2, 3]
    other = read_foreign(path, spec, ["lizard", "person"])
    assert other.class_rows == "4 rows, neither COCO's 91 nor the 3 of the given categories"
    assert other.trained_categories is None and {fault.kind for fault in other.faults} == {"of another shape"}
