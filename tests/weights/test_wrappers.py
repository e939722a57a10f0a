"""Checkpoints as other programs wrap them: the same network, or one line that says what the file is."""

import argparse
import itertools
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.weights.original_checkpoints import NUM_CATEGORIES, small_state
from vistrials.errors import CheckpointError
from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial
from vistrials.weights.files import load_weights, read_checkpoint, read_metadata, read_tensors
from vistrials.weights.foreign import read_foreign
from vistrials.weights.original_names import to_original
from vistrials.weights.wrappers import plain_names

STATE = {"backbone.conv1.weight": torch.ones(2), "bbox_head.fc_cls.weight": torch.full((3, 2), 2.0)}
EMA = {name: value + 5 for name, value in STATE.items()}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


PREFIXES = [
    "".join(order) for n in (1, 2, 3) for order in itertools.permutations(("_orig_mod.", "module.", "model."), n)
]


@pytest.mark.parametrize("prefix", [*PREFIXES, "detector.", "model.detector.", "module.detector.", "net."])
def test_prefixes_go_in_any_order(tmp_path: Path, prefix: str) -> None:
    torch.save({"state_dict": prefixed(STATE, prefix)}, tmp_path / "w.pth")
    assert same(read_tensors(tmp_path / "w.pth"), STATE)


@pytest.mark.parametrize("inner", ["backbone._orig_mod.conv1.weight", "backbone.module.conv1.weight"])
def test_wrapped_parts_are_unwrapped(inner: str) -> None:
    assert list(plain_names({inner: torch.ones(2)})[0]) == ["backbone.conv1.weight"]


def test_names_that_only_begin_like_a_wrapper_stay() -> None:
    state = {"model_neck.weight": torch.ones(1), "modules.a": torch.ones(1), "module": torch.ones(1)}
    assert list(plain_names(state)[0]) == list(state)


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    torch.save(prefixed(STATE, "model.") | {"backbone.conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="model.backbone.conv1.weight and backbone.conv1.weight are both"):
        read_tensors(tmp_path / "w.pth")
    torch.save(prefixed(STATE, "model.") | STATE, tmp_path / "w.pth")  # the same twice
    assert same(read_tensors(tmp_path / "w.pth"), STATE)


CONTAINERS: dict[str, Any] = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE, "meta": {"epoch": 12}},
    "model": {"model": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "epoch": 3},
    "nested": {"model": {"state_dict": STATE}},
    "nested the other way": {"state_dict": {"model": STATE}},
    "lightning": {"state_dict": prefixed(STATE, "model."), "callbacks": {"a": torch.ones(1)}, "loops": {}},
    "model_state_dict": {"model_state_dict": STATE, "scheduler": {"base": torch.ones(1)}},
    "only part": {"generator": STATE, "step": 3},
    "NumPy arrays": {"model": {name: value.numpy() for name, value in STATE.items()}},
    "NumPy numbers": {"state_dict": STATE, "meta": {"best": np.float64(0.5), "mean": np.zeros(3)}},
    "Namespace": {"model": STATE, "args": argparse.Namespace(lr=0.1)},
    "EMA of mmdetection": STATE | {f"ema_{name.replace('.', '_')}": value for name, value in EMA.items()},
    "EMA in one dict": prefixed(STATE, "model.") | prefixed(EMA, "ema.module."),
    "averaged model": prefixed(STATE, "module.") | {"n_averaged": torch.tensor(3)},
    "detectron2's trainer": {"model": STATE, "iteration": 9, "__author__": "x"},
}


