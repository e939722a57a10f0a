"""The benchmark of `track` makes its video, tracks it and says what came out."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import tracking_video
from tests.own_video.conftest import MadeRun, made_run  # noqa: F401 - a fixture


def test_it_says_what_came_out(
    made_run: MadeRun,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tracking_video, "EVERY", 2)
    images, weights = made_run.data / "JPEGImages" / "7", made_run.directory.weights
    arguments = ["--weights", str(weights), "--frames", "5", "--rotation", "90", "--score", "0", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["tracking_video", str(images), *arguments])
    tracking_video.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["frames", "2", "4"]
    assert lines[3].startswith("5 frames, ")
    # Upright: 48 rows of 64 pixels, enlarged five times.
    assert any(line.startswith("overlay.mp4: h264 (High), yuv420p, 320 x 240, 5 frames, 24 per") for line in lines)
    tracks = json.loads((tmp_path / "tracks.json").read_text())
    assert {len(track["segmentations"]) for track in tracks} == {5}
