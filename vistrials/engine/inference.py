"""A model over all videos of a split -> predictions.json, video by video, in memory that does not grow."""

import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vistrials.data.frames import iter_frames
from vistrials.engine.devices import flush_denormals, inference_autocast
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter
from vistrials.engine.side_by_side import call_on_devices, call_side_by_side, most_processes, one_thread
from vistrials.errors import RunError
from vistrials.formats.files import replacing
from vistrials.freed_memory import keep_freed_memory
from vistrials.models.folding import for_inference, is_large
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import ModelSpec
from vistrials.structures.frames import Frame
from vistrials.structures.video import Video, VideoSet
from vistrials.tracking.online import track_video

_STOPPING = "stopping after this frame: finished videos are kept; Ctrl-C again stops at once"


@dataclass(frozen=True, slots=True)
class PredictionFiles:
    """Where predictions end up, and where finished videos wait for the others."""

    predictions: Path
    partial: Path


@dataclass(frozen=True, slots=True)
class InferenceSummary:
    """How an inference went; `seconds` is the time spent on its videos, reading frames included.

    Of videos side by side, `processes` at a time, each counts in full.
    """

    videos: int
    frames: int
    tracks: int
    seconds: float
    processes: int


def has_one_thread(model: nn.Module) -> bool:
    """Whether predictions of a network are made by one thread each: of a small one on a CPU."""
    return next(model.parameters()).device.type == "cpu" and not is_large(model)


def its_threads(model: nn.Module) -> AbstractContextManager[None]:
    """While entered, PyTorch has the threads with which this network predicts."""
    return one_thread() if has_one_thread(model) else nullcontext()


def infer(
    model: ObjProp,
    video_set: VideoSet,
    image_size_px: tuple[int, int],
    spec: InferenceSpec,
    files: PredictionFiles,
    **how: Any,
) -> InferenceSummary:
    """Predict the tracks of all videos into one file: `predict_split`, then `join_predictions`."""
    summary = predict_split(model, video_set, image_size_px, spec, files, **how)
    join_predictions(files)
    return summary


def predict_split(
    model: ObjProp,
    video_set: VideoSet,
    image_size_px: tuple[int, int],
    spec: InferenceSpec,
    files: PredictionFiles,
    *,
    digest: str,
    reporter: Reporter,
    title: str = "infer",
    max_processes: int | None = None,
    devices: Sequence[torch.device] = (),
) -> InferenceSummary:
    """Predict the tracks of all videos, going on after the videos that are finished.

    On a CPU a small network has one thread, whatever the number of cores, and predicts several videos side by side: the
    predictions are the same for any number of processes.

    Each finished video is a line of the partial file, whose first line holds `digest`; a file of another
    digest is thrown away, and so are videos from the first damaged line on.

    Args:
        model: with its weights, on its device; left as it is.
        video_set: videos, with or without annotations.
        image_size_px: (long, short) edge that frames are fitted into.
        spec: thresholds and association.
        files: where to write.
        digest: of everything that changes the predictions: weights, spec, data.
        reporter: hears of each frame (of each video where several go on side by side), and how long a frame took.
        title: of the stage, for the reporter.
        max_processes: that predict a video each, of a small network on a CPU; by default one for each core.
        devices: where there are several, each predicts a video at a time, in a process of its own.

    Raises:
        Interrupted: stopped by a signal; finished videos are kept.
        DataError: a frame is missing or broken.
        SpecError: the device does not have the precision, or the network attends to another video than the only one.
        RunError: a process died.
    """
    inference_autocast(spec.precision, next(model.parameters()).device)  # refused before anything is written
    flush_denormals()  # as in training: `infer` alone gives what `run` gives
    weights = {name: value.cpu() for name, value in model.state_dict().items()} if len(devices) > 1 else {}
    model = for_inference(model)
    videos = video_set.videos
    finished = _open_partial(files.partial, digest, videos)
    reporter.stage(title, sum(len(video) for video in videos))
    todo = range(finished, len(videos))
    if len(devices) > 1:
        processes = len(devices)
    else:
        processes = max(1, min(max_processes or most_processes(), len(todo))) if has_one_thread(model) else 1
    # Of other processes only finished videos are heard.
    tell = reporter if processes == 1 else None
    predict = _VideoPredictor(model, video_set, image_size_px, spec, tell)
    elsewhere = _ForDevices(model.spec, weights, video_set, image_size_px, spec) if len(devices) > 1 else None

    with ExitStack() as stack:
        stack.enter_context(keep_freed_memory())
        stop = stack.enter_context(StopRequest(announce=lambda: reporter.message(_STOPPING)))
        partial = stack.enter_context(open(files.partial, "a", encoding="utf-8"))
        stack.enter_context(its_threads(model))
        calls = (
            call_on_devices(elsewhere, todo, devices, stop)
            if elsewhere
            else call_side_by_side(predict, todo, processes, stop)
        )
        rows = stack.enter_context(closing(calls))
        reporter.advance(sum(len(video) for video in videos[:finished]))
        for number, row in enumerate(rows, start=finished):
            if row is None:
                done = f"{number} of {len(videos)} videos"
                raise Interrupted(f"stopped after {done}; the same command continues from there")
            partial.write(_as_line(row))
            partial.flush()
            reporter.advance(0 if tell else row["frames"], seconds_per_frame=row["seconds"] / row["frames"])
    return _summarise(files.partial, processes)


