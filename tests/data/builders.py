"""Small data sets on disk, in YouTube-VIS form, whose every number is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vistrials.formats.rle import encode

Box = tuple[int, int, int, int]


def box_mask(box: Box, size: tuple[int, int]) -> np.ndarray:
    """A filled x, y, w, h box on (height, width) pixels."""
    x, y, w, h = box
    mask = np.zeros(size, np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def make_track(
    track_id: int,
    video_id: int,
    category_id: int,
    boxes: list[Box | None],
    size: tuple[int, int],
    crowd: int = 0,
) -> dict[str, Any]:
    """An annotation of filled boxes."""
    return {
        "id": track_id,
        "video_id": video_id,
        "category_id": category_id,
        "iscrowd": crowd,
        "bboxes": [None if box is None else [float(side) for side in box] for box in boxes],
        "areas": [None if box is None else box[2] * box[3] for box in boxes],
        "segmentations": [None if box is None else encode(box_mask(box, size)) for box in boxes],
    }


def make_video(video_id: int, num_frames: int, size: tuple[int, int]) -> dict[str, Any]:
    """A video record; frames lie in a folder of its id."""
    names = [f"{video_id}/{frame:05d}.png" for frame in range(num_frames)]
    return {"id": video_id, "height": size[0], "width": size[1], "length": num_frames, "file_names": names}


def make_document(videos: list[dict[str, Any]], tracks: list[dict[str, Any]]) -> dict[str, Any]:
    """A file of three categories whose ids leave gaps."""
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 300, "name": "newt"}]
    return {"videos": videos, "categories": categories, "annotations": tracks}


def frame_pixels(video_id: int, frame: int, size: tuple[int, int]) -> np.ndarray:
    """The content of a frame: noise of its own, uint8 (h, w, 3)."""
    return np.random.default_rng([video_id, frame]).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_set(folder: Path, document: dict[str, Any]) -> tuple[Path, Path]:
    """Write annotations and lossless frames; returns the annotation file and the frame folder."""
    path = folder / "train.json"
    path.write_text(json.dumps(document))
    frames_dir = folder / "frames"
    for video in document["videos"]:
        for frame, name in enumerate(video["file_names"]):
            target = frames_dir / name
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame_pixels(video["id"], frame, (video["height"], video["width"]))).save(target)
    return path, frames_dir


def small_document() -> dict[str, Any]:
    """Two wide videos and a high one.

    Annotated are frames 0, 1, 3 of video 41 (48 x 64; its frame 2 shows a crowd only), both frames of video 5
    (40 x 64) and the three of video 9 (64 x 32).
    """
    wide, flat, high = (48, 64), (40, 64), (64, 32)
    return make_document(
        [make_video(41, 4, wide), make_video(5, 2, flat), make_video(9, 3, high)],
        [
            make_track(11, 41, 300, [(4, 6, 10, 20), (6, 6, 10, 20), None, None], wide),
            make_track(12, 41, 7, [None, (40, 10, 12, 8), None, (30, 10, 12, 8)], wide),
            make_track(13, 41, 7, [(0, 0, 20, 20)] * 4, wide, crowd=1),
            make_track(21, 5, 3, [(1, 2, 30, 30), (2, 2, 30, 30)], flat),
            make_track(31, 9, 3, [(2, 2, 9, 9), (3, 3, 9, 9), (4, 4, 9, 9)], high),
            make_track(32, 9, 3, [(20, 40, 8, 8), None, (20, 44, 8, 8)], high),
        ],
    )
