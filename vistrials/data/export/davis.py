"""DAVIS: palette PNGs of object numbers, as `data.convert.davis` reads them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vistrials.data.convert.davis import VOID
from vistrials.data.export.folders import new_folder, place_frames
from vistrials.data.export.label_images import draw_labels
from vistrials.data.export.source import ExportSet
from vistrials.errors import DataError
from vistrials.formats.json_file import save_json_atomic

CATEGORIES_FILE = "davis_semantics.json"

Progress = Callable[[int, int], None]


def write_davis(source: ExportSet, out: Path, copy: bool = False, progress: Progress | None = None) -> int:
    """Write OUT/Annotations/<video>/<frame>.png, OUT/JPEGImages/<video>/ and OUT/davis_semantics.json.

    Objects are numbered from 1 in each video, in the order of the tracks; crowds are void (255).

    Returns:
        How many PNGs were written.

    Raises:
        DataError: a video has more objects than numbers, a mask is broken, a frame is missing, or OUT is not new.
    """
    names = {category.id: category.name for category in source.categories}
    semantics: dict[str, dict[str, str]] = {}
    count = 0
    with new_folder(out) as draft:
        for done, video in enumerate(source.videos, 1):
            objects = [track for track in video.tracks if not track.is_crowd]
            crowds = [track for track in video.tracks if track.is_crowd]
            if len(objects) >= VOID:
                raise DataError(
                    f"{source.origin}: video {video.video.id} has {len(objects)} objects; a DAVIS PNG has numbers for "
                    f"{VOID - 1}: raise --min-score, or export mots or coco"
                )
            semantics[video.name] = {str(n): names[track.category_id] for n, track in enumerate(objects, 1)}
            source.notes.add("crowd tracks became void (255)", f"video {video.video.id}", len(crowds))
            folder = draft / "Annotations" / video.name
            folder.mkdir(parents=True)
            values = [*enumerate(objects, 1), *((VOID, track) for track in crowds)]
            for stem, labels in zip(video.stems, draw_labels(video, values, source.notes), strict=True):
                image = Image.fromarray(labels.astype(np.uint8))
                image.putpalette(_palette())
                image.save(folder / f"{stem}.png")
                count += 1
            if source.frames_dir is not None:
                place_frames(video, source.frames_dir, draft / "JPEGImages" / video.name, list(video.stems), copy)
            if progress is not None:
                progress(done, len(source.videos))
        save_json_atomic(draft / CATEGORIES_FILE, semantics, indent=2)
    return count


def _palette() -> list[int]:
    """The colours of PASCAL VOC and DAVIS: the bits of a number dealt out to red, green and blue from the top."""
    colours = []
    for number in range(256):
        for channel in range(3):
            colours.append(sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)))
    return colours
