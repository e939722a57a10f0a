"""What is made from a tracked video: overlays, tracks, masks and boxes, each written as its frames come."""

import csv
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistrials.formats.files import replacing, replacing_numbered
from vistrials.formats.rle import Rle
from vistrials.own_video.names import OutputPlace
from vistrials.reports.painting import DrawnObject, colour_of, legible_size, paint_objects
from vistrials.structures.tracks import TrackResult
from vistrials.structures.video import Category
from vistrials.tracking.online import TrackSummary
from vistrials.video_files.reading import Pixels, VideoInfo
from vistrials.video_files.writing import VideoWriter

MAX_PALETTE_OBJECTS = 254
"""In masks of one byte: 0 is the ground, and 255 belongs to no object in DAVIS."""


@dataclass(frozen=True, slots=True)
class ShownObject:
    """An object of a frame whose score there is high enough.

    number: 1, 2, .. in the order in which objects are shown for the first time.
    category: that of most frames so far.
    box: x1, y1, x2, y2 in pixels, inclusive corners.
    mask: bool (H, W).
    """

    number: int
    category: Category
    score: float
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_]
    is_propagated: bool


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """A frame and its objects: all of them by id, and those that are shown."""

    number: int
    timestamp_s: float
    pixels: Pixels
    masks: dict[int, Rle]
    shown: Sequence[ShownObject]


@dataclass(slots=True)
class TrackedVideo:
    """What a video holds, as it grows from frame to frame.

    video_id: of the predictions.
    summaries: of all tracks by object id, in the order of appearance.
    numbers: object id -> number under which it is shown.
    """

    info: VideoInfo
    video_id: int
    num_frames: int = 0
    end_s: float = 0.0
    summaries: dict[int, TrackSummary] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrackRules:
    """Which tracks a predictions file holds, and how it names their categories: id and name by label 1, 2, .."""

    min_score: float
    min_frames: int
    categories: Sequence[Category]


@contextmanager
def open_outputs(
    places: Sequence[OutputPlace], video: TrackedVideo, rules: TrackRules
) -> Iterator[Callable[[TrackedFrame], None]]:
    """Begin all outputs of a video under temporary names; they get their own when the block ends without an error.

    Yields:
        What takes the frames of the video in their order; the block may end after any of them.

    Raises:
        OSError: a folder cannot be made, is full or not writable.
    """
    with ExitStack() as stack:
        outputs = []
        for place in places:
            place.path.parent.mkdir(parents=True, exist_ok=True)
            if place.kind == "":
                folder = stack.enter_context(replacing_numbered(place.path, ".png"))
                outputs.append(stack.enter_context(_save_masks(folder)))
            else:
                temporary = stack.enter_context(replacing(place.path))
                outputs.append(stack.enter_context(_OF_FILES[place.kind](temporary, video, rules)))

        def add(frame: TrackedFrame) -> None:
            for output in outputs:
                output(frame)

        yield add


_Add = Callable[[TrackedFrame], None]


@contextmanager
def _save_overlays(path: Path, video: TrackedVideo, rules: TrackRules) -> Iterator[_Add]:
    info = video.info
    size = legible_size((info.height, info.width))
    sides: dict[int, int] = {}
    with VideoWriter(path, size, info.rate, info.time_base) as writer:

        def add(frame: TrackedFrame) -> None:
            drawn = [DrawnObject(o.number, f"{o.number} {o.category.name}", o.score, o.mask) for o in frame.shown]
            colours = {o.number: colour_of(o.number - 1) for o in frame.shown}
            writer.write(paint_objects(frame.pixels, drawn, colours, size, sides), frame.timestamp_s)

        yield add
        writer.end_s = video.end_s


@contextmanager
def _save_boxes(path: Path, video: TrackedVideo, rules: TrackRules) -> Iterator[_Add]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("frame", "time_s", "object", "category", "score", "x", "y", "width", "height", "propagated"))

        def add(frame: TrackedFrame) -> None:
            for o in frame.shown:
                x1, y1, x2, y2 = o.box
                box = (f"{side:.2f}" for side in (x1, y1, x2 - x1 + 1, y2 - y1 + 1))
                time, score = f"{frame.timestamp_s:.6f}", f"{o.score:.4f}"
                rows.writerow((frame.number, time, o.number, o.category.name, score, *box, int(o.is_propagated)))

        yield add


@contextmanager
def _save_masks(folder: Path) -> Iterator[_Add]:
    # Object n has the colour that overlays give it; those of DAVIS itself mean nothing.
    palette = [0, 0, 0, *(level for n in range(255) for level in colour_of(n))]

    def add(frame: TrackedFrame) -> None:
        values = np.zeros(frame.pixels.shape[:2], np.uint8)
        # The surest in front: a pixel belongs to one object.
        for o in sorted(frame.shown, key=lambda o: o.score):
            if o.number <= MAX_PALETTE_OBJECTS:
                values[o.mask] = o.number
        image = Image.fromarray(values)
        image.putpalette(palette)
        image.save(folder / f"{frame.number:05d}.png")

    yield add


@contextmanager
def _save_tracks(path: Path, video: TrackedVideo, rules: TrackRules) -> Iterator[_Add]:
    """A predictions file. Masks wait on disk, by frame, until the tracks that they belong to are known."""
    with open(path, "w", encoding="utf-8") as file, TemporaryFile(dir=path.parent) as waiting:
        places: dict[int, tuple[array[int], array[int]]] = {}  # object id -> frames, and where their masks begin

        def add(frame: TrackedFrame) -> None:
            for object_id, mask in frame.masks.items():
                frames, begins = places.setdefault(object_id, (array("q"), array("q")))
                frames.append(frame.number)
                begins.append(waiting.tell())
                waiting.write(mask["counts"].encode() + b"\n")

        yield add
        file.write("[")
        separator = "\n"
        for object_id, summary in video.summaries.items():
            if summary.num_frames < rules.min_frames or summary.score < rules.min_score:
                continue
            segmentations: list[Rle | None] = [None] * video.num_frames
            for number, begin in zip(*places.get(object_id, ((), ())), strict=True):
                if number >= video.num_frames:
                    break  # of a frame in the midst of which somebody pressed Ctrl-C twice
                waiting.seek(begin)
                counts = waiting.readline().decode().rstrip("\n")
                segmentations[number] = {"size": [video.info.height, video.info.width], "counts": counts}
            category = rules.categories[summary.label - 1]
            track = TrackResult(video.video_id, category.id, summary.score, segmentations).to_json()
            about = {
                "video": video.info.name,
                "height": video.info.height,
                "width": video.info.width,
                "num_frames": video.num_frames,
                "category": category.name,
                "object": video.numbers.get(object_id),
            }
            file.write(separator + json.dumps(track | {"about": about}))
            separator = ",\n"
        file.write("\n]\n")


_OF_FILES = {".mp4": _save_overlays, ".json": _save_tracks, ".csv": _save_boxes}
