"""A data set of pseudo videos, with the videos that it was made from."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from vistrials.data.convert.writing import (
    Converted,
    Progress,
    SourceSet,
    SourceTrack,
    SourceVideo,
    write_youtube_vis,
)
from vistrials.data.pseudo.clips import Clips, is_in_sight
from vistrials.data.pseudo.composing import compose
from vistrials.data.pseudo.recipes import draw_recipe
from vistrials.errors import DataError
from vistrials.formats.rle import Rle, encode, to_rle

JPEG_QUALITY = 95


def write_pseudo_set(
    clips: Clips,
    out: Path,
    num_videos: int,
    num_frames: int,
    *,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    originals: bool = True,
    split: str = "train",
    progress: Progress | None = None,
) -> Converted:
    """Write OUT/<split>.json and OUT/JPEGImages/, all or nothing; the same seed gives the same bytes.

    Args:
        clips: what the videos are made from.
        out: a new or empty folder, or one with other splits of the same categories.
        num_videos, num_frames: how many pseudo videos, of how many frames.
        size: their height and width in pixels; None for that of the video below each.
        seed: of every choice; a video depends on it and on its own number alone.
        originals: whether the videos of the clips come first, as they are.
        split: name of the annotation file, without suffix.
        progress: called as progress(videos done, videos in all).

    Raises:
        DataError: a frame cannot be read, or the target holds something else.
    """
    if num_videos < 1 or num_frames < 1:
        raise DataError(f"pseudo videos: expected at least one of one frame, found {num_videos} of {num_frames}")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=out.absolute().parent) as drawn:

        def videos() -> Iterator[SourceVideo]:
            if originals:
                yield from _originals(clips)
            for number in range(num_videos):
                yield _pseudo(clips, number, num_frames, size, seed, Path(drawn))

        total = num_videos + (len(clips.videos) if originals else 0)
        return write_youtube_vis(SourceSet(out, clips.categories, total, videos()), out, split, progress=progress)


def _originals(clips: Clips) -> Iterator[SourceVideo]:
    taken: set[str] = set()
    for index, (video_set, video) in enumerate(clips.videos):
        name = str(Path(video.file_names[0]).parent) if "/" in video.file_names[0] else f"video_{video.id}"
        name = name if name not in taken else f"{name}_{index + 1}"
        taken.add(name)
        size = video.height, video.width
        tracks = [
            SourceTrack(
                clips.category_id(index, number),
                {f: to_rle(track.segmentations[f], *size) for f in range(len(video)) if is_in_sight(track, f)},
                track.is_crowd,
            )
            for number, track in enumerate(video.tracks)
        ]
        yield SourceVideo(name, [video_set.frames_dir / file for file in video.file_names], size, tracks)


def _pseudo(
    clips: Clips, number: int, num_frames: int, size: tuple[int, int] | None, seed: int, drawn: Path
) -> SourceVideo:
    recipe = draw_recipe(clips, num_frames, size, np.random.Generator(np.random.PCG64([seed, number])))
    name = f"pseudo_{number + 1:05d}"
    folder = drawn / name
    folder.mkdir()
    paths: list[Path] = []
    masks: dict[int, dict[int, Rle]] = {}
    labels: dict[int, int] = {}
    for index, frame in enumerate(compose(clips, recipe)):
        paths.append(folder / f"{index:05d}.jpg")
        Image.fromarray(np.ascontiguousarray(frame.image.transpose(1, 2, 0))).save(
            paths[-1], quality=JPEG_QUALITY, subsampling=0
        )
        for track_id, label, mask in zip(frame.track_ids, frame.labels, frame.masks, strict=True):
            labels[track_id] = label
            if mask.any():
                masks.setdefault(track_id, {})[index] = encode(mask)
    below = clips.videos[recipe.video][1].tracks
    crowds = {track_id for track_id, track in enumerate(below, start=1) if track.is_crowd}
    tracks = [SourceTrack(labels[i], by_frame, i in crowds) for i, by_frame in sorted(masks.items())]
    return SourceVideo(name, paths, recipe.size, tracks)
