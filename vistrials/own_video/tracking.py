"""Videos -> overlays, tracks, masks and boxes: frame by frame, in memory that does not grow with the video."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import torch

from vistrials.data.frames import prepare_frame
from vistrials.engine.devices import flush_denormals, inference_autocast
from vistrials.engine.inference import its_threads
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.reporting import Reporter
from vistrials.errors import SpecError
from vistrials.freed_memory import keep_freed_memory
from vistrials.own_video.names import OutputPlace
from vistrials.own_video.network import Network
from vistrials.own_video.outputs import (
    MAX_PALETTE_OBJECTS,
    ShownObject,
    TrackedFrame,
    TrackedVideo,
    TrackRules,
    open_outputs,
)
from vistrials.structures.video import Category
from vistrials.tracking.online import (
    OnlineTracker,
    TrackedObject,
    TrackSummary,
    category_of,
    encode_masks,
    in_batches,
)
from vistrials.video_files.reading import IMAGES_PER_SECOND, FrameReader, TimedFrame, open_frames
from vistrials.video_files.sources import Source


@dataclass(frozen=True, slots=True)
class TrackingSummary:
    """How it went; best_score: the highest of any object in any frame, whether shown or not."""

    name: str
    num_frames: int
    num_objects: int
    best_score: float
    seconds: float


def track(
    sources: Sequence[Source],
    places: Sequence[Sequence[OutputPlace]],
    network: Network,
    *,
    min_score: float = 0.3,
    images_per_second: Fraction = IMAGES_PER_SECOND,
    max_frames: int | None = None,
    reporter: Reporter,
) -> list[TrackingSummary]:
    """Track the objects of videos, one video after the other.

    A frame shows the objects whose score in that frame is `min_score` or more; a predictions file holds the tracks
    whose mean score is, which is known at the end alone.

    Args:
        sources: the videos; their positions, from 1, are the video ids of predictions.
        places: for each video what to make; replaced.
        network: to track with.
        min_score: see above.
        images_per_second: of images, which carry no times.
        max_frames: of each video, to stop after.
        reporter: hears of each video; steps are frames.

    Raises:
        SpecError: the network's tracks need the whole video, or another one.
        Interrupted: stopped by a signal. The frames so far are in the outputs, which are whole; further videos are not.
        DataError: a video cannot be read.
        OSError: an output cannot be written.
    """
    propagation = network.spec.model.propagation
    if propagation is not None and propagation.at_inference and propagation.gap_frames is not None:
        raise SpecError(
            "model.propagation.gap_frames: keeps what the whole video confirms, and here frames are done when they "
            "come; expected null: add --set model.propagation.gap_frames=null"
        )
    done = []
    flush_denormals()
    with keep_freed_memory(), its_threads(network.model), StopRequest() as stop:
        for number, (source, of_source) in enumerate(zip(sources, places, strict=True), 1):
            with open_frames(source, images_per_second) as reader:
                video = TrackedVideo(reader.info, number)
                totals = [count for count in (reader.info.num_frames, max_frames) if count is not None]
                reporter.stage(f"track {source.name}", min(totals, default=None))
                frames = islice(reader, max_frames)
                summary, is_whole = _track_video(reader, frames, video, of_source, network, min_score, stop, reporter)
                for line in _remarks(reader, summary, of_source, min_score):
                    reporter.warning(f"{source.where}: {line}")
            if not is_whole:
                names = ", ".join(str(place.path) for place in of_source)
                raise Interrupted(
                    f"stopped after {summary.num_frames} frames of {source.where}, which are in {names}"
                    + _not_begun(len(sources) - number)
                )
            done.append(summary)
    return done


def _track_video(
    reader: FrameReader,
    frames: Iterable[TimedFrame],
    video: TrackedVideo,
    places: Sequence[OutputPlace],
    network: Network,
    min_score: float,
    stop: StopRequest,
    reporter: Reporter,
) -> tuple[TrackingSummary, bool]:
    """Track one video; also whether it came to its end."""
    spec = network.spec.inference
    ids = [category.id for category in network.categories]
    categories = [
        Category(category_of(label, ids, spec), category.name) for label, category in enumerate(network.categories, 1)
    ]
    tracker = OnlineTracker(network.model, spec)
    keeps_masks = any(place.kind == ".json" for place in places)
    best_score, is_whole, began = 0.0, True, time.perf_counter()
    rules = TrackRules(min_score, spec.min_track_frames, categories)
    with inference_autocast(spec.precision, network.device), open_outputs(places, video, rules) as add:
        try:
            for together in in_batches(frames, spec.frames_per_batch):
                if stop.requested:
                    is_whole = False
                    break
                images = [torch.from_numpy(pixels).permute(2, 0, 1) for _, pixels in together]
                prepared = [prepare_frame(image, network.spec.data.image_size_px) for image in images]
                for (timestamp_s, pixels), objects in zip(together, tracker.step_together(prepared), strict=True):
                    masks = encode_masks(list(objects.values())) if keeps_masks else []
                    best_score = max([best_score, *(tracked.score for tracked in objects.values())])
                    shown = _show(objects, video, min_score, categories)
                    number = video.num_frames
                    add(TrackedFrame(number, timestamp_s, pixels, dict(zip(objects, masks, strict=False)), shown))
                    video.num_frames, video.end_s = number + 1, reader.end_s
                    reporter.advance(frames_per_second=video.num_frames / (time.perf_counter() - began))
        except KeyboardInterrupt:  # of a second Ctrl-C; what there is has to be finished all the same
            is_whole = False
        if video.num_frames == 0:
            raise Interrupted(f"stopped before the first frame of {video.info.name}; nothing was written")
    seconds = time.perf_counter() - began
    return TrackingSummary(video.info.name, video.num_frames, len(video.numbers), best_score, seconds), is_whole


def _show(
    objects: Mapping[int, TrackedObject], video: TrackedVideo, min_score: float, categories: Sequence[Category]
) -> list[ShownObject]:
    """Count the objects of a frame, and choose those to be seen."""
    shown = []
    for object_id, tracked in objects.items():
        summary = video.summaries.setdefault(object_id, TrackSummary())
        summary.add(tracked.label, tracked.score)
        if tracked.score < min_score:
            continue
        number = video.numbers.setdefault(object_id, len(video.numbers) + 1)
        x1, y1, x2, y2 = tracked.box.tolist()
        mask = tracked.mask.cpu().numpy()
        category = categories[summary.label - 1]
        shown.append(ShownObject(number, category, tracked.score, (x1, y1, x2, y2), mask, tracked.propagated))
    return shown


def _remarks(
    reader: FrameReader, summary: TrackingSummary, places: Sequence[OutputPlace], min_score: float
) -> Iterator[str]:
    """What a user has to know about a tracked video, a line each."""
    faults = reader.faults
    if faults.num_damaged:
        yield (
            f"{faults.num_damaged} of {summary.num_frames} frames are damaged; where nothing of one could be decoded "
            "the frame before it is shown again, so that frame numbers and times stay those of the video"
        )
    if faults.num_rescaled:
        yield f"{faults.num_rescaled} frames of another size were scaled to that of the first"
    if faults.cut_short is not None:
        yield f"ends too early ({faults.cut_short}); tracked as far as it goes, {summary.num_frames} frames"
    if summary.num_objects == 0:
        yield (
            f"no object has a score of {min_score:g} in any frame, the highest is {summary.best_score:.2f}; "
            "a lower --score shows more"
        )
    if summary.num_objects > MAX_PALETTE_OBJECTS and any(place.kind == "" for place in places):
        yield f"masks hold objects 1 to {MAX_PALETTE_OBJECTS} of {summary.num_objects}; a higher --score shows fewer"


def _not_begun(num_videos: int) -> str:
    return f"; {num_videos} more were not begun" if num_videos else ""
