"""Folds of a clip, the settings to compare, and one fold to its end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import real_clip
from benchmarks.real_clip import NUM_FOLDS, choose_configs, held_out, load_clip, load_configs, write_fold
from vistrials.errors import DataError, RunError, SpecError
from vistrials.formats import rle
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.specs.loading import load_trial

CONFIGS = Path(real_clip.__file__).with_suffix(".yaml")
HEIGHT, WIDTH = 12, 40


def box_mask(left: int) -> dict[str, Any]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:8, left : left + 6] = 1
    return rle.encode(mask)


def piece(first: int, length: int, lefts: list[int], video_id: int = 1) -> dict[str, Any]:
    """Frames first.. of a clip in which tracks stand still, each `left` pixels from the edge."""
    names = [f"clip/{n:05d}.jpg" for n in range(first, first + length)]
    video = {"id": video_id, "width": WIDTH, "height": HEIGHT, "length": length, "file_names": names}
    tracks = [
        {"id": i, "video_id": video_id, "category_id": 1, "iscrowd": 0, "segmentations": [box_mask(left)] * length,
         "bboxes": [[left, 2, 6, 6]] * length, "areas": [36] * length}
        for i, left in enumerate(lefts, start=1)
    ]  # fmt: skip
    return {"videos": [video], "categories": [{"id": 1, "name": "person"}], "annotations": tracks}


def write(folder: Path, **pieces: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in pieces.items():
        save_json_atomic(folder / f"{name}.json", document)
    return folder


def lefts_of(track: dict[str, Any]) -> list[int | None]:
    return [None if box is None else box[0] for box in track["bboxes"]]


def test_tracks_go_on_across_seams_by_overlap_whatever_their_order(tmp_path: Path) -> None:
    """The piece after lists the same two objects the other way round, and a new one."""
    folder = write(tmp_path, train=piece(0, 3, [0, 20]), valid=piece(3, 2, [21, 1, 33]))
    clip = load_clip(folder)
    (video,) = clip.document["videos"]
    assert video["length"] == 5 and video["file_names"][-1] == "clip/00004.jpg"
    tracks = clip.document["annotations"]
    assert [lefts_of(track) for track in tracks] == [[0, 0, 0, 1, 1], [20, 20, 20, 21, 21], [None] * 3 + [33, 33]]
    assert [track["id"] for track in tracks] == [1, 2, 3]
    assert all(len(track[key]) == 5 for track in tracks for key in ("segmentations", "areas"))


def test_folds_cover_eighty_frames_once_and_train_on_the_others(tmp_path: Path) -> None:
    assert [held_out(80, fold) for fold in range(NUM_FOLDS)] == [
        range(0, 20),
        range(20, 40),
        range(40, 60),
        range(60, 80),
    ]
    clip = load_clip(write(tmp_path, train=piece(0, 60, [0, 20]), valid=piece(60, 20, [0, 20])))
    lengths = []
    for fold in range(NUM_FOLDS):
        write_fold(clip, fold, tmp_path / str(fold))
        train, valid = (load_json(tmp_path / str(fold) / f"{split}.json") for split in ("train", "valid"))
        lengths.append([video["length"] for video in train["videos"]])
        scored = valid["videos"][0]["file_names"]
        trained = [name for video in train["videos"] for name in video["file_names"]]
        assert len(scored) == 20 and len(trained) == 60 and not set(scored) & set(trained)
        for document in (train, valid):
            for track in document["annotations"]:
                video = document["videos"][track["video_id"] - 1]
                assert video["id"] == track["video_id"]
                assert len(track["segmentations"]) == len(track["bboxes"]) == video["length"] == track["length"]
    assert lengths == [[60], [20, 40], [40, 20], [60]]


def test_a_short_clip_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too short"):
        held_out(21, 0)
    with pytest.raises(DataError, match=r"expected train.json or valid.json"):
        load_clip(tmp_path)


@pytest.mark.parametrize("name", list(load_configs(CONFIGS)))
def test_every_shipped_configuration_is_a_valid_trial(name: str) -> None:
    config = load_configs(CONFIGS)[name]
    assert load_trial(config.trial, config.profile, config.settings).name == config.trial


def test_a_configuration_comes_after_those_whose_weights_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "configs.yaml"
    path.write_text("a: {set: [x=1]}\nb: {weights_of: a, set: [y=2]}\nc: {trial: baseline, start_from: a}\n")
    configs = load_configs(path)
    assert configs["b"].settings == ("x=1", "y=2") and configs["c"].settings == ()
    assert [config.name for config in choose_configs(configs, ["b"], [])] == ["a", "b"]
    chosen = choose_configs(configs, ["c", "a"], ["train.optimizer={kind: sgd}"])
    assert [config.name for config in chosen] == ["a", "c+train.optimizer=_kind_sgd_", "a+train.optimizer=_kind_sgd_"]
    assert chosen[1].settings == ("train.optimizer={kind: sgd}",)
    with pytest.raises(SpecError, match="no configuration 'd'"):
        choose_configs(configs, ["d"], [])
    path.write_text("b: {weights_of: a}\n")
    with pytest.raises(SpecError, match="no configuration 'a' above it"):
        load_configs(path)
    path.write_text("b: {sett: [x=1]}\n")
    with pytest.raises(SpecError, match="unknown key 'sett'"):
        load_configs(path)


def test_pseudo_videos_are_made_of_the_frames_to_train_on_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip", train=piece(0, 12, [0, 20]), valid=piece(12, 11, [0, 20]))
    for number in range(23):
        path = folder / "JPEGImages" / "clip" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Held out are frames 0 to 19: a fold that looked at them would find white.
        pixels = np.full((HEIGHT, WIDTH, 3), 255 if number < 20 else 60, np.uint8)
        Image.fromarray(pixels).save(path)
    config = load_configs(CONFIGS)["pseudo"]._replace(pseudo=3)
    fold = real_clip.Fold("pseudo", 0, 0)
    clip = load_clip(folder)
    write_fold(clip, 0, tmp_path / "out" / "data" / "fold0")
    made = real_clip.write_pseudo(clip, config, fold, tmp_path / "out")
    videos = load_json(made)["videos"]
    assert [video["length"] for video in videos] == [3, 20, 20, 20]
    frames = [made.parent / "JPEGImages" / name for video in videos for name in video["file_names"]]
    assert max(np.asarray(Image.open(frame)).max() for frame in frames) < 200
    assert real_clip.write_pseudo(clip, config, fold, tmp_path / "out") == made


def test_figures_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    (config,) = choose_configs(load_configs(CONFIGS), ["laptop"], [])
    fold = real_clip.Fold("laptop", 0, 0)
    fold.figures(tmp_path).parent.mkdir()
    save_json_atomic(fold.figures(tmp_path), {"settings": ["train.max_iters=1"]})
    with pytest.raises(RunError, match="made with"):
        real_clip._check_settings([config], [fold], tmp_path)


def test_a_fold_runs_to_its_figures_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write(tmp_path / "clip", train=piece(0, 12, [0, 20]), valid=piece(12, 11, [0, 20]))
    rng = np.random.default_rng(0)
    for number in range(23):
        path = clip / "JPEGImages" / "clip" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
    configs = tmp_path / "configs.yaml"
    configs.write_text(
        'tiny: {set: [train.max_iters=2, "data.image_size_px=[64, 32]", init.backbone=random]}\n'
        "strict: {weights_of: tiny, set: [inference.score_threshold=0.9]}\n"
        "broken: {set: [model.backbone.name=no_such_network]}\n"
    )
    arguments = ["real_clip", "--clip", str(clip), "--configs", str(configs), "--out", str(tmp_path / "out")]
    arguments += ["--device", "cpu", "--folds", "0", "--only"]
    monkeypatch.setattr("sys.argv", [*arguments, "strict", "broken"])
    assert real_clip.main() == 1
    printed = capsys.readouterr().out
    assert "broken fold 0 seed 0: failed" in printed and "no_such_network" in printed
    tiny, strict = (load_json(tmp_path / "out" / name / "fold0-seed0.json") for name in ("tiny", "strict"))
    assert tiny["last_steps"]["steps"] == 2 and strict["last_steps"] == {}
    assert tiny["stages"]["train"]["iterations"] == 2 and tiny["metrics"]["num_tracks"] == 2
    assert strict["initial_weights"]["source"] == tiny["weights"]

    before = (tmp_path / "out" / "tiny" / "fold0-seed0.json").stat().st_mtime_ns
    monkeypatch.setattr("sys.argv", [*arguments, "tiny"])
    assert real_clip.main() == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert {row.split(" | ")[0] for row in rows[1:]} == {"| tiny", "| strict"}
    assert (tmp_path / "out" / "tiny" / "fold0-seed0.json").stat().st_mtime_ns == before
