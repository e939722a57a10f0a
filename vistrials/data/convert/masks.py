"""A folder of masks per object: <video>/<object>/00000.png, as SA-V's validation and test sets.

Source: sav_dataset/README.md of SAM 2 (github.com/facebookresearch/sam2): objects may overlap, so each has PNGs of its
own; frames are at 24 per second, masks at 6. No kept library reads it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vistrials.data.convert.notes import Notes
from vistrials.data.convert.object_names import ObjectCategories
from vistrials.data.convert.writing import (
    DEFAULT_CATEGORY,
    SourceSet,
    SourceTrack,
    SourceVideo,
    by_number,
    common_size,
    folders_in,
    images_in,
    read_label_image,
)
from vistrials.errors import DataError
from vistrials.formats.rle import Rle, encode

FRAME_FOLDERS = ("JPEGImages", "JPEGImages_24fps", "images", "frames")
MASK_FOLDERS = ("Annotations", "Annotations_6fps", "masks")


def read_masks(
    root: Path | str, categories: Path | str | None = None, frames_dir: Path | str | None = None
) -> SourceSet:
    """Read a data set that keeps the masks of each object apart.

    Any value but 0 is the object. A frame is one for which some object has a PNG; others are left out, and counted. An
    object without a PNG for such a frame is absent in it. Objects may overlap.

    Args:
        root: holds the frames, JPEGImages/<video>/ (or JPEGImages_24fps, images, frames), and the masks,
            Annotations/<video>/<object>/ (or Annotations_6fps, masks).
        categories: JSON {video: {object: category}}; without, every object is of category "object".
        frames_dir: holds <video>/ with the frames, where they lie elsewhere; ROOT may then hold <video>/<object>/.

    Raises:
        DataError: folders, PNGs or categories that are missing or contradict each other.
    """
    root = Path(root)
    frames_root = _folder(root, FRAME_FOLDERS, "frames") if frames_dir is None else Path(frames_dir)
    masks_root = _folder(root, MASK_FOLDERS if frames_dir is None else (*MASK_FOLDERS, "."), "masks")
    folders = folders_in(masks_root)
    if not folders:
        raise DataError(f"{masks_root}: no folder of a video in it; expected <video>/<object>/00000.png")
    category_of = ObjectCategories.load(categories, DEFAULT_CATEGORY)
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for folder in folders:
            yield _read_video(folder, frames_root / folder.name, category_of, notes)

    return SourceSet(root, category_of.categories, len(folders), read_all(), notes)


def _folder(root: Path, names: tuple[str, ...], what: str) -> Path:
    found = next((root / name for name in names if (root / name).is_dir()), None)
    if found is None:
        raise DataError(
            f"{root}: no folder of {what}; looked for {', '.join(names)}; --frames names that of the frames"
        )
    return found


def _read_video(folder: Path, frames_dir: Path, category_of: ObjectCategories, notes: Notes) -> SourceVideo:
    objects = by_number(folders_in(folder))
    if not objects:
        raise DataError(f"{folder}: no folder of an object in it; PNGs that hold all objects by value convert as davis")
    frame_of = {frame.stem: frame for frame in images_in(frames_dir)}
    pngs = {obj: {path.stem: path for path in images_in(obj) if path.suffix.lower() == ".png"} for obj in objects}
    for files in pngs.values():
        stray = next((path for stem, path in files.items() if stem not in frame_of), None)
        if stray is not None:
            raise DataError(f"{stray}: no frame of this name in {frames_dir}")
    shown = {stem for files in pngs.values() for stem in files}
    frames = [frame for stem, frame in frame_of.items() if stem in shown]
    notes.add("frames without a PNG of any object were left out", frames_dir, len(frame_of) - len(frames))
    size = common_size(frames)
    tracks = []
    for obj, files in pngs.items():
        masks: dict[int, Rle] = {}
        for index, frame in enumerate(frames):
            if frame.stem in files:
                values, _ = read_label_image(files[frame.stem], size)
                present = np.unique(values[values != 0])
                if len(present) > 1:
                    raise DataError(
                        f"{files[frame.stem]}: values {', '.join(map(str, present[:4]))}; expected one beside 0, since "
                        "the folder is one object's"
                    )
                masks[index] = encode(values)
        tracks.append(SourceTrack(category_of.id_of(folder.name, obj.name), masks))
    return SourceVideo(folder.name, frames, size, tracks)
