"""Data sets of other forms -> YouTube-VIS form: what a reader hands over, and how it is written to disk."""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.data.category_names import alike, numbered, shown
from vistrials.data.convert.identities import Identities
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.video_file import VideoFile
from vistrials.errors import DataError
from vistrials.formats.images import IMAGE_SUFFIXES, open_image, read_head
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.formats.rle import Rle
from vistrials.formats.track_masks import track_record
from vistrials.structures.video import Category

FRAMES_FOLDER = "JPEGImages"
DEFAULT_CATEGORY = "object"

Progress = Callable[[int, int], None]
Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True, slots=True)
class SourceTrack:
    """One object through one video.

    masks: compressed RLE of the video's size by frame number (from 0); a frame without the object has none.
    """

    category_id: int
    masks: Mapping[int, Rle]
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """One video; `frames` are its image files in temporal order, all of `size`, or what extracts them."""

    name: str
    frames: Sequence[Path] | VideoFile
    size: Size
    tracks: Sequence[SourceTrack]


@dataclass(frozen=True, slots=True)
class SourceSet:
    """What a reader found; the videos are read one by one, when asked for.

    categories: none where there is no object either, and any will do.
    may_be_empty: whether a set without any object is what the user wants.
    """

    origin: Path
    categories: Sequence[Category]
    num_videos: int
    videos: Iterator[SourceVideo]
    notes: Notes = field(default_factory=Notes)
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: the annotation file and what it holds."""

    annotations: Path
    num_videos: int
    num_frames: int
    num_tracks: int
    num_masks: int


def write_youtube_vis(
    source: SourceSet,
    out: Path | str,
    split: str = "train",
    copy: bool = False,
    progress: Progress | None = None,
    *,
    trust_identities: bool = False,
) -> Converted:
    """Write OUT/<split>.json and OUT/JPEGImages/<video>/, all or nothing.

    Args:
        source: what a reader found.
        out: a new or empty folder, or one that holds other splits of the same categories.
        split: name of the annotation file, without suffix.
        copy: copy the frames; by default they are hard links where the file system can.
        progress: called as progress(videos done, videos in all).
        trust_identities: take tracks as they are where their ids look invented.

    Raises:
        DataError: the source is broken, holds no object, invents identities (see `Identities`), has two categories of
            one name, or the target holds something else.
    """
    out = Path(out).resolve()
    if not split or split != Path(split).name or split.startswith("."):
        raise DataError(f"split {split!r}: expected a plain name such as train or valid")
    _look_at_names(source)
    others = _splits_there(out, split)
    category_ids = _align(source, *others) if others else {c.id: c.id for c in source.categories}
    out.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic, and a hard link possible, within one file system only.
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        (draft / FRAMES_FOLDER).mkdir(parents=True)
        videos: list[dict[str, Any]] = []
        tracks: list[dict[str, Any]] = []
        identities = Identities()
        for video in source.videos:
            folder = video.name.replace("/", "_")
            _check_new(out, folder, videos)
            names = _place_frames(video, draft / FRAMES_FOLDER / folder, copy)
            height, width = video.size
            head = {"id": len(videos) + 1, "width": width, "height": height, "length": len(names)}
            videos.append({**head, "file_names": [f"{folder}/{name}" for name in names]})
            found: list[tuple[int, dict[str, Any]]] = []
            for track in video.tracks:
                if (record := _track_record(track, len(names), video.size)) is not None:
                    found.append((track.category_id, record))
                    ids = {"id": len(tracks) + 1, "video_id": len(videos)}
                    tracks.append({**ids, "category_id": category_ids[track.category_id], **record})
                else:
                    source.notes.add("tracks have no pixel in any frame and were left out", f"video {video.name}")
            identities.add(video.name, found)
            if progress is not None:
                progress(len(videos), source.num_videos)
        if not tracks and not source.may_be_empty:
            raise DataError(f"{source.origin}: no object in any of {len(videos)} videos; there is nothing to train on")
        identities.check(source.origin, source.notes, trusted=trust_identities)
        categories = others[1] if others else source.categories or [Category(1, DEFAULT_CATEGORY)]
        document = {
            "categories": [{"id": category.id, "name": category.name} for category in categories],
            "videos": videos,
            "annotations": tracks,
        }
        save_json_atomic(draft / f"{split}.json", document)
        _publish(draft, out, split)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    num_masks = sum(mask is not None for track in tracks for mask in track["segmentations"])
    num_frames = sum(video["length"] for video in videos)
    return Converted(out / f"{split}.json", len(videos), num_frames, len(tracks), num_masks)


# --- For readers


def folders_in(folder: Path) -> list[Path]:
    """The folders directly below a folder, by name, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def by_number(paths: Iterable[Path]) -> list[Path]:
    """Files by name, numbers in the names by their value: 2.jpg, then 10.jpg."""

    def key(path: Path) -> list[str | int]:
        return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", path.stem))]

    return sorted(paths, key=lambda path: (key(path), path.name))


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, in the order of `by_number`.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected the frames of a video in it")
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    images = by_number(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise DataError(f"{folder}: no image in it; expected frames ({', '.join(IMAGE_SUFFIXES)})")
    return images


def label_sizes(labels: Iterable[Path]) -> list[Size]:
    """(height, width) of label images, from their headers: what `common_size` takes as declared."""
    return [read_head(path).size for path in labels]


def note_unlisted(folders: Iterable[Path], listed: Collection[Path], notes: Notes) -> None:
    """Count the images of these folders that nothing lists."""
    known = {path.resolve() for path in listed}
    for folder in folders:
        files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
        unlisted = sorted(path for path in files if path.resolve() not in known)
        if unlisted:
            notes.add("images are not annotated and were left out", unlisted[0], len(unlisted))


def pair_frames(frames_dir: Path, labels_dir: Path) -> list[tuple[Path, Path]]:
    """The frames of a video, each with the label image (PNG) of the same stem.

    Raises:
        DataError: a frame has no PNG, or a PNG no frame.
    """
    frames = images_in(frames_dir)
    labels = {path.stem: path for path in images_in(labels_dir) if path.suffix.lower() == ".png"}
    for frame in frames:
        if frame.stem not in labels:
            raise DataError(
                f"{labels_dir / (frame.stem + '.png')}: missing, while there is a frame {frame}; "
                "every frame needs its PNG (an empty one where it shows no object)"
            )
    pairs = [(frame, labels.pop(frame.stem)) for frame in frames]
    if labels:
        raise DataError(f"{next(iter(labels.values()))}: no frame of this name in {frames_dir}")
    return pairs


def common_size(frames: Collection[Path], declared: Collection[tuple[Any, Any] | None] | None = None) -> Size:
    """Height and width of the frames of a video, from their headers.

    Args:
        frames: the files.
        declared: (height, width) that annotations say of each, None where they do not. Where that is the size as
            stored, rather than as an orientation tag turns it, the frame is taken as stored.

    Raises:
        DataError: a frame is missing, is no image, or has another size than the first.
    """
    sizes: dict[Size, Path] = {}
    for frame, size in zip(frames, declared or [None] * len(frames), strict=True):
        head = read_head(frame)
        sizes.setdefault(head.stored_size if size == head.stored_size else head.size, frame)
    if len(sizes) > 1:
        (first, a), (second, b) = list(sizes.items())[:2]
        raise DataError(
            f"{b}: {second[0]} x {second[1]} pixels (height x width), while {a} has {first[0]} x {first[1]}; "
            "the frames of a video must have one size"
        )
    return next(iter(sizes))


def read_label_image(path: Path, size: Size) -> tuple[NDArray[np.integer[Any]], str]:
    """Read an image whose values are numbers of objects.

    Args:
        path: a PNG with a palette (its indices are read), grey values of 8 or 16 bit, or 1 bit.
        size: height and width that it must have, its frame's.

    Returns:
        Integers [height, width], and pillow's name of the mode.

    Raises:
        DataError: it cannot be read, has colours, or another size.
    """
    with open_image(path, ("PNG",)) as image:
        check_mask_size((image.height, image.width), size, str(path))
        mode = image.mode
        values = np.array(image)
    if mode not in ("P", "L", "1", "I", "I;16", "I;16B"):
        raise DataError(f"{path}: an image of mode {mode}; expected a PNG with a palette or grey values, not colours")
    return values.astype(np.uint8) if mode == "1" else values, mode


def check_mask_size(found: Size, size: Size, where: str) -> None:
    """Raise DataError where a mask (height, width) has another size than its frame."""
    if found != size:
        raise DataError(
            f"{where}: a mask of {found[0]} x {found[1]} pixels (height x width), "
            f"its frame has {size[0]} x {size[1]}; they must be equal"
        )


# --- Writing


def place_frame(frame: Path, target: Path, copy: bool) -> None:
    """Link a file to a new name, or copy it where that is wanted or no link can be made."""
    if not copy:
        try:
            os.link(frame.resolve(), target)
            return
        except OSError:
            pass  # another file system, or one without hard links
    shutil.copyfile(frame, target)


def _look_at_names(source: SourceSet) -> None:
    """Refuse two categories of one name, count those that may be one."""
    names = [category.name for category in source.categories]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{source.origin}: two categories are called {twice!r}; give each a name of its own, or join them"
        )
    for group in alike(names):
        source.notes.add("names of categories differ by case or blanks alone", shown(group), len(group))
    for group in numbered(names):
        source.notes.add(
            "names of categories differ by a number alone: if it counts objects, they are one category",
            shown(group),
            len(group),
        )


