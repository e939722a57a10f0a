import json
from pathlib import Path

import pytest

from vistrials.data.sources import resolve_split
from vistrials.errors import DataError, SpecError
from vistrials.specs.data import DataSpec, FileSource, SyntheticSource


def files(root: Path, **fields) -> DataSpec:
    return DataSpec(source=FileSource(root=str(root), **fields))


def write_annotations(path: Path, frame: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": [{"file_names": [frame]}]}))


def write_frame(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_candidates_are_taken_in_order(tmp_path):
    fields = {"train_annotations": ("a.json", "b.json"), "train_frames": ("one", "two")}
    (tmp_path / "b.json").touch()
    (tmp_path / "two").mkdir()
    assert resolve_split(files(tmp_path, **fields), "train") == (tmp_path / "b.json", tmp_path / "two")
    write_annotations(tmp_path / "a.json", "v/0.jpg")
    (tmp_path / "one").mkdir()
    assert resolve_split(files(tmp_path, **fields), "train") == (tmp_path / "a.json", tmp_path / "one")


def test_minival_finds_its_frames_in_the_folder_of_train(tmp_path):
    write_annotations(tmp_path / "minival.json", "v/0.jpg")
    write_frame(tmp_path / "valid" / "JPEGImages" / "other" / "0.jpg")
    write_frame(tmp_path / "train" / "JPEGImages" / "v" / "0.jpg")
    assert resolve_split(files(tmp_path), "valid").frames_dir == tmp_path / "train" / "JPEGImages"


def test_official_validation_set_keeps_its_own_frames(tmp_path):
    write_annotations(tmp_path / "valid.json", "w/0.jpg")
    write_frame(tmp_path / "valid" / "JPEGImages" / "w" / "0.jpg")
    write_frame(tmp_path / "train" / "JPEGImages" / "v" / "0.jpg")
    assert resolve_split(files(tmp_path), "valid").frames_dir == tmp_path / "valid" / "JPEGImages"


def test_an_odd_file_does_not_stop_the_search(tmp_path):
    (tmp_path / "valid.json").write_text("[]")
    (tmp_path / "valid").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    assert resolve_split(files(tmp_path), "valid").frames_dir == tmp_path / "JPEGImages"


def test_errors_list_what_was_looked_for(tmp_path):
    spec = files(tmp_path, train_annotations=("a.json", "b.json"), train_frames=("one", "two"))
    with pytest.raises(DataError, match="looked for a.json, b.json; .*data.source.train_annotations"):
        resolve_split(spec, "train")
    (tmp_path / "a.json").touch()
    with pytest.raises(DataError, match="looked for one, two; .*data.source.train_frames"):
        resolve_split(spec, "train")


def test_a_missing_valid_can_be_split_off_from_train(tmp_path):
    (tmp_path / "train.json").touch()
    with pytest.raises(DataError, match=r"no annotations of split valid; .*`vistrials data split \S+/train\.json`"):
        resolve_split(files(tmp_path), "valid")


def test_wrong_splits_and_roots(tmp_path):
    with pytest.raises(SpecError, match="no split 'minival'; expected one of train, valid"):
        resolve_split(files(tmp_path), "minival")
    with pytest.raises(SpecError, match="no split 'valid'; expected one of train, minival, occlusion"):
        resolve_split(DataSpec(source=SyntheticSource()), "valid")
    with pytest.raises(SpecError, match="--data DIR"):
        resolve_split(DataSpec(source=FileSource()), "train")
    with pytest.raises(DataError, match="no such folder"):
        resolve_split(files(tmp_path / "absent"), "train")


def test_another_seed_draws_other_videos(tmp_path, monkeypatch):
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path))
    sizes = {"train": (1, 2), "minival": (1, 2), "occlusion": (1, 16)}
    drawn = {}
    for seed in (0, 1):
        annotations, _ = resolve_split(DataSpec(source=SyntheticSource(seed=seed, **sizes)), "train")
        drawn[seed] = json.loads(annotations.read_text())["annotations"]
    assert drawn[0] != drawn[1]


def test_synthetic_splits_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path))
    spec = DataSpec(source=SyntheticSource(train=(1, 2), minival=(1, 2), occlusion=(1, 16)))
    annotations, frames_dir = resolve_split(spec, "minival")
    assert annotations.name == "minival.json"
    first = json.loads(annotations.read_text())["videos"][0]["file_names"][0]
    assert (frames_dir / first).is_file()
    assert tmp_path in annotations.parents
