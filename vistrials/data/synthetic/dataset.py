"""The embedded data set: synthetic videos in YouTube-VIS form, drawn on demand, the same for the same seed.

Eight categories told apart by outline only move over textured backdrops, hide one another, pass behind bars
and leave the frame. In every occlusion video an object is out of sight for 4 to 8 frames and returns; in gaps videos
objects stay in sight, but blur, pale, blend in or flicker for 5 to 9 frames;
in crossing videos two of one category cross.
A folder holds of each split SPLIT.json, whose masks are what is visible, and SPLIT.amodal.json, whose masks are
the same objects whole, hidden or not; the frames under `JPEGImages/`; and `synthetic.json`, which says what it was
drawn from.

Another release of numpy or pillow, or another processor, may round a few pixels differently.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vistrials.data.synthetic.render import render_frame, render_masks
from vistrials.data.synthetic.scene import (
    HEIGHT,
    WIDTH,
    Scene,
    sample_crossing_scene,
    sample_gaps_scene,
    sample_occlusion_scene,
    sample_scene,
)
from vistrials.data.synthetic.shapes import CATEGORY_NAMES
from vistrials.errors import DataError
from vistrials.formats.amodal import amodal_file
from vistrials.formats.rle import encode
from vistrials.formats.track_masks import track_record

VERSION = 1  # raise with any change of pixels or annotations
SPLITS = ("train", "minival", "occlusion", "gaps", "crossing")  # the place of each is part of its seed
MANIFEST_NAME = "synthetic.json"
JPEG_QUALITY = 95
MIN_FRAMES = {
    "occlusion": 16,  # room to be seen, hidden for a while and seen again
    "gaps": 14,
    "crossing": 12,
}
HIDDEN_FRAMES = range(4, 9)  # how long the hidden object of an occlusion video may be out of sight
MIN_FRAMES_IN_SIGHT = 3  # of that object, before and after; of both objects that cross, with their boxes apart
MIN_FRACTION_IN_SIGHT = 0.5  # of every object of a gaps video, in every frame
MAX_DRAWS = 200

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SyntheticSizes:
    """(number of videos, frames per video) of each split.

    Raises:
        DataError: where a split has no video, or too few frames.
    """

    train: tuple[int, int] = (400, 8)
    minival: tuple[int, int] = (60, 16)
    occlusion: tuple[int, int] = (30, 20)
    gaps: tuple[int, int] = (300, 20)
    crossing: tuple[int, int] = (100, 16)

    def __post_init__(self) -> None:
        for split in SPLITS:
            num_videos, num_frames = getattr(self, split)
            least = MIN_FRAMES.get(split, 2)
            if num_videos < 1 or num_frames < least:
                raise DataError(
                    f"synthetic data, split {split}: expected at least 1 video of at least {least} frames, "
                    f"found {num_videos} of {num_frames}; choose larger sizes"
                )


def synthesize(
    directory: Path,
    sizes: SyntheticSizes | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    splits: Sequence[str] = SPLITS,
) -> Path:
    """Draws the data set into a folder, or leaves the folder alone where it already holds it.

    The folder appears complete or not at all: frames are drawn into a sibling that is renamed at the end.
    Every video has its own random generator, so a split's first videos do not depend on how many follow.

    Args:
        directory: where to; may be absent or empty.
        sizes: videos and frames of each split; the defaults where None.
        seed: non-negative.
        progress: called as progress(videos done, videos in all) after each video.
        splits: which ones to draw.
    Returns:
        directory.
    Raises:
        DataError: where the folder holds something else, or cannot be written.
    """
    sizes = sizes or SyntheticSizes()
    if seed < 0:
        raise DataError(f"synthetic data: expected a seed of 0 or more, found {seed}")
    directory = Path(directory)
    manifest = _manifest(sizes, seed, splits)
    if _already_holds(directory, manifest):
        return directory
    draft = directory.absolute().parent / f".{directory.absolute().name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        _write_splits(draft, sizes, seed, progress, splits)
        _write_json(draft / MANIFEST_NAME, manifest)
        _move_into_place(draft, directory, manifest)
    except OSError as error:
        raise DataError(
            f"synthetic data: cannot write {directory} ({error.strerror or error}); choose another folder, "
            "which is VISTRIALS_CACHE for the data of runs"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return directory


def default_cache_dir() -> Path:
    """The folder for generated data: $VISTRIALS_CACHE, or vistrials in $XDG_CACHE_HOME or in ~/.cache."""
    if chosen := os.environ.get("VISTRIALS_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vistrials"


def ensure_synthetic(
    split: str, sizes: SyntheticSizes | None = None, seed: int = 0, progress: Progress | None = None
) -> Path:
    """The cached folder of one split of these sizes and seed, drawn first where it is missing.

    Nobody waits for a split that is not used, and data sets share those that they have in common.
    Other arguments, result and errors as for `synthesize`. Two processes may ask at once: both draw, one stays.
    """
    sizes = sizes or SyntheticSizes()
    digest = hashlib.sha256(json.dumps(_manifest(sizes, seed, [split]), sort_keys=True).encode()).hexdigest()[:8]
    folder = default_cache_dir() / f"synthetic-v{VERSION}-{split}-seed{seed}-{digest}"
    return synthesize(folder, sizes, seed, progress, [split])


# --- The folder


def _manifest(sizes: SyntheticSizes, seed: int, splits: Sequence[str]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "seed": seed,
        "sizes": {split: list(getattr(sizes, split)) for split in splits},
        "truths": ["visible", "amodal"],
    }


def _already_holds(directory: Path, manifest: dict[str, Any]) -> bool:
    """Whether the folder holds this data set (False: absent or empty; anything else raises DataError)."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    try:
        found = json.loads((directory / MANIFEST_NAME).read_text())
    except (OSError, ValueError):
        found = None
    if found == manifest:
        return True
    content = "other files" if found is None else f"synthetic data {json.dumps(found)}"
    raise DataError(
        f"synthetic data: {directory} holds {content}, expected {json.dumps(manifest)} or an empty folder; "
        "choose another folder or remove this one"
    )


