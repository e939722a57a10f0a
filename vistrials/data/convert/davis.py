"""DAVIS 2016 and 2017: a PNG per frame whose values are numbers of objects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.data.convert.object_names import ObjectCategories
from vistrials.data.convert.writing import (
    DEFAULT_CATEGORY,
    SourceSet,
    SourceTrack,
    SourceVideo,
    common_size,
    folders_in,
    label_sizes,
    pair_frames,
    read_label_image,
)
from vistrials.errors import DataError
from vistrials.formats.files import read_lines
from vistrials.formats.rle import Rle, encode_labels

MANY_VALUES, EDGE_FRACTION = 20, 0.05

RESOLUTIONS = ("480p", "Full-Resolution", "1080p", ".")
LISTS = ("2017", "2016", "480p")
LIST_NAMES = {"valid": ("valid", "val"), "minival": ("minival", "val")}
VOID = 255


def read_davis(root: Path | str, split: str = "train", categories: Path | str | None = None) -> SourceSet:
    """Read a data set in the layout of DAVIS.

    A palette index is the object's number, 255 is void and belongs to no object. In a video whose PNGs have
    grey values of only 0 and 255 (DAVIS 2016), 255 is the one object.

    Args:
        root: holds JPEGImages/<resolution>/<video>/ and Annotations/<resolution>/<video>/.
        split: videos of ImageSets/<year>/<split>.txt (valid: also val.txt); all where there are no lists.
        categories: JSON {video: {number of object: category}} (DAVIS 2017's davis_semantics.json); without,
            every object is of category "object".

    Raises:
        DataError: folders, lists, PNGs or categories that are missing or contradict each other.
    """
    root = Path(root)
    images, labels = _resolution(root)
    names = _videos(root, split, labels)
    category_of = ObjectCategories.load(categories, DEFAULT_CATEGORY)

    def read_all() -> Iterator[SourceVideo]:
        for name in names:
            frames, size, masks = _read_video(images / name, labels / name)
            objects = sorted(masks.items())
            tracks = [SourceTrack(category_of.id_of(name, str(number)), by_frame) for number, by_frame in objects]
            yield SourceVideo(name, frames, size, tracks)

    return SourceSet(root, category_of.categories, len(names), read_all())


def _resolution(root: Path) -> tuple[Path, Path]:
    """The folders of frames and of PNGs."""
    for resolution in RESOLUTIONS:
        images, labels = root / "JPEGImages" / resolution, root / "Annotations" / resolution
        if images.is_dir() and labels.is_dir():
            return images, labels
    raise DataError(
        f"{root}: expected the folders JPEGImages and Annotations, each with {RESOLUTIONS[0]}/<video>/; "
        "is this the root of a DAVIS data set?"
    )


def _videos(root: Path, split: str, labels: Path) -> list[str]:
    lists = root / "ImageSets"
    if not lists.is_dir():
        names = [folder.name for folder in folders_in(labels)]
        if not names:
            raise DataError(f"{labels}: no folder of a video in it")
        return names
    candidates = [lists / year / f"{name}.txt" for year in LISTS for name in LIST_NAMES.get(split, (split,))]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        there = ", ".join(str(path.relative_to(lists)) for path in sorted(lists.glob("*/*.txt"))) or "none"
        raise DataError(f"{lists}: no list of split {split} ({LISTS[0]}/{split}.txt); there are {there}: see --split")
    # A line is a video (2017), or a frame's path and its PNG's (2016).
    first_words = [line.split()[0] for line in read_lines(found)]
    names = list(dict.fromkeys(Path(word).parent.name if "/" in word else word for word in first_words))
    if not names:
        raise DataError(f"{found}: no video in it")
    return names


def _read_video(images: Path, labels: Path) -> tuple[list[Path], tuple[int, int], dict[int, dict[int, Rle]]]:
    """Frames, size, and masks by number of object and frame."""
    pairs = pair_frames(images, labels)
    frames = [frame for frame, _ in pairs]
    size = common_size(frames, label_sizes(path for _, path in pairs))
    masks: dict[int, dict[int, Rle]] = {}
    modes = set()
    for index, (_, path) in enumerate(pairs):
        values, mode = read_label_image(path, size)
        if values.max() > VOID or values.min() < 0:
            raise DataError(
                f"{path}: value {values.max()}; expected numbers of objects up to {VOID - 1} and {VOID} for void; "
                "PNGs of class_id * 1000 + instance_id convert as mots"
            )
        _check_edges(values, path)
        modes.add(mode)
        for number, mask in encode_labels(values).items():
            masks.setdefault(number, {})[index] = mask
    is_binary = "P" not in modes and masks.keys() <= {VOID}
    if not is_binary:
        masks.pop(VOID, None)
    return frames, size, masks


def _check_edges(values: NDArray[np.integer[Any]], path: Path) -> None:
    """Refuse a mask with soft edges, of which every grey level would become an object."""
    counts = np.bincount(values.ravel())[1:]
    counts = counts[counts > 0]
    if len(counts) >= MANY_VALUES and 2 * (counts < EDGE_FRACTION * counts.max()).sum() > len(counts):
        raise DataError(
            f"{path}: {len(counts)} values, most of a few pixels each, as at soft edges of a mask that was resized or "
            "stored as JPEG; expected numbers of objects: make the masks anew, or resize them to the nearest pixel"
        )
