"""CVAT for video 1.1: one XML per video, a track per object, a polygon or brush mask in every frame.

Source: CVAT's XML annotation format 1.1 (docs.cvat.ai/docs/other/xml_format), and what CVAT itself writes: every frame
of a track, interpolated ones included, ended by a shape with outside="1"; frame numbers of the video; masks as runs of
a crop, row by row, background first.

Not by datumaro, which reads it too: it takes a video apart into images, so that tracks, ends and left-out frames would
have to be put together again here, and brings OpenCV, pyarrow and shapely.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from vistrials.data.convert.agreement import Reach, check_declared_size
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.video_file import VIDEO_SUFFIXES, VideoFile, videos_in
from vistrials.data.convert.writing import (
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    common_size,
    folders_in,
    images_in,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.rle import Rle, encode, encode_crop, to_rle
from vistrials.structures.video import Category

Element = ElementTree.Element

XML_NAME = "annotations.xml"
IMAGES_NAME = "images"
SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask")

_EXPORT = "export the task again as 'CVAT for video 1.1'"
_STEP = re.compile(r"\s*step\s*=\s*(\d+)\s*")
_NUMBERED = re.compile(r"frame_(\d+)")


@dataclass(frozen=True, slots=True)
class _Task:
    """What an XML says before its tracks. numbers: of the task's frames in the video, where it says them."""

    path: Path
    name: str
    labels: tuple[str, ...]
    size: Size | None
    numbers: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Frames:
    """numbers: of the frames that are there, ascending."""

    frames: list[Path] | VideoFile
    numbers: list[int]
    size: Size


def read_cvat(source: Path | str, frames: Path | str | None = None) -> SourceSet:
    """Read exports of CVAT, one per video.

    Polygons and masks become masks; a frame of a track with outside="1" is an absence. `occluded` and attributes
    have no place in YouTube-VIS form. Tracks that share a group stay objects of their own.

    Args:
        source: annotations.xml, a folder that holds it, or a folder of such folders, named by their videos.
        frames: of a single XML: folder of its images, or the video file; by default images/, or the one video file
            beside the XML.

    Raises:
        DataError: an XML or frame that is broken, missing or contradicts the other, a shape that is no mask, a track
            with holes that CVAT would have filled.
    """
    source = Path(source)
    files = _find_files(source)
    if frames is not None and len(files) > 1:
        raise DataError(f"{source}: {len(files)} XML files; --frames is for one: put each one's images/ beside it")
    tasks = [_read_task(path, path.stem if source.is_file() else path.parent.resolve().name) for path in files]
    labels = sorted({label for task in tasks for label in task.labels})
    ids = {label: number for number, label in enumerate(labels, 1)}
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for task in tasks:
            found = _find_frames(task, None if frames is None else Path(frames), notes)
            check_declared_size(task.size or (None, None), found.size, f"{task.path}: original_size", notes)
            tracks = _read_tracks(task, found, ids, notes)
            yield SourceVideo(task.name, found.frames, found.size, tracks)

    return SourceSet(source, [Category(number, label) for label, number in ids.items()], len(tasks), read_all(), notes)


def _find_files(source: Path) -> list[Path]:
    if source.is_dir():
        files = [folder / XML_NAME for folder in (source, *folders_in(source)) if (folder / XML_NAME).is_file()]
        if not files:
            raise DataError(f"{source}: no {XML_NAME} in it or in a folder below; expected unpacked exports of CVAT")
        return files
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder; expected {XML_NAME} of CVAT")
    if source.suffix.lower() == ".zip":
        raise DataError(f"{source}: a ZIP file; unpack it and name the folder")
    return [source]


# --- What the XML says


def _events(path: Path) -> Iterator[tuple[str, Element]]:
    try:
        with open(path, "rb") as file:
            yield from ElementTree.iterparse(file, events=("start", "end"))
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: not an XML file that can be read ({error}); {_EXPORT}") from None


def _read_task(path: Path, name: str) -> _Task:
    events = _events(path)
    _, root = next(events, ("", None))
    if root is None or root.tag != "annotations":
        raise DataError(f"{path}: its root is {'nothing' if root is None else root.tag}; expected annotations of CVAT")
    meta: Element | None = None
    labels: set[str] = set()
    for event, element in events:
        if event == "end" and element.tag == "meta":
            meta = element
            if _find_labels(meta):
                break
        elif event == "start" and element.tag == "image":
            raise DataError(f"{path}: 'CVAT for images 1.1', which has no tracks; {_EXPORT}")
        elif event == "start" and element.tag == "track":
            labels.add(_label(element, path))
        elif event == "end" and element.tag == "track":
            element.clear()
    head = None
    if meta is not None:
        if meta.find("project") is not None:
            raise DataError(f"{path}: an export of a whole project; export its tasks one by one, each to its folder")
        head = next((found for tag in ("task", "job") if (found := meta.find(tag)) is not None), None)
        labels.update(_find_labels(meta))
    # Of a job or of an old version, the size stands beside the task.
    size = None if meta is None else next(iter(meta.iter("original_size")), None)
    declared = None if size is None else (_whole(size, "height", path), _whole(size, "width", path))
    return _Task(path, name, tuple(sorted(labels)), declared, None if head is None else _numbers(head, path))


