"""A model over all videos of a split -> predictions.json, video by video, in memory that does not grow."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vistrials.data.frames import iter_frames
from vistrials.engine.devices import inference_autocast
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter
from vistrials.formats.files import replacing
from vistrials.models.folding import for_inference
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
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
    """How an inference went; `seconds` is the time spent on its videos, reading frames included."""

    videos: int
    frames: int
    tracks: int
    seconds: float


def infer(
    model: ObjProp,
    video_set: VideoSet,
    image_size_px: tuple[int, int],
    spec: InferenceSpec,
    files: PredictionFiles,
    *,
    digest: str,
    reporter: Reporter,
    title: str = "infer",
) -> InferenceSummary:
    """Predict the tracks of all videos, going on after the videos that are finished.

    Each finished video is a line of the partial file, whose first line holds `digest`; a file of another
    digest is thrown away. In the end the tracks, in the order of the videos, become one JSON list.

    Args:
        model: with its weights, on its device; left as it is.
        video_set: videos, with or without annotations.
        image_size_px: (long, short) edge that frames are fitted into.
        spec: thresholds and association.
        files: where to write.
        digest: of everything that changes the predictions: weights, spec, data.
        reporter: hears of each frame, and how long those of a video took.
        title: of the stage, for the reporter.

    Raises:
        Interrupted: stopped by a signal; finished videos are kept.
        DataError: a frame is missing or broken.
        SpecError: the device does not have the precision.
    """
    autocast = inference_autocast(spec.precision, next(model.parameters()).device)
    model = for_inference(model)
    category_ids = [category.id for category in video_set.categories]
    finished = _open_partial(files.partial, digest)
    reporter.stage(title, sum(len(video) for video in video_set.videos))
    reporter.advance(sum(len(video) for video in video_set.videos[:finished]))
    announce = partial(reporter.message, _STOPPING)
    with StopRequest(announce=announce) as stop, open(files.partial, "a", encoding="utf-8") as lines:
        for number, video in enumerate(video_set.videos[finished:], start=finished):
            began = time.perf_counter()
            read = iter_frames(video_set, video, image_size_px)
            frames = _until_stopped(read, stop, number, video_set, reporter)
            with autocast:
                tracks = track_video(model, frames, video.id, category_ids, spec)
            seconds = time.perf_counter() - began
            row = {
                "video_id": video.id,
                "frames": len(video),
                "seconds": round(seconds, 4),
                "tracks": [track.to_json() for track in tracks],
            }
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            reporter.advance(0, seconds_per_frame=seconds / len(video))
    return _assemble(files, video_set.videos)


def _until_stopped(
    frames: Iterator[Frame], stop: StopRequest, number: int, video_set: VideoSet, reporter: Reporter
) -> Iterator[Frame]:
    for frame in frames:
        if stop.requested:
            done = f"{number} of {len(video_set.videos)} videos"
            raise Interrupted(f"stopped after {done}; the same command continues from there")
        yield frame
        reporter.advance(1)


def _open_partial(path: Path, digest: str) -> int:
    """Make the partial file begin with the header of this digest; the number of finished videos in it."""
    header = json.dumps({"digest": digest}) + "\n"
    if path.exists():
        with open(path, "rb+") as file:
            if file.readline() == header.encode():
                finished, whole = 0, file.tell()
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # torn by a power cut
                    finished, whole = finished + 1, whole + len(line)
                file.truncate(whole)
                return finished
    path.write_text(header, encoding="utf-8")
    return 0


def _assemble(files: PredictionFiles, videos: tuple[Video, ...]) -> InferenceSummary:
    """Join the lines of the partial file, one in memory at a time."""
    num_frames, num_tracks, seconds = 0, 0, 0.0
    with (
        replacing(files.predictions) as temporary,
        open(files.partial, encoding="utf-8") as lines,
        open(temporary, "w", encoding="utf-8") as out,
    ):
        next(lines)
        out.write("[")
        for line in lines:
            row = json.loads(line)
            num_frames, seconds = num_frames + row["frames"], seconds + row["seconds"]
            for track in row["tracks"]:
                out.write(",\n" if num_tracks else "\n")
                out.write(json.dumps(track))
                num_tracks += 1
        out.write("\n]\n")
    files.partial.unlink()
    return InferenceSummary(len(videos), num_frames, num_tracks, round(seconds, 3))