@pytest.mark.parametrize("case", CONTAINERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_trained_network_is_found_in_any_container(tmp_path: Path, case: str, zipped: bool) -> None:
    torch.save(CONTAINERS[case], tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_tensors(tmp_path / "w.pth"), STATE)


def test_records_of_other_programs_are_left_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mmengine's files hold histories of its own class, and it need not be installed."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    history: Any = type("HistoryBuffer", (), {"__module__": module.__name__})
    module.HistoryBuffer = history  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    buffer = history()
    buffer.counts = np.ones(3)
    torch.save({"state_dict": STATE, "message_hub": {"loss": buffer}}, tmp_path / "w.pth")
    monkeypatch.undo()
    assert same(read_tensors(tmp_path / "w.pth"), STATE)


@pytest.mark.parametrize("both", [("model", "model_ema"), ("state_dict", "ema_state_dict"), ("model", "ema")])
def test_of_two_networks_the_trained_one_is_taken_and_said(tmp_path: Path, both: tuple[str, str]) -> None:
    path = tmp_path / "w.pth"
    torch.save({both[1]: prefixed(EMA, "module."), both[0]: STATE}, path)
    found = read_checkpoint(path)
    assert same(found.tensors, STATE)
    assert found.notes == (f"takes {both[0]!r} of the file, which holds {both[1]!r} too",)
    chosen = read_checkpoint(path, both[1])
    assert same(chosen.tensors, EMA) and chosen.notes == ()
    with pytest.raises(CheckpointError, match="'teacher' is not there; found "):
        read_checkpoint(path, "teacher")


def test_copies_that_are_left_out_are_said(tmp_path: Path) -> None:
    torch.save(CONTAINERS["EMA of mmdetection"], tmp_path / "w.pth")
    notes = read_checkpoint(tmp_path / "w.pth").notes
    assert notes == ("2 averaged copies (EMA) are left out (first: ema_backbone_conv1_weight)",)


def test_content_says_what_a_file_is_rather_than_its_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.pth")
    torch.save(STATE, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        assert same(read_tensors(tmp_path / name), STATE)
        assert read_metadata(tmp_path / name) == {}


CONTENTS = {
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "git lfs pull"),
    "HTML": (b"<!DOCTYPE html><html><head><title>Quota exceeded</title></head></html>", "an HTML page"),
    "empty": (b"", "an empty file"),
    "message": (b"404: Not Found", "a server's message"),
    "JSON": (b'{"error": "gated"}', "not weights but JSON text"),
    "gzip": (b"\x1f\x8b\x08" + bytes(30), "a gzip file"),
    "tar": (bytes(257) + b"ustar\x0000" + bytes(300), "a tar archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file"),
    "ZIP": (b"PK\x03\x04" + bytes(60), "damaged or not a torch file"),
    "noise": (bytes(range(7, 90)), "torch file"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("case", CONTENTS)
def test_what_is_no_file_of_weights_is_named(tmp_path: Path, case: str, suffix: str) -> None:
    content, expected = CONTENTS[case]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read_tensors(path)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text
    assert expected in text or (case == "noise" and suffix == ".safetensors")


def test_a_whole_model_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"Python objects \(torch.nn.modules.linear.Linear\).*state_dict\(\) alone"
    ):
        read_tensors(tmp_path / "w.pth")


def test_a_pickle_of_detectron2_is_named(tmp_path: Path) -> None:
    content = {"model": {"backbone.bottom_up.stem.conv1.weight": np.zeros(3)}, "__author__": "x"}
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="detectron2's model zoo"):
        read_tensors(tmp_path / "model_final.pkl")


NAMES = {
    "backbone.bottom_up.res2.0.conv1.weight": "detectron2",
    "sem_seg_head.predictor.query_feat.weight": "a transformer",
    "image_encoder.trunk.blocks.0.attn.qkv.weight": "SAM",
    "box_head.logits.weight": "give the file with --weights",
    "layer1.0.conv1.weight": "give it as init.backbone=FILE",
    "roi_head.bbox_head.0.fc_cls.weight": "a Cascade R-CNN",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_other_networks_are_named(tmp_path: Path, name: str) -> None:
    torch.save({name: torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=NAMES[name]):
        read_foreign(tmp_path / "w.pth", load_trial("masktrack_rcnn", "smoke"))


def later_version(state: dict[str, Tensor], tracking: str, masks_have_background: bool) -> dict[str, Tensor]:
    """A checkpoint of MaskTrack R-CNN as mmtracking and mmdetection 3 write it: background last, or without a row."""
    made = {"data_preprocessor.mean": torch.zeros(3, 1, 1)}
    for name, value in state.items():
        if name.startswith("bbox_head.fc_cls."):
            value = torch.cat([value[1:], value[:1]])
        elif name.startswith("bbox_head.fc_reg."):
            value = value[4:]
        elif name.startswith("mask_head.conv_logits.") and masks_have_background:
            value = value[1:]
        if name.startswith("track_head."):
            made[f"{tracking}{name.replace('track_head.', 'track_head.embed_head.')}"] = value
        else:
            made[f"detector.{'roi_head.' if name.startswith(('bbox_head', 'mask_head')) else ''}{name}"] = value
    return made


@pytest.mark.parametrize("meta", [{"CLASSES": tuple("abcdefgh")}, {"dataset_meta": {"classes": tuple("abcdefgh")}}])
@pytest.mark.parametrize(("tracking", "one_mask"), [("", "true"), ("", "false"), ("detector.", "true")])
def test_masktrack_rcnn_of_mmdetection_3_is_the_same_network(
    tmp_path: Path, tracking: str, one_mask: str, meta: dict[str, Any]
) -> None:
    spec = load_trial("masktrack_rcnn", "smoke", [f"model.mask_head.class_agnostic={one_mask}"])
    torch.manual_seed(5)
    state = to_original(build_model(spec.model, NUM_CATEGORIES).state_dict())
    later = later_version(state, tracking, masks_have_background=one_mask == "false")
    torch.save({"state_dict": later, "meta": meta}, tmp_path / "w.pth")
    torch.save(state, tmp_path / "first.pth")
    found, first = (read_foreign(tmp_path / name, spec) for name in ("w.pth", "first.pth"))
    assert (found.faults, found.fresh_parts, found.num_categories) == ((), (), NUM_CATEGORIES)
    assert found.category_names == tuple("abcdefgh")
    assert found.program == "mmdetection 2 or 3" and any("figures move" in note for note in found.notes)
    background = {"box_head.deltas.": 4} | ({"mask_head.logits.": 1} if one_mask == "false" else {})
    for name, value in first.tensors.items():
        start = background.get(name.rpartition(".")[0] + ".", 0)
        assert torch.equal(found.tensors[name][start:], value[start:]) if value.dim() else found.tensors[name] == value
        assert not start or not found.tensors[name][:start].any()  # the background's, which nothing uses


def test_later_names_with_rows_of_version_1_keep_their_rows(tmp_path: Path) -> None:
    state, spec = small_state("masktrack_rcnn"), load_trial("masktrack_rcnn", "smoke")
    named = {(f"roi_head.{name}" if name.startswith(("bbox_", "mask_")) else name): v for name, v in state.items()}
    torch.save(named, tmp_path / "w.pth")
    torch.save(state, tmp_path / "first.pth")
    assert same(*(read_foreign(tmp_path / name, spec).tensors for name in ("w.pth", "first.pth")))


def test_a_start_says_what_it_took_of_the_file(tmp_path: Path) -> None:
    model = build_model(load_trial("masktrack_rcnn", "smoke").model, NUM_CATEGORIES)
    state = model.state_dict()
    torch.save({"model": prefixed(state, "_orig_mod."), "model_ema": state}, tmp_path / "w.pth")
    report = load_weights(model, tmp_path / "w.pth", allow_missing=False)
    assert report.summary() == f"{len(state)} tensors loaded; takes 'model' of the file, which holds 'model_ema' too"
    assert json.dumps(report.notes)