def _move_into_place(draft: Path, directory: Path, manifest: dict[str, Any]) -> None:
    try:
        draft.rename(directory)
    except OSError:
        # Another process may have been first; then its copy is as good as this one.
        if not _already_holds(directory, manifest):
            raise


def _write_splits(
    root: Path, sizes: SyntheticSizes, seed: int, progress: Progress | None, splits: Sequence[str]
) -> None:
    num_videos = sum(getattr(sizes, split)[0] for split in splits)
    num_done = 0
    for split in splits:
        count, num_frames = getattr(sizes, split)
        videos: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        amodal: list[dict[str, Any]] = []
        for video_index in range(count):
            rng = np.random.Generator(np.random.PCG64([seed, SPLITS.index(split), video_index]))
            scene = _draw_scene(rng, split, num_frames, video_index)
            name = f"{split}_{video_index + 1:04d}"
            visible, whole = _write_frames(root / "JPEGImages" / name, scene, num_frames, rng)
            video_id = video_index + 1
            videos.append(
                {
                    "id": video_id,
                    "width": WIDTH,
                    "height": HEIGHT,
                    "length": num_frames,
                    "file_names": [f"{name}/{frame:05d}.jpg" for frame in range(num_frames)],
                }
            )
            for index, sprite in enumerate(scene.sprites):
                if visible[:, index].any():
                    head = {"id": len(annotations) + 1, "video_id": video_id}
                    annotations.append({**head, **_annotate(sprite.category_index + 1, visible[:, index])})
                    amodal.append({**head, **_annotate(sprite.category_index + 1, whole[:, index])})
            num_done += 1
            if progress is not None:
                progress(num_done, num_videos)
        description = f"synthetic videos, split {split}"
        for path, tracks, ending in (
            (root / f"{split}.json", annotations, ""),
            (amodal_file(root / f"{split}.json"), amodal, ", amodal masks"),
        ):
            _write_json(
                path,
                {
                    "info": {"description": description + ending, "version": VERSION, "seed": seed},
                    "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CATEGORY_NAMES)],
                    "videos": videos,
                    "annotations": tracks,
                },
            )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


# --- One video