def _find_labels(meta: Element) -> set[str]:
    """Names of labels, but for the points of skeletons, which have a parent."""
    found = (label for label in meta.iter("label") if label.find("parent") is None)
    return {name.strip() for label in found if (name := label.findtext("name")) and name.strip()}


def _numbers(head: Element, path: Path) -> tuple[int, ...] | None:
    if head.find("stop_frame") is None:
        return tuple(range(_whole(head, "size", path))) if head.find("size") is not None else None
    start = _whole(head, "start_frame", path) if head.find("start_frame") is not None else 0
    chosen = head.findtext("frame_filter") or ""
    step = _STEP.fullmatch(chosen)
    if chosen.strip() and (step is None or int(step[1]) < 1):
        raise DataError(f"{path}: frame_filter is {shortened(chosen)}; expected step=N")
    return tuple(range(start, _whole(head, "stop_frame", path) + 1, int(step[1]) if step else 1))


def _whole(parent: Element, tag: str, path: Path) -> int:
    text = (parent.findtext(tag) or "").strip()
    if not text.isascii() or not text.isdigit():
        raise DataError(f"{path}: {tag} is {shortened(text)}; expected a whole number")
    return int(text)


def _label(track: Element, path: Path) -> str:
    label = track.get("label", "").strip()
    if not label:
        raise DataError(f"{path}: track {track.get('id')}: no label; {_EXPORT}")
    return label


# --- Frames


def _find_frames(task: _Task, frames: Path | None, notes: Notes) -> _Frames:
    beside = task.path.parent
    if frames is None:
        videos = videos_in(beside)
        if (beside / IMAGES_NAME).is_dir():
            frames = beside / IMAGES_NAME
        elif len(videos) == 1:
            frames = videos[0]
        else:
            raise DataError(
                f"{task.path}: no frames beside it; expected {IMAGES_NAME}/ (export with 'Save images'), or one video "
                f"file ({len(videos)} found); --frames names another folder or file"
            )
    if frames.suffix.lower() in VIDEO_SUFFIXES and frames.is_file():
        if task.numbers is None:
            raise DataError(f"{task.path}: it does not say which frames the task has; --frames FOLDER of its images")
        video = VideoFile(frames, task.numbers, notes=notes)
        return _Frames(video, list(task.numbers), video.size())
    if not frames.is_dir():
        raise DataError(f"{frames}: neither a folder of images nor a video file ({', '.join(VIDEO_SUFFIXES)})")
    inner = folders_in(frames)  # one for the subset, in some exports
    images = images_in(inner[0] if len(inner) == 1 else frames)
    numbered = [_NUMBERED.fullmatch(image.stem) for image in images]
    if all(numbered):
        found = _Frames(images, [int(match[1]) for match in numbered if match], common_size(images))
        stray = set(found.numbers) - set(task.numbers or found.numbers)
        if stray and task.numbers:
            raise DataError(
                f"{frames}: an image of frame {min(stray)}, while {task.path} has frames {task.numbers[0]} to "
                f"{task.numbers[-1]}; CVAT counts frames from 0: rename the images, or export with 'Save images'"
            )
        if task.numbers:
            notes.add("frames of CVAT tasks have no image and were left out", frames, len(task.numbers) - len(images))
        return found
    if images != sorted(images, key=lambda path: path.name):
        raise DataError(
            f"{frames}: {images[-1].name} comes last by its number, {max(image.name for image in images)} by its name, "
            "and CVAT does not say which order it used; rename them with leading zeros"
        )
    numbers = task.numbers or tuple(range(len(images)))
    if len(numbers) != len(images):
        raise DataError(
            f"{frames}: {len(images)} images, while {task.path} has {len(numbers)} frames; expected an image for each, "
            "or images named frame_000000 and so on by their frames"
        )
    return _Frames(images, list(numbers), common_size(images))


# --- Tracks


