"""The loader's benchmark draws what it says and counts workers by the pairs that a device needs."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import loader
from vistrials.data.loading import FramePairDataset
from vistrials.specs.data import DataSpec


def test_frames_and_objects_are_as_declared(tmp_path: Path) -> None:
    videos = loader.draw_video(tmp_path, size=(36, 64), num_frames=3)
    assert Image.open(tmp_path / "00002.jpg").size == (64, 36)
    dataset = FramePairDataset(videos, DataSpec(image_size_px=(32, 18)), seed=0)
    assert len(dataset) == 3
    pair = dataset.clip(0, 0, 0)[0]
    assert pair.key_image.shape == (3, 18, 32) and len(pair.boxes) == loader.NUM_OBJECTS
    assert all(mask.any() for mask in pair.masks)


def test_workers_are_those_that_fifty_pairs_a_second_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = loader.draw_video(tmp_path, size=(36, 64), num_frames=2)
    monkeypatch.setattr(loader, "cpu_seconds", lambda function, count, rounds: 0.05)
    row = loader.measure(videos, "published", DataSpec(image_size_px=(32, 18)), 1, 1)
    assert row == {"settings": "published", "a pair": 0.05, "pairs/s of a worker": 20, "workers for 100 images/s": 3}


def test_the_command_leaves_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = loader.draw_video
    monkeypatch.setattr(loader, "draw_video", lambda folder: draw(folder, (36, 64), 2))
    out = tmp_path / "loader.json"
    monkeypatch.setattr(sys, "argv", ["loader", "--pairs", "1", "--rounds", "1", "--out", str(out)])
    loader.main()
    found = json.loads(out.read_text())
    assert [row["settings"] for row in found["rows"]] == ["published (flip)", "augmentation of `laptop`"]
    assert found["machine"]["threads"] == 1 and found["command"] == "python -m benchmarks.loader"