def _draw_scene(rng: np.random.Generator, split: str, num_frames: int, video_index: int) -> Scene:
    for _ in range(MAX_DRAWS):
        if split == "occlusion":
            scene, hero = sample_occlusion_scene(rng, num_frames, video_index)
            visible, _ = _draw_masks(scene, num_frames)
            fits = _is_hidden_and_returns(np.asarray(visible[:, hero].any(axis=(1, 2))))
        elif split == "gaps":
            scene = sample_gaps_scene(rng, num_frames, video_index)
            fits = _stay_in_sight(*_draw_masks(scene, num_frames))
        elif split == "crossing":
            scene, (one, other) = sample_crossing_scene(rng, num_frames, video_index)
            visible, _ = _draw_masks(scene, num_frames)
            fits = _meet_and_part(visible[:, one], visible[:, other])
        else:
            return sample_scene(rng, num_frames, video_index)
        if fits:
            return scene
    raise RuntimeError(f"no {split} scene among {MAX_DRAWS} draws of {num_frames} frames")


def _draw_masks(scene: Scene, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Visible and whole masks, [T, N, HEIGHT, WIDTH] bool each."""
    visible, whole = zip(*(render_masks(scene, frame) for frame in range(num_frames)), strict=True)
    return np.stack(visible), np.stack(whole)


def _is_hidden_and_returns(seen: np.ndarray) -> bool:
    """Whether an object, seen [T] or not, has one gap of the wanted length between long enough sights."""
    in_sight = np.flatnonzero(seen)
    if len(in_sight) == 0:
        return False
    breaks = np.flatnonzero(np.diff(in_sight) > 1)
    if len(breaks) != 1:
        return False
    num_before = int(breaks[0]) + 1
    gap = int(in_sight[num_before] - in_sight[num_before - 1]) - 1
    return gap in HIDDEN_FRAMES and min(num_before, len(in_sight) - num_before) >= MIN_FRAMES_IN_SIGHT


def _stay_in_sight(visible: np.ndarray, whole: np.ndarray) -> bool:
    """Whether of every object enough is seen in every frame; masks [T, N, HEIGHT, WIDTH]."""
    seen, there = (masks.sum(axis=(2, 3)) for masks in (visible, whole))
    return bool(((seen > 0) & (seen >= MIN_FRACTION_IN_SIGHT * there)).all())


def _meet_and_part(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two objects, masks [T, HEIGHT, WIDTH], are seen apart, then with boxes that meet, and apart again."""
    seen = np.array([a.any() and b.any() for a, b in zip(one, other, strict=True)])
    meet = np.array([both and _boxes_meet(a, b) for both, a, b in zip(seen, one, other, strict=True)])
    if not meet.any():
        return False
    first, last = np.flatnonzero(meet)[[0, -1]]
    return min(int(seen[:first].sum()), int(seen[last + 1 :].sum())) >= MIN_FRAMES_IN_SIGHT


def _boxes_meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the boxes around two masks [HEIGHT, WIDTH] with pixels have pixels in common."""
    for axis in (0, 1):
        (first, last), (other_first, other_last) = (np.flatnonzero(m.any(axis))[[0, -1]] for m in (one, other))
        if first > other_last or other_first > last:
            return False
    return True


def _write_frames(
    folder: Path, scene: Scene, num_frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws and saves the frames; returns the visible and the whole masks, [T, N, HEIGHT, WIDTH] bool each."""
    folder.mkdir(parents=True)
    visible, whole = [], []
    for frame in range(num_frames):
        drawn = render_frame(scene, frame, rng)
        Image.fromarray(drawn.image).save(folder / f"{frame:05d}.jpg", quality=JPEG_QUALITY, subsampling=0)
        visible.append(drawn.visible)
        whole.append(drawn.whole)
    return np.stack(visible), np.stack(whole)


def _annotate(category_id: int, masks: np.ndarray) -> dict[str, Any]:
    """The YouTube-VIS record of one track, but for its ids.

    Args:
        category_id: from 1.
        masks: [T, HEIGHT, WIDTH] bool, empty where absent.
    """
    return {"category_id": category_id} | track_record([encode(mask) for mask in masks], (HEIGHT, WIDTH))