def _read_tracks(task: _Task, found: _Frames, ids: dict[str, int], notes: Notes) -> list[SourceTrack]:
    index_of = {number: index for index, number in enumerate(found.numbers)}
    tracks: list[SourceTrack] = []
    groups: dict[str, int] = {}
    reach = Reach()
    for event, element in _events(task.path):
        if event == "start" and element.tag == "image":
            raise DataError(f"{task.path}: 'CVAT for images 1.1' beside tracks; {_EXPORT}")
        if event == "end" and element.tag == "track":
            label, where = (
                _label(element, task.path),
                f"{task.path}: track {element.get('id')} ({_label(element, task.path)})",
            )
            if label not in ids:
                raise DataError(f"{where}: its label is not among those of the task; {_EXPORT}")
            masks = _read_shapes(element, index_of, found, reach, where, notes)
            tracks.append(SourceTrack(ids[label], masks))
            group = element.get("group_id", "0")
            groups[group] = groups.get(group, 0) + (group != "0")
            element.clear()
    reach.check(found.size, notes)
    grouped = sum(count for count in groups.values() if count > 1)
    notes.add("tracks share a group with others; each stays an object of its own", task.path, grouped)
    single = sum(len(track.masks) == 1 for track in tracks)
    if len(found.numbers) > 1:
        what = "tracks are of one frame: CVAT writes single shapes so, which nothing joins; draw with Track, not Shape"
        notes.add(what, task.path, single)
    return tracks


def _read_shapes(
    track: Element, index_of: dict[int, int], found: _Frames, reach: Reach, where: str, notes: Notes
) -> dict[int, Rle]:
    masks: dict[int, Rle] = {}
    said: dict[int, bool] = {}  # frame -> outside
    nothing = encode(np.zeros(found.size))
    for shape in track:
        if shape.tag not in SHAPES:
            continue
        number = shape.get("frame", "")
        if not number.isascii() or not number.isdigit():
            raise DataError(f"{where}: frame is {shortened(number)}; expected a whole number")
        frame, here = int(number), f"{where}, frame {number}"
        if frame in said:
            raise DataError(f"{here}: two shapes; a track has one in a frame")
        said[frame] = shape.get("outside") == "1"
        if said[frame]:
            continue
        if frame not in index_of:
            raise DataError(
                f"{here}: no image of this frame (they are {found.numbers[0]} to {found.numbers[-1]}); "
                "add it, or delete the shape"
            )
        index = index_of[frame]
        masks[index] = _mask(shape, found.size, reach, here)
        if masks[index] == nothing:
            notes.add("shapes have no pixel in the frame, and are absences", here)
    _check_holes(said, found, where)
    last = max(said, default=found.numbers[-1])
    if not said.get(last, True) and sum(number > last for number in found.numbers) > 1 and len(masks) > 1:
        notes.add("tracks end without outside=1; they are absent from there on", where)
    return masks


def _check_holes(said: dict[int, bool], found: _Frames, where: str) -> None:
    """Refuse a frame without a shape between two of the track's: CVAT would show one there."""
    order = sorted(said)
    for before, after in zip(order, order[1:], strict=False):
        missing = [number for number in found.numbers if before < number < after]
        if missing and not said[before]:
            deleted = ", with 'Save images' if frames were deleted" if isinstance(found.frames, VideoFile) else ""
            raise DataError(
                f"{where}: no shape in frame {missing[0]}, between those of {before} and {after}; CVAT writes every "
                f"frame, the keyframes' interpolation too: {_EXPORT}{deleted}"
            )


def _mask(shape: Element, size: Size, reach: Reach, where: str) -> Rle:
    if shape.tag == "mask":
        return _brush_mask(shape, size, where)
    if shape.tag != "polygon":
        raise DataError(f"{where}: a {shape.tag}; expected a polygon or a mask: draw its outline in CVAT")
    try:
        points = [float(value) for pair in shape.get("points", "").split(";") for value in pair.split(",")]
    except ValueError:
        raise DataError(f"{where}: points are {shortened(shape.get('points'))}; expected x,y;x,y;...") from None
    try:
        mask = to_rle([points], *size)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    reach.add([points], where)
    return mask


def _brush_mask(shape: Element, size: Size, where: str) -> Rle:
    """The runs of a crop, row by row, background first."""
    try:
        left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        runs = [int(run) for run in shape.get("rle", "").split(",")]
    except ValueError:
        raise DataError(f"{where}: a mask needs rle (runs, 'a, b, ..'), left, top, width and height") from None
    if width < 1 or height < 1 or left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise DataError(
            f"{where}: a mask of {height} x {width} pixels (height x width) at left {left}, top {top}, while the frame "
            f"has {size[0]} x {size[1]}; use the frames that were annotated"
        )
    if min(runs) < 0 or sum(runs) != height * width:
        raise DataError(f"{where}: the runs sum to {sum(runs)} pixels; expected {height} x {width} = {height * width}")
    foreground = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return encode_crop(np.ascontiguousarray(foreground.T), top, left, size)