def _splits_there(out: Path, split: str) -> tuple[Path, Sequence[Category]] | None:
    """An annotation file that the target holds already, with its categories; None of a new or empty folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not out.is_dir():
        raise DataError(f"{out}: not a folder; choose a new or empty one")
    if (out / f"{split}.json").exists():
        raise DataError(f"{out / f'{split}.json'}: exists already; choose another folder or another --split")
    for path in sorted(out.glob("*.json")) if (out / FRAMES_FOLDER).is_dir() else ():
        document = load_json(path)
        if isinstance(document, dict) and {"categories", "videos", "annotations"} <= document.keys():
            return path, [Category(record["id"], record["name"]) for record in document["categories"]]
    raise DataError(f"{out}: holds other files; choose a new or empty folder, or one with another split")


def _align(source: SourceSet, path: Path, categories: Sequence[Category]) -> dict[int, int]:
    """Category id of the source -> id of the same name in a split that is there already."""
    ids = {category.name: category.id for category in categories}
    for category in source.categories:
        if category.name not in ids:
            raise DataError(
                f"{source.origin}: category {category.name!r} is not among those of {path} ({', '.join(ids)}); "
                "splits share their categories: convert all videos at once, then use `vistrials data split`"
            )
    return {category.id: ids[category.name] for category in source.categories}


def _check_new(out: Path, folder: str, videos: list[dict[str, Any]]) -> None:
    if folder in ("", ".", "..") or "\\" in folder:
        raise DataError(f"video {folder!r}: not the name of a folder; rename it")
    if (out / FRAMES_FOLDER / folder).exists():
        raise DataError(f"{out / FRAMES_FOLDER / folder}: exists already; a video belongs to one split")
    if any(video["file_names"][0].startswith(f"{folder}/") for video in videos):
        raise DataError(f"video {folder!r} occurs twice; the names of videos must differ")


def _place_frames(video: SourceVideo, folder: Path, copy: bool) -> list[str]:
    """Link or copy the frames into a new folder; returns their names."""
    folder.mkdir()
    if isinstance(video.frames, VideoFile):
        return video.frames.extract(folder)
    for frame in video.frames:
        target = folder / frame.name
        if target.exists():
            raise DataError(f"video {video.name}: two frames are named {frame.name}; names must differ")
        place_frame(frame, target, copy)
    return [frame.name for frame in video.frames]


def _track_record(track: SourceTrack, num_frames: int, size: Size) -> dict[str, Any] | None:
    """The YouTube-VIS record of a track, but for its ids; None if it has no pixel."""
    record = track_record([track.masks.get(i) for i in range(num_frames)], size, is_crowd=track.is_crowd)
    return record if any(record["areas"]) else None


def _publish(draft: Path, out: Path, split: str) -> None:
    """Move the draft to its place: as a whole, or beside other splits, with the annotation file last."""
    if not out.exists() or not any(out.iterdir()):
        draft.rename(out)
        return
    moves = [(folder, out / FRAMES_FOLDER / folder.name) for folder in folders_in(draft / FRAMES_FOLDER)]
    moves.append((draft / f"{split}.json", out / f"{split}.json"))
    done = []
    try:
        for old, new in moves:
            old.rename(new)
            done.append((old, new))
    except BaseException:
        for old, new in reversed(done):
            new.rename(old)
        raise
