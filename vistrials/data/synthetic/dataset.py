"""The embedded data set: synthetic videos in YouTube-VIS form, drawn on demand, the same for the same seed.

Eight categories told apart by outline only move over textured backdrops, hide one another, pass behind bars
and leave the frame; in every occlusion video an object is out of sight for 4 to 8 frames and returns.
A folder holds `train.json`, `minival.json`, `occlusion.json`, the frames under `JPEGImages/`, and
`synthetic.json`, which says what it was drawn from.

Another release of numpy or pillow, or another processor, may round a few pixels differently.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vistrials.data.synthetic.render import render_frame, render_masks
from vistrials.data.synthetic.scene import HEIGHT, WIDTH, Scene, sample_occlusion_scene, sample_scene
from vistrials.data.synthetic.shapes import CATEGORY_NAMES
from vistrials.errors import DataError
from vistrials.formats.rle import encode
from vistrials.formats.track_masks import track_record

VERSION = 1  # raise with any change of pixels or annotations
SPLITS = ("train", "minival", "occlusion")
MANIFEST_NAME = "synthetic.json"
JPEG_QUALITY = 95
MIN_OCCLUSION_FRAMES = 16  # room to be seen, hidden for a while and seen again
HIDDEN_FRAMES = range(4, 9)  # how long the hidden object of an occlusion video may be out of sight
MIN_FRAMES_IN_SIGHT = 3  # of that object, before and after
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

    def __post_init__(self) -> None:
        for split in SPLITS:
            num_videos, num_frames = getattr(self, split)
            least = MIN_OCCLUSION_FRAMES if split == "occlusion" else 2
            if num_videos < 1 or num_frames < least:
                raise DataError(
                    f"synthetic data, split {split}: expected at least 1 video of at least {least} frames, "
                    f"found {num_videos} of {num_frames}; choose larger sizes"
                )


def synthesize(
    directory: Path, sizes: SyntheticSizes | None = None, seed: int = 0, progress: Progress | None = None
) -> Path:
    """Draws the data set into a folder, or leaves the folder alone where it already holds it.

    The folder appears complete or not at all: frames are drawn into a sibling that is renamed at the end.
    Every video has its own random generator, so a split's first videos do not depend on how many follow.

    Args:
        directory: where to; may be absent or empty.
        sizes: videos and frames of each split; the defaults where None.
        seed: non-negative.
        progress: called as progress(videos done, videos in all) after each video.
    Returns:
        directory.
    Raises:
        DataError: where the folder holds something else, or cannot be written.
    """
    sizes = sizes or SyntheticSizes()
    if seed < 0:
        raise DataError(f"synthetic data: expected a seed of 0 or more, found {seed}")
    directory = Path(directory)
    manifest = _manifest(sizes, seed)
    if _already_holds(directory, manifest):
        return directory
    draft = directory.absolute().parent / f".{directory.absolute().name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        _write_splits(draft, sizes, seed, progress)
        _write_json(draft / MANIFEST_NAME, manifest)
        _move_into_place(draft, directory, manifest)
    except OSError as error:
        raise DataError(
            f"synthetic data: cannot write {directory} ({error.strerror or error}); choose another folder"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return directory


def default_cache_dir() -> Path:
    """The folder for generated data: $VISTRIALS_CACHE, or vistrials in $XDG_CACHE_HOME or in ~/.cache."""
    if chosen := os.environ.get("VISTRIALS_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vistrials"


def ensure_synthetic(sizes: SyntheticSizes | None = None, seed: int = 0, progress: Progress | None = None) -> Path:
    """The cached folder of the data set of these sizes and seed, drawn first where it is missing.

    Arguments, result and errors as for `synthesize`. Two processes may ask at once: both draw, one stays.
    """
    sizes = sizes or SyntheticSizes()
    digest = hashlib.sha256(json.dumps(_manifest(sizes, seed), sort_keys=True).encode()).hexdigest()[:8]
    return synthesize(default_cache_dir() / f"synthetic-v{VERSION}-seed{seed}-{digest}", sizes, seed, progress)


# --- The folder


def _manifest(sizes: SyntheticSizes, seed: int) -> dict[str, Any]:
    return {
        "version": VERSION,
        "seed": seed,
        "sizes": {split: list(size) for split, size in asdict(sizes).items()},
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


def _write_splits(root: Path, sizes: SyntheticSizes, seed: int, progress: Progress | None) -> None:
    num_videos = sum(size[0] for size in asdict(sizes).values())
    num_done = 0
    for split_index, split in enumerate(SPLITS):
        count, num_frames = getattr(sizes, split)
        videos: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for video_index in range(count):
            rng = np.random.Generator(np.random.PCG64([seed, split_index, video_index]))
            scene = _draw_scene(rng, split, num_frames, video_index)
            name = f"{split}_{video_index + 1:04d}"
            masks = _write_frames(root / "JPEGImages" / name, scene, num_frames, rng)
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
            for sprite, track in zip(scene.sprites, masks.swapaxes(0, 1), strict=True):
                if track.any():
                    head = {"id": len(annotations) + 1, "video_id": video_id}
                    annotations.append({**head, **_annotate(sprite.category_index + 1, track)})
            num_done += 1
            if progress is not None:
                progress(num_done, num_videos)
        _write_json(
            root / f"{split}.json",
            {
                "info": {"description": f"synthetic videos, split {split}", "version": VERSION, "seed": seed},
                "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CATEGORY_NAMES)],
                "videos": videos,
                "annotations": annotations,
            },
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


# --- One video


def _draw_scene(rng: np.random.Generator, split: str, num_frames: int, video_index: int) -> Scene:
    if split != "occlusion":
        return sample_scene(rng, num_frames, video_index)
    for _ in range(MAX_DRAWS):
        scene, hero = sample_occlusion_scene(rng, num_frames, video_index)
        seen = np.array([render_masks(scene, frame)[hero].any() for frame in range(num_frames)])
        if _is_hidden_and_returns(seen):
            return scene
    raise RuntimeError(f"no occlusion scene among {MAX_DRAWS} draws of {num_frames} frames")


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


def _write_frames(folder: Path, scene: Scene, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draws and saves the frames; returns the masks [T, N, HEIGHT, WIDTH] bool."""
    folder.mkdir(parents=True)
    masks = []
    for frame in range(num_frames):
        image, visible = render_frame(scene, frame, rng)
        Image.fromarray(image).save(folder / f"{frame:05d}.jpg", quality=JPEG_QUALITY, subsampling=0)
        masks.append(visible)
    return np.stack(masks)


def _annotate(category_id: int, masks: np.ndarray) -> dict[str, Any]:
    """The YouTube-VIS record of one track, but for its ids.

    Args:
        category_id: from 1.
        masks: [T, HEIGHT, WIDTH] bool, empty where absent.
    """
    return {"category_id": category_id} | track_record([encode(mask) for mask in masks], (HEIGHT, WIDTH))
