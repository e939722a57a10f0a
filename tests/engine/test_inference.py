import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engine.tiny_videos import NUM_FRAMES, write_tiny_data_set
from tests.models.small import small_spec
from vistrials.data.frames import iter_frames
from vistrials.engine import inference
from vistrials.engine.inference import InferenceSummary, PredictionFiles, infer
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.side_by_side import one_thread
from vistrials.formats.annotations import load_video_set
from vistrials.models import folding
from vistrials.models.objprop import build_model
from vistrials.specs.inference import InferenceSpec
from vistrials.structures.frames import Frame
from vistrials.structures.tracks import TrackResult
from vistrials.structures.video import VideoSet


class FakeTracker:
    """In the place of `track_video`: a track per category, and a record of what was asked for."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.videos: list[int] = []
        self.others: list[list[Tensor] | None] = []
        self.stop_at = stop_at

    def __call__(
        self,
        model: nn.Module,
        frames: Iterable[Frame],
        video_id: int,
        category_ids: list[int],
        spec: InferenceSpec,
        other_video: Iterator[Frame] | None,
    ) -> list[TrackResult]:
        assert not model.training
        self.others.append(None if other_video is None else [next(other_video).image for _ in range(5)])
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
    max_processes: int = 1,
    reporter: Reporter | None = None,
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
        reporter=reporter or SilentReporter(),
        max_processes=max_processes,
    )
    assert not files.partial.exists()
    return json.loads(files.predictions.read_text()), summary


def test_denormal_numbers_are_rounded_to_0_as_in_training(video_set, tmp_path, monkeypatch) -> None:
    seen: list[float] = []

    class Tracker(FakeTracker):
        def __call__(self, *arguments) -> list[TrackResult]:
            seen.append(float(torch.tensor([1e-30]) * torch.tensor([1e-10])))
            return super().__call__(*arguments)

    torch.set_flush_denormal(False)
    predict(video_set, tmp_path, Tracker(), monkeypatch)
    assert set(seen) == {0.0}


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


@pytest.mark.parametrize("is_digit", [True, False], ids=["another number", "another video"])
def test_a_damaged_line_is_not_taken_for_predictions(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_digit: bool
) -> None:
    with pytest.raises(Interrupted):
        predict(video_set, tmp_path, FakeTracker(stop_at=3), monkeypatch)
    partial = tmp_path / "predictions.partial.jsonl"
    header, line = partial.read_bytes().splitlines(keepends=True)
    digit = next(place for place in range(len(line) - 25, 0, -1) if chr(line[place]).isdigit())
    # Still JSON, of another number.
    changed = line[:digit] + (b"1" if line[digit : digit + 1] != b"1" else b"2") + line[digit + 1 :]
    json.loads(changed)
    partial.write_bytes(header + (changed if is_digit else line.replace(b'"video_id": 7', b'"video_id": 3')))
    tracker = FakeTracker()
    rows, _ = predict(video_set, tmp_path, tracker, monkeypatch)
    assert tracker.videos == [7, 3]
    (tmp_path / "whole").mkdir()
    assert rows == predict(video_set, tmp_path / "whole", FakeTracker(), monkeypatch)[0]


class Recording(SilentReporter):
    def __init__(self) -> None:
        self.totals: list[int | None] = []
        self.steps: list[int] = []
        self.messages: list[str] = []

    def stage(self, name: str, total: int | None) -> None:
        self.totals.append(total)

    def advance(self, steps: int = 1, **values: float) -> None:
        self.steps.append(steps)

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_every_frame_is_heard_of_and_first_what_was_done_before(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, resumed = Recording(), Recording()
    with pytest.raises(Interrupted):
        predict(video_set, tmp_path, FakeTracker(stop_at=3), monkeypatch, reporter=stopped)
    # The last 0 goes with what a video's frames took. The frame that the signal broke into is still finished.
    of_a_video = [1] * NUM_FRAMES + [0]
    assert stopped.steps == [0, *of_a_video, 1]
    assert [message.split(" ")[0] for message in stopped.messages] == ["stopping"]
    predict(video_set, tmp_path, FakeTracker(), monkeypatch, reporter=resumed)
    assert resumed.steps == [NUM_FRAMES, *of_a_video]
    assert resumed.totals == [2 * NUM_FRAMES] and resumed.messages == []


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


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_videos_side_by_side_give_the_same_predictions(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, _ = predict(video_set, tmp_path, FakeTracker(), monkeypatch)
    tracker = FakeTracker()
    rows, summary = predict(video_set, tmp_path, tracker, monkeypatch, max_processes=5)
    assert rows == alone
    # One for each of the two videos, in neither of which this process had a hand.
    assert summary.processes == 2 and tracker.videos == []


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_small_network_has_one_thread_and_a_large_one_all(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    threads = []

    class Counting(FakeTracker):
        def __call__(self, *args: Any) -> list[TrackResult]:
            threads.append(torch.get_num_threads())
            return super().__call__(*args)

    monkeypatch.setattr(folding, "_MIN_LARGE", limit)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        _, summary = predict(video_set, tmp_path, Counting(), monkeypatch, max_processes=1 if limit else 2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert threads == ([3, 3] if limit == 0 else [1, 1]) and summary.processes == 1


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_an_interruption_keeps_what_is_finished_side_by_side(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(FakeTracker):
        """The second video never ends before all of it is stopped, once the first is in the file."""

        def __call__(self, model: nn.Module, frames: Iterable[Frame], video_id: int, *more: Any) -> list[TrackResult]:
            if video_id == 7:
                return super().__call__(model, frames, video_id, *more)
            while "tracks" not in (tmp_path / "predictions.partial.jsonl").read_text():
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(0.5)
            return super().__call__(model, frames, video_id, *more)

    with pytest.raises(Interrupted, match="after 1 of 2 videos"):
        predict(video_set, tmp_path, Stopping(), monkeypatch, max_processes=2)
    tracker = FakeTracker()
    rows, _ = predict(video_set, tmp_path, tracker, monkeypatch)
    assert tracker.videos == [3] and len(rows) == 4


def test_several_devices_give_the_predictions_of_one(video_set: VideoSet, tmp_path: Path) -> None:
    found = []
    for name, devices in {"one": [], "two": [torch.device("cpu")] * 2}.items():
        files = PredictionFiles(tmp_path / f"{name}.json", tmp_path / f"{name}.partial.jsonl")
        how = {"digest": "d", "reporter": SilentReporter(), "max_processes": 1, "devices": devices}
        torch.manual_seed(0)
        with one_thread():
            summary = infer(
                build_model(small_spec(), 2), video_set, (64, 48), InferenceSpec(max_detections=3), files, **how
            )
        found.append((files.predictions.read_text(), summary.frames, summary.processes))
    (alone, frames, _), (together, same_frames, processes) = found
    assert together == alone and json.loads(alone)
    assert same_frames == frames and processes == 2


def test_another_video_is_the_next_one_over_and_over(
    video_set: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = FakeTracker()
    predict(video_set, tmp_path, tracker, monkeypatch)
    own = [[frame.image for frame in iter_frames(video_set, video, (32, 24))] for video in video_set.videos]
    for number, others in enumerate(tracker.others):
        expected = own[(number + 1) % len(own)]
        assert others is not None and len(expected) < 5
        assert all(torch.equal(image, expected[i % len(expected)]) for i, image in enumerate(others))
    alone = replace(video_set, videos=video_set.videos[:1])
    predict(alone, tmp_path, tracker := FakeTracker(), monkeypatch, digest="alone")
    assert tracker.others == [None]