@dataclass(frozen=True, slots=True)
class _VideoPredictor:
    """Predicts one video of a set after the other."""

    model: ObjProp
    video_set: VideoSet
    image_size_px: tuple[int, int]
    spec: InferenceSpec
    tell: Reporter | None

    def __call__(self, number: int, is_stopped: Callable[[], bool]) -> dict[str, Any] | None:
        """A line of the partial file; None where it was stopped before the end."""
        videos, began = self.video_set.videos, time.perf_counter()
        video, after = videos[number], videos[(number + 1) % len(videos)]
        category_ids = [category.id for category in self.video_set.categories]
        frames = _until_stopped(iter_frames(self.video_set, video, self.image_size_px), is_stopped, self.tell)
        other = _frames_without_end(self.video_set, after, self.image_size_px) if len(videos) > 1 else None
        try:
            with inference_autocast(self.spec.precision, next(self.model.parameters()).device):
                tracks = track_video(self.model, frames, video.id, category_ids, self.spec, other)
        except _Stopped:
            return None
        seconds = round(time.perf_counter() - began, 4)
        rows = [track.to_json() for track in tracks]
        return {"video_id": video.id, "frames": len(video), "seconds": seconds, "tracks": rows}


@dataclass(frozen=True, slots=True)
class _ForDevices:
    """A predictor that other processes build of the same network: the network itself cannot be pickled."""

    model_spec: ModelSpec
    weights: dict[str, Tensor]
    video_set: VideoSet
    image_size_px: tuple[int, int]
    spec: InferenceSpec

    def on(self, device: torch.device) -> _VideoPredictor:
        """With the network on a device."""
        model = build_model(self.model_spec, self.video_set.num_categories)
        model.load_state_dict(self.weights)
        return _VideoPredictor(for_inference(model.to(device)), self.video_set, self.image_size_px, self.spec, None)


class _Stopped(Exception):
    """The user asked to stop in the middle of a video."""


def _until_stopped(frames: Iterator[Frame], is_stopped: Callable[[], bool], tell: Reporter | None) -> Iterator[Frame]:
    for frame in frames:
        if is_stopped():
            raise _Stopped
        yield frame
        if tell is not None:
            tell.advance(1)


def _frames_without_end(video_set: VideoSet, video: Video, image_size_px: tuple[int, int]) -> Iterator[Frame]:
    """A video's frames, over and over."""
    while True:
        yield from iter_frames(video_set, video, image_size_px)


_CHECKSUM = "crc32"
"""Of a line of the partial file: a damaged one is not taken for predictions."""


def _as_line(row: dict[str, Any]) -> str:
    return json.dumps(row | {_CHECKSUM: zlib.crc32(json.dumps(row).encode())}) + "\n"


def _open_partial(path: Path, digest: str, videos: Sequence[Video]) -> int:
    """Make the partial file begin with the header of this digest; the number of finished videos in it."""
    header = json.dumps({"digest": digest}) + "\n"
    if path.is_dir():
        raise RunError(f"{path}: expected a file of predictions, found a folder; remove it")
    if path.exists():
        with open(path, "rb+") as file:
            if file.readline() == header.encode():
                finished, whole = 0, file.tell()
                for line, video in zip(file, videos, strict=False):
                    if not _is_whole(line, video):
                        break  # torn by a power cut, or damaged since
                    finished, whole = finished + 1, whole + len(line)
                file.truncate(whole)
                return finished
    path.write_text(header, encoding="utf-8")
    return 0


def _is_whole(line: bytes, video: Video) -> bool:
    """Whether a line holds what was predicted of this video."""
    try:
        row = json.loads(line)
        del row[_CHECKSUM]
        return line == _as_line(row).encode() and row["video_id"] == video.id
    except (ValueError, KeyError, TypeError):
        return False


def _finished_rows(partial: Path) -> Iterator[dict[str, Any]]:
    """The lines of a partial file, one in memory at a time."""
    with open(partial, encoding="utf-8") as lines:
        next(lines)
        yield from map(json.loads, lines)


def _summarise(partial: Path, processes: int) -> InferenceSummary:
    num_videos, num_frames, num_tracks, seconds = 0, 0, 0, 0.0
    for row in _finished_rows(partial):
        num_videos, num_frames = num_videos + 1, num_frames + row["frames"]
        num_tracks, seconds = num_tracks + len(row["tracks"]), seconds + row["seconds"]
    return InferenceSummary(num_videos, num_frames, num_tracks, round(seconds, 3), processes)


def join_predictions(files: PredictionFiles) -> None:
    """Make the tracks of all videos, in the order of the videos, one JSON list."""
    with replacing(files.predictions) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write("[")
        first = True
        for row in _finished_rows(files.partial):
            for track in row["tracks"]:
                out.write("\n" if first else ",\n")
                out.write(json.dumps(track))
                first = False
        out.write("\n]\n")
    files.partial.unlink()
