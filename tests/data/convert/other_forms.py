"""Small videos drawn in the forms of other data sets, and what a conversion wrote, decoded."""

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from vistrials.formats.annotations import decode_mask, load_video_set

SIZE = (24, 32)  # height, width


def write_frame(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> None:
    """A frame of noise, of its own in every folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, crc32(path.parent.name.encode())])
    Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def write_values(path: Path, values: np.ndarray, palette: bool = False) -> None:
    """A label image: palette or grey of 8 bit (uint8), grey of 16 bit (uint16), 1 bit (bool)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.save(path)


def drawn(*boxes: tuple[int, int, int, int, int], size: tuple[int, int] = SIZE, dtype: Any = np.uint8) -> np.ndarray:
    """A label image of filled boxes: value, x, y, w, h; the later ones cover the earlier."""
    values = np.zeros(size, dtype)
    for value, x, y, w, h in boxes:
        values[y : y + h, x : x + w] = value
    return values


def converted_masks(annotations: Path) -> dict[tuple[str, int], dict[int, np.ndarray]]:
    """(Name of the video, position of the track in it) -> frame -> mask, bool."""
    masks = {}
    for video in load_video_set(annotations, annotations.parent / "JPEGImages").videos:
        for position, track in enumerate(video.tracks):
            masks[video.file_names[0].split("/")[0], position] = {
                frame: decode_mask(segmentation, video.height, video.width).astype(bool)
                for frame, segmentation in enumerate(track.segmentations)
                if segmentation is not None
            }
    return masks


def records(annotations: Path) -> list[dict[str, Any]]:
    """The tracks as they stand in the file."""
    return json.loads(annotations.read_text())["annotations"]
