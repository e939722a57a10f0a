"""The annotated videos that pseudo videos are made from."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vistrials.data.frames import read_frame
from vistrials.data.sources import resolve_split
from vistrials.errors import DataError
from vistrials.formats.annotations import decode_mask, load_video_set
from vistrials.specs.data import DataSpec, FileSource
from vistrials.structures.video import AnnotatedTrack, Category, Video, VideoSet

MIN_FRAMES_IN_SIGHT = 2
"""A track that is pasted is seen in as many frames: one has no motion."""

_CACHED_FRAMES = 128


class Clips:
    """Videos of one or more annotation files, under one list of categories.

    Attributes:
        categories: those of the first file, then the names that others add.
        videos: all of them, as (file, video) in the order given.
        donors: tracks that can be pasted, as (index of the video, index of the track in it).
    """

    def __init__(self, sets: Sequence[VideoSet]) -> None:
        ids: dict[str, int] = {}
        for category in (category for video_set in sets for category in video_set.categories):
            if category.name not in ids:
                ids[category.name] = category.id if category.id not in ids.values() else max(ids.values()) + 1
        self.categories = [Category(number, name) for name, number in ids.items()]
        self.videos: list[tuple[VideoSet, Video]] = []
        self.donors: list[tuple[int, int]] = []
        self._category_ids: list[dict[int, int]] = []
        for video_set in sets:
            for video in video_set.videos:
                self.donors += [(len(self.videos), track) for track in _usable_tracks(video)]
                self.videos.append((video_set, video))
                self._category_ids.append({category.id: ids[category.name] for category in video_set.categories})
        self._decoded = lru_cache(_CACHED_FRAMES)(self._decode)

    def image(self, video: int, frame: int) -> NDArray[np.uint8]:
        """A frame, uint8 (3, height, width), RGB; not to be changed.

        Raises:
            DataError: the file is missing, broken, or of another size than the annotations say.
        """
        return self._decoded(video, frame)

    def mask(self, video: int, track: int, frame: int) -> NDArray[np.uint8] | None:
        """A track's mask, uint8 (height, width) of 0 and 1; None where it is out of sight."""
        _, one = self.videos[video]
        if not is_in_sight(one.tracks[track], frame):
            return None
        return decode_mask(one.tracks[track].segmentations[frame], one.height, one.width)

    def category_id(self, video: int, track: int) -> int:
        """The id, among `categories`, of a track's category."""
        return self._category_ids[video][self.videos[video][1].tracks[track].category_id]

    def _decode(self, video: int, frame: int) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = np.ascontiguousarray(read_frame(*self.videos[video], frame).numpy())
        return pixels


def load_clips(paths: Sequence[Path]) -> Clips:
    """Load annotated videos.

    Args:
        paths: folders in YouTube-VIS form, of which the split that runs train on is taken, or annotation files,
            whose frames lie in one of the usual folders beside or above them.

    Raises:
        DataError: broken annotations, no frames, or one without a track that can be pasted.
    """
    sets = []
    for path in paths:
        video_set = _load(path)
        if not any(True for video in video_set.videos for _ in _usable_tracks(video)):
            raise DataError(
                f"{path}: expected a track in sight in {MIN_FRAMES_IN_SIGHT} frames or more, found none (crowds do not "
                "count); pseudo videos are made of such tracks: annotate more, or leave this clip out"
            )
        sets.append(video_set)
    return Clips(sets)


def is_in_sight(track: AnnotatedTrack, frame: int) -> bool:
    """Whether a track has a pixel in a frame."""
    return track.segmentations[frame] is not None and bool(track.areas[frame])


class Sight(NamedTuple):
    """First and last frame in which a track is in sight."""

    first: int
    last: int


def find_sight(track: AnnotatedTrack) -> Sight:
    """From when to when a track is in sight, with or without gaps; it must be somewhere."""
    frames = [frame for frame in range(len(track.segmentations)) if is_in_sight(track, frame)]
    return Sight(frames[0], frames[-1])


def _usable_tracks(video: Video) -> Iterator[int]:
    for index, track in enumerate(video.tracks):
        seen = sum(is_in_sight(track, frame) for frame in range(len(video)))
        if not track.is_crowd and seen >= MIN_FRAMES_IN_SIGHT:
            yield index


def _load(path: Path) -> VideoSet:
    if path.is_dir():
        split = resolve_split(DataSpec(source=FileSource(root=str(path))), "train")
        return load_video_set(split.annotations, split.frames_dir)
    video_set = load_video_set(path, path.parent)
    if not video_set.videos:
        raise DataError(f"{path}: no video in it")
    source, first = FileSource(), video_set.videos[0].file_names[0]
    names = dict.fromkeys((*source.train_frames, *source.valid_frames, "."))
    folders = [root / name for root in (path.absolute().parent, path.absolute().parent.parent) for name in names]
    found = next((folder for folder in folders if (folder / first).is_file()), None)
    if found is None:
        raise DataError(f"{path}: no folder of frames beside it holds {first}; name the folder of the data set instead")
    return VideoSet(video_set.categories, video_set.videos, found)
