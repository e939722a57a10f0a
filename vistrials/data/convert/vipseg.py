"""VIPSeg and panoptic videos of its form: label images of values, or of colours with a JSON of segments.

Source: README.md and create_panoptic_video_labels.py of VIPSeg (github.com/VIPSeg-Dataset/VIPSeg-Dataset): values are 0
(void), 1 to 124 (category, stuff) or category * 100 + instance (things); a value's category is one more than the id in
panoVIPSeg_categories.json. As colours, an id is R + 256 G + 256 * 256 B. No kept library reads panoptic videos.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.data.convert.agreement import Declared, check_masks
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import (
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    check_mask_size,
    common_size,
    folders_in,
    pair_frames,
    read_label_image,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.files import read_lines
from vistrials.formats.images import open_image
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, encode_labels
from vistrials.formats.safe_names import file_below, relative_name
from vistrials.formats.values import is_whole
from vistrials.structures.video import Category

IDS_PER_CLASS = 100
FIRST_INSTANCE = 125
CATEGORIES_FILE = "panoVIPSeg_categories.json"
IMAGE_FOLDERS = ("imgs", "images")
VALUES_FOLDER, COLOURS_FOLDER = "panomasks", "panomasksRGB"

_STUFF = "segments are of stuff, which has no instances, and were left out"

Record = dict[str, Any]
Objects = dict[int, tuple[int, bool, dict[int, Rle]]]  # id in the images -> category, crowd, masks by frame


@dataclass(frozen=True, slots=True)
class _Classes:
    """Names of categories by id, and which of them have instances."""

    path: Path
    names: dict[int, str]
    things: frozenset[int]

    @property
    def categories(self) -> list[Category]:
        return [Category(number, name) for number, name in self.names.items() if number in self.things]

    def is_thing(self, number: object, where: str) -> bool:
        if number not in self.names:
            raise DataError(f"{where}: category {shortened(number)} is not among those of {self.path}")
        return number in self.things


def read_vipseg(root: Path | str, split: str = "train", categories: Path | str | None = None) -> SourceSet:
    """Read a panoptic video data set of VIPSeg's form; things become tracks, stuff is left out and counted.

    A thing without an instance (a bare category) becomes a crowd track. Categories keep the ids of their file.

    Args:
        root: holds imgs/<video>/ (or images) and panomasks/<video>/; or panomasksRGB/<video>/ with
            panoptic_gt_VIPSeg_<split>.json (or panoptic_gt_VIPSeg.json), which then goes first.
        split: of the JSON, or of <split>.txt (valid: also val), the list of videos; all where there is no list.
        categories: list of {id, name, isthing}; by default ROOT/panoVIPSeg_categories.json, or those of the JSON.

    Raises:
        DataError: files that are missing or contradict each other.
    """
    root = Path(root)
    images = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if images is None:
        raise DataError(f"{root}: no folder of frames; looked for {' and '.join(IMAGE_FOLDERS)}")
    names = ("valid", "val") if split == "valid" else (split,)
    candidates = [root / f"panoptic_gt_VIPSeg{end}.json" for end in (*(f"_{name}" for name in names), "")]
    document = next((path for path in candidates if path.is_file()), None)
    notes = Notes()
    if document is not None and (root / COLOURS_FOLDER).is_dir():
        return _read_coloured(root, images, document, categories, notes)
    if not (root / VALUES_FOLDER).is_dir():
        raise DataError(
            f"{root}: no {VALUES_FOLDER}/, nor {COLOURS_FOLDER}/ with {candidates[0].name}; is this VIPSeg's folder?"
        )
    path = root / CATEGORIES_FILE if categories is None else Path(categories)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; take {CATEGORIES_FILE} of the data set's repository, or --categories FILE"
        )
    classes = _read_classes(load_json(path), path)
    videos = _listed(root, names) or [folder.name for folder in folders_in(root / VALUES_FOLDER)]
    if not videos:
        raise DataError(f"{root / VALUES_FOLDER}: no folder of a video in it")

    def read_all() -> Iterator[SourceVideo]:
        for name in videos:
            pairs = pair_frames(images / name, root / VALUES_FOLDER / name)
            frames = [frame for frame, _ in pairs]
            size = common_size(frames)
            yield SourceVideo(
                name, frames, size, _tracks(_read_values([png for _, png in pairs], size, classes, notes))
            )

    return SourceSet(root, classes.categories, len(videos), read_all(), notes)


def _listed(root: Path, names: tuple[str, ...]) -> list[str]:
    """Videos of <split>.txt; none where there is no list at all."""
    found = next((root / f"{name}.txt" for name in names if (root / f"{name}.txt").exists()), None)
    if found is None:
        there = [path.name for path in sorted(root.glob("*.txt"))]
        if there:
            raise DataError(f"{root}: no {names[0]}.txt, the videos of the split; there are {', '.join(there)}")
        return []
    return [str(relative_name(name, str(found))) for name in read_lines(found)]


def _read_classes(listed: Any, path: Path) -> _Classes:
    names: dict[int, str] = {}
    things = set()
    for record in listed if isinstance(listed, list) else []:
        if (
            not isinstance(record, dict)
            or not is_whole(record.get("id"))
            or not isinstance(record.get("name"), str)
            or record.get("isthing") not in (0, 1)
        ):
            raise DataError(f"{path}: a category is {shortened(record)}; expected id, name and isthing (0 or 1)")
        names[record["id"]] = record["name"]
        if record["isthing"]:
            things.add(record["id"])
    if not things:
        raise DataError(f"{path}: no category that has instances (isthing 1); expected a list of categories")
    return _Classes(path, names, frozenset(things))


def _tracks(objects: Objects) -> list[SourceTrack]:
    return [SourceTrack(category, masks, crowd) for _, (category, crowd, masks) in sorted(objects.items())]


# --- Values


def _read_values(paths: list[Path], size: Size, classes: _Classes, notes: Notes) -> Objects:
    objects: Objects = {}
    for index, path in enumerate(paths):
        values, _ = read_label_image(path, size)
        for value, mask in encode_labels(values).items():
            where = f"{path}: value {value}"
            number = (value if value < FIRST_INSTANCE else value // IDS_PER_CLASS) - 1
            if not classes.is_thing(number, where):
                if value >= FIRST_INSTANCE:
                    raise DataError(
                        f"{where}: an instance of {classes.names[number]}, which {classes.path} calls stuff"
                    )
                notes.add(_STUFF, path)
                continue
            objects.setdefault(value, (number, value < FIRST_INSTANCE, {}))[2][index] = mask
    return objects


# --- Colours, with a JSON


def _read_coloured(root: Path, images: Path, path: Path, categories: Path | str | None, notes: Notes) -> SourceSet:
    document = load_json(path)
    lists = [document.get(key) if isinstance(document, dict) else None for key in ("videos", "annotations")]
    if not all(isinstance(found, list) and all(isinstance(r, dict) for r in found) for found in lists):
        raise DataError(f"{path}: expected an object with videos, annotations and categories{tell_kind(document)}")
    listed, source = document.get("categories"), path
    if categories is not None:
        listed, source = load_json(categories), Path(categories)
    classes = _read_classes(listed, source)
    annotations = {str(record.get("video_id")): record.get("annotations") for record in document["annotations"]}

    def read_all() -> Iterator[SourceVideo]:
        for video in document["videos"]:
            name = str(relative_name(str(video.get("video_id", "")), path.name))
            entries = annotations.get(name)
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise DataError(f"{path}: no annotations of video {name}")
            frames, size, objects = _read_entries(
                path, images / name, root / COLOURS_FOLDER / name, entries, classes, notes
            )
            yield SourceVideo(name, frames, size, _tracks(objects))

    return SourceSet(root, classes.categories, len(document["videos"]), read_all(), notes)


def _read_entries(
    path: Path, images: Path, colours: Path, entries: list[Record], classes: _Classes, notes: Notes
) -> tuple[list[Path], Size, Objects]:
    pngs = [file_below(colours, entry.get("file_name"), f"{path}: video {colours.name}") for entry in entries]
    frame_of = {frame.stem: frame for frame, _ in pair_frames(images, colours)}
    missing = next((png for png in pngs if png.stem not in frame_of), None)
    if missing is not None:
        raise DataError(f"{path}: no frame and label image of {missing.name} in {images} and {colours}")
    frames = [frame_of[png.stem] for png in pngs]
    notes.add(f"frames are not in {path.name} and were left out", images, len(frame_of) - len(frames))
    size = common_size(frames)
    objects: Objects = {}
    for index, (png, entry) in enumerate(zip(pngs, entries, strict=True)):
        ids = _read_colours(png, size)
        segments = entry.get("segments_info")
        if not isinstance(segments, list) or not all(isinstance(s, dict) and is_whole(s.get("id")) for s in segments):
            raise DataError(f"{path}: {colours.name}/{png.name}: segments_info is no list of segments with ids")
        known = {segment["id"]: segment for segment in segments}
        masks = encode_labels(ids)
        declared = []
        for number, mask in masks.items():
            where = f"{png}: segment {number}"
            if number not in known:
                raise DataError(f"{where}: not among the segments_info of {path}")
            declared.append(Declared(where, mask, known[number].get("bbox"), known[number].get("area")))
            _add(objects, index, known.pop(number), mask, where, classes, notes)
        check_masks(declared, notes)
        notes.add("segments of the JSON have no pixel", f"{path}: {colours.name}/{png.name}", len(known))
    return frames, size, objects


def _add(objects: Objects, index: int, segment: Record, mask: Rle, where: str, classes: _Classes, notes: Notes) -> None:
    category, crowd = segment.get("category_id"), segment.get("iscrowd") == 1
    if not classes.is_thing(category, where):
        notes.add(_STUFF, where)
        return
    known = objects.setdefault(segment["id"], (category, crowd, {}))  # type: ignore[arg-type]
    if known[:2] != (category, crowd):
        raise DataError(
            f"{where}: category {category} (crowd: {crowd}), while an earlier frame says {known[0]} ({known[1]}); "
            "a segment keeps its id, category and iscrowd through a video"
        )
    known[2][index] = mask


def _read_colours(path: Path, size: Size) -> NDArray[np.int64]:
    with open_image(path, ("PNG",)) as image:
        if image.mode not in ("RGB", "RGBA"):
            raise DataError(f"{path}: an image of mode {image.mode}; expected the colours of segment ids")
        check_mask_size((image.height, image.width), size, str(path))
        colours = np.array(image.convert("RGB"), np.int64)
    return colours @ np.array([1, 256, 256 * 256])
