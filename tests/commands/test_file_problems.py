"""Files of other people at the command line: what is said, and how the command ends."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from tests.data.builders import small_document, write_set
from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.weights.original_checkpoints import small_state
from vistrials.cli import app


def vistrials(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def saved(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set with train.json and frames in a folder that no profile looks for."""
    write_set(tmp_path, small_document())
    return tmp_path


def test_check_finds_frames_where_it_is_told(folder: Path) -> None:
    refused = vistrials("data", "check", folder)
    assert refused.exit_code == 2
    assert (
        "no frames of split train" in refused.stderr
        and "for `data check` with --frames; there is frames" in refused.stderr
    )
    found = vistrials("data", "check", folder, "--frames", folder / "frames")
    assert found.exit_code == 0 and "9 files read" in found.stdout


def test_a_folder_without_annotations_says_what_it_holds(folder: Path) -> None:
    (folder / "train.json").rename(folder / "annotations_train.json")
    assert "; there is annotations_train.json" in vistrials("data", "check", folder).stderr


@pytest.mark.parametrize("annotations", [None, ..., []])
def test_an_official_validation_file_is_no_error_beside_train(folder: Path, annotations: Any) -> None:
    document = small_document() | {"annotations": annotations}
    if annotations is ...:
        del document["annotations"]
    saved(folder / "valid.json", document)
    beside = vistrials("data", "check", folder, "--frames", folder / "frames")
    assert beside.exit_code == 0 and "no annotations (official validation sets have none)" in beside.stdout
    alone = vistrials("data", "check", folder / "valid.json")
    assert alone.exit_code == 1 and "--no-annotations" in alone.stdout and "accepts it" in alone.stdout
    assert vistrials("data", "check", folder / "valid.json", "--no-annotations").exit_code == 0


def test_stats_say_what_was_left_out(folder: Path) -> None:
    document = small_document()
    track = document["annotations"][3]
    del track["bboxes"], track["areas"]
    track["segmentations"] = [[[1, 1, 9, 1, 9, 9], [2, 2, 3, 3]], None]
    saved(folder / "train.json", document)
    result = vistrials("data", "stats", folder / "train.json")
    assert result.exit_code == 0
    assert "polygons of fewer than 3 points beside others (left out): 1" in result.stderr


def test_only_categories_with_a_truth_have_a_row(tmp_path: Path) -> None:
    truths = saved(tmp_path / "truth.json", ground_truth([truth([strip(0, 10)])], num_categories=500))
    found = saved(tmp_path / "found.json", [prediction([strip(0, 10)], 1.0)])
    result = vistrials("evaluate", truths, found)
    assert result.exit_code == 0 and "499 of 500 categories have no true track to find" in result.stdout
    assert result.stdout.count("category") == 2 and len(result.stdout.splitlines()) < 10


def test_diagnose_warns_as_evaluate_does(tmp_path: Path) -> None:
    truths = saved(tmp_path / "truth.json", ground_truth([truth([strip(0, 10), strip(0, 10)])], num_frames=2))
    found = saved(tmp_path / "found.json", [prediction([strip(0, 10)], 0.5)])
    said = [
        result.stderr for result in (vistrials("evaluate", truths, found), vistrials("diagnose", found, "--gt", truths))
    ]
    assert said[0] == said[1] and "1 instead of 2" in said[0]


def test_of_two_networks_in_a_file_the_command_says_which_it_takes(tmp_path: Path) -> None:
    state = small_state("masktrack_rcnn")
    averaged = {f"module.{name}": value + 1 for name, value in state.items()}
    torch.save({"model": {f"_orig_mod.{n}": v for n, v in state.items()}, "model_ema": averaged}, tmp_path / "w.pth")
    arguments = ("import-checkpoint", tmp_path / "w.pth", "--trial", "masktrack_rcnn", "-p", "smoke")
    taken = vistrials(*arguments, "-o", tmp_path / "a.safetensors")
    assert taken.exit_code == 0 and "takes 'model' of the file, which holds 'model_ema' too" in taken.stdout
    averages = vistrials(*arguments, "--key", "model_ema", "-o", tmp_path / "b.safetensors")
    assert averages.exit_code == 0 and "takes" not in averages.stdout
    assert (tmp_path / "a.safetensors").read_bytes() != (tmp_path / "b.safetensors").read_bytes()
    assert "'ema' is not there" in vistrials(*arguments, "--key", "ema", "-o", tmp_path / "c.safetensors").stderr
