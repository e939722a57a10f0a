import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from torch import nn

from tests.engine.tiny_videos import NUM_FRAMES, write_tiny_data_set
from vistrials.engine import inference
from vistrials.engine.inference import InferenceSummary, PredictionFiles, infer
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import SilentReporter
from vistrials.formats.annotations import load_video_set
from vistrials.specs.inference import InferenceSpec
from vistrials.structures.frames import Frame
from vistrials.structures.tracks import TrackResult
from vistrials.structures.video import VideoSet


class FakeTracker:
    """In the place of `track_video`: a track per category, and a record of what was asked for."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.videos: list[int] = []
        self.stop_at = stop_at

    def __call__(
        self,
        model: nn.Module,
        frames: Iterable[Frame],
        video_id: int,
        category_ids: list[int],
        spec: InferenceSpec,
    ) -> list[TrackResult]:
        assert not model.training
        num_frames = 0
        for frame in frames:
            num_frames += 1
            assert frame.image.shape == (3, 24, 32)
            if video_id == self.stop_at:
                os.kill(os.getpid(), signal.SIGINT)
        self.videos.append(video_id)
        return [TrackResult(video_id, c, 0.5 + c / 100, [None] * num_frames) for c in category_ids]


@pytest.fixture
def video_set(tmp_path: Path) -> VideoSet:
    root = write_tiny_data_set(tmp_path / "data")
    return load_video_set(root / "train.json", root / "JPEGImages")


def predict(
    video_set: VideoSet,
    folder: Path,
    tracker: FakeTracker,
    monkeypatch: pytest.MonkeyPatch,
    digest: str = "d",
) -> tuple[list[dict], InferenceSummary]:
    monkeypatch.setattr(inference, "track_video", tracker)
    files = PredictionFiles(folder / "predictions.json", folder / "predictions.partial.jsonl")
    summary = infer(
        nn.Linear(1, 1),
        video_set,
        (32, 24),
        InferenceSpec(),
        files,
        digest=digest,
        reporter=SilentReporter(),
    )
    assert not files.partial.exists()
    return json.loads(files.predictions.read_text()), summary


def test_tracks_come_in_the_order_of_the_videos(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, summary = predict(video_set, tmp_path, FakeTracker(), monkeypatch)
    assert [(row["video_id"], row["category_id"], row["score"]) for row in rows] == [
        (7, 5, 0.55),
        (7, 9, 0.59),
        (3, 5, 0.55),
        (3, 9, 0.59),
    ]
    assert rows[0]["segmentations"] == [None] * NUM_FRAMES
    assert (summary.videos, summary.frames, summary.tracks) == (2, 2 * NUM_FRAMES, 4)
    assert summary.seconds > 0


def test_an_interrupted_inference_goes_on_after_the_finished_videos(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted, match="after 1 of 2 videos"):
        predict(video_set, tmp_path, FakeTracker(stop_at=3), monkeypatch)
    assert not (tmp_path / "predictions.json").exists()
    with open(tmp_path / "predictions.partial.jsonl", "a") as partial:
        partial.write('{"video_id": 3, "tra')  # and then the power failed
    tracker = FakeTracker()
    rows, summary = predict(video_set, tmp_path, tracker, monkeypatch)
    assert tracker.videos == [3]
    (tmp_path / "whole").mkdir()
    assert rows == predict(video_set, tmp_path / "whole", FakeTracker(), monkeypatch)[0]
    assert summary.frames == 2 * NUM_FRAMES


def test_videos_of_other_weights_are_not_mixed_in(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        predict(video_set, tmp_path, FakeTracker(stop_at=3), monkeypatch, digest="other weights")
    tracker = FakeTracker()
    predict(video_set, tmp_path, tracker, monkeypatch)
    assert tracker.videos == [7, 3]


def test_no_tracks_at_all_are_an_empty_list(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blind(FakeTracker):
        def __call__(self, *args: object) -> list[TrackResult]:
            return []

    rows, summary = predict(video_set, tmp_path, Blind(), monkeypatch)
    assert rows == []
    assert summary.tracks == 0
