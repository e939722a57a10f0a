"""From a run or a file of weights to a network and the names of its labels."""

import json
import shutil
from pathlib import Path

import pytest

from tests.own_video.conftest import MadeRun
from vistrials.errors import CheckpointError, RunError, SpecError
from vistrials.own_video.network import find_run, find_weights, load_network
from vistrials.structures.video import Category
from vistrials.weights.files import read_metadata, read_tensors, save_tensors

CATEGORIES = (Category(5, "five"), Category(9, "nine"))


def rewritten(made_run: MadeRun, path: Path, drop: tuple[str, ...]) -> Path:
    """The weights without some of what goes along."""
    metadata = {key: text for key, text in read_metadata(made_run.directory.weights).items() if key not in drop}
    save_tensors(path, read_tensors(made_run.directory.weights), metadata)
    return path


def test_a_run(made_run: MadeRun) -> None:
    found = find_run(made_run.directory.path, ["inference.max_detections=3"])
    assert found.categories == CATEGORIES
    assert found.spec.inference.max_detections == 3
    assert found.spec.inference.min_track_frames == 1  # as recorded, not as the trial's name means


def test_weights_carry_spec_and_categories(made_run: MadeRun) -> None:
    found = find_weights(str(made_run.directory.weights), overrides=["inference.nms_iou=0.25"])
    assert found.categories == CATEGORIES
    assert found.spec.inference.min_track_frames == 1 and found.spec.inference.nms_iou == 0.25
    assert load_network(found, "cpu").categories == CATEGORIES


def test_older_weights_name_their_trial(made_run: MadeRun, tmp_path: Path) -> None:
    path = rewritten(made_run, tmp_path / "old.safetensors", ("spec", "category_ids"))
    found = find_weights(str(path))
    assert (found.spec.name, found.spec.profile) == ("baseline", "smoke")
    assert found.categories == (Category(1, "five"), Category(2, "nine"))
    path = rewritten(made_run, tmp_path / "bare.safetensors", ("spec", "trial", "profile"))
    with pytest.raises(SpecError, match=r"bare.safetensors: does not say whose network .* --trial TRIAL"):
        find_weights(str(path))
    assert find_weights(str(path), "masktrack_rcnn", "smoke").spec.name == "masktrack_rcnn"


def test_weights_of_another_network_are_refused(made_run: MadeRun) -> None:
    with pytest.raises(CheckpointError, match="weights.safetensors"):
        load_network(find_weights(str(made_run.directory.weights), "baseline", "laptop"), "cpu")


def test_weights_that_do_not_name_their_categories(made_run: MadeRun, tmp_path: Path) -> None:
    path = rewritten(made_run, tmp_path / "w.safetensors", ("category_names",))
    with pytest.raises(CheckpointError, match=r"w.safetensors: expected the names of its categories"):
        find_weights(str(path))
    with pytest.raises(CheckpointError, match="no such file"):
        find_weights(str(tmp_path / "absent.safetensors"))


def test_a_run_without_weights_says_how_to_get_them(made_run: MadeRun, tmp_path: Path) -> None:
    shutil.copytree(made_run.directory.results_dir, tmp_path / "results")
    folder = tmp_path / "results" / made_run.directory.path.relative_to(made_run.directory.results_dir)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(RunError, match=r"no weights here; `vistrials run .*` makes them, or .* --weights FILE"):
        find_run(folder)
    (folder / "metrics.json").write_text(json.dumps({"AP": 0.5}))
    with pytest.raises(RunError, match=r"`vistrials run .* --force`"):
        find_run(folder)
