"""YouTube-VOS: palette PNGs of object numbers, with the objects' categories in meta.json.

Source: the data set's own layout (youtube-vos.org; arXiv 1809.03327): meta.json is {"videos": {video: {"objects":
{number: {"category", "frames"}}}}}, one frame in five is annotated. No kept library reads it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vistrials.data.convert.davis import VOID
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import (
    SourceSet,
    SourceTrack,
    SourceVideo,
    common_size,
    images_in,
    read_label_image,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, encode_labels
from vistrials.formats.safe_names import relative_name
from vistrials.structures.video import Category

META_NAME = "meta.json"

Objects = dict[str, dict[str, Any]]


def read_youtube_vos(root: Path | str) -> SourceSet:
    """Read a split of YouTube-VOS.

    A PNG's value is the object's number in meta.json. A frame is an image that has a PNG; the others are left out, and
    counted. Categories get ids in the order of the alphabet.

    Args:
        root: holds meta.json, JPEGImages/<video>/ and Annotations/<video>/: the folder of one split.

    Raises:
        DataError: files that are missing or contradict each other; among them a validation set, whose PNGs show the
            first frame of each object alone.
    """
    root = Path(root)
    path = root / META_NAME
    if not path.is_file():
        inner = [folder.parent.name for folder in sorted(root.glob(f"*/{META_NAME}"))]
        found = f"; there is one in {', '.join(inner)}: name that folder" if inner else ""
        raise DataError(f"{path}: no such file{found}; PNGs without it convert as davis")
    content = load_json(path)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise DataError(f"{path}: expected {{videos: {{video: {{objects: ..}}}}}}{tell_kind(content)}")
    objects_of = {str(relative_name(name, str(path))): _objects(entry, name, path) for name, entry in videos.items()}
    names = sorted({record["category"] for objects in objects_of.values() for record in objects.values()})
    ids = {name: number for number, name in enumerate(names, 1)}
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for name, objects in objects_of.items():
            yield _read_video(root, name, objects, ids, notes)

    return SourceSet(root, [Category(number, name) for name, number in ids.items()], len(objects_of), read_all(), notes)


def _objects(entry: Any, name: str, path: Path) -> Objects:
    objects = entry.get("objects") if isinstance(entry, dict) else None
    if not isinstance(objects, dict):
        raise DataError(f"{path}: video {name}: {shortened(entry)}; expected an object with objects")
    for number, record in objects.items():
        if not number.isdigit() or not isinstance(record, dict) or not isinstance(record.get("category"), str):
            raise DataError(f"{path}: video {name}, object {number}: {shortened(record)}; expected category and frames")
    return objects


def _read_video(root: Path, name: str, objects: Objects, ids: dict[str, int], notes: Notes) -> SourceVideo:
    images, labels = root / "JPEGImages" / name, root / "Annotations" / name
    pngs = {png.stem: png for png in images_in(labels) if png.suffix.lower() == ".png"}
    frame_of = {frame.stem: frame for frame in images_in(images)}
    stray = next((png for stem, png in pngs.items() if stem not in frame_of), None)
    if stray is not None:
        raise DataError(f"{stray}: no frame of this name in {images}")
    listed = {(number, str(frame)) for number, record in objects.items() for frame in record.get("frames") or ()}
    unseen = min((pair for pair in listed if pair[1] not in pngs), default=None)
    if unseen is not None:
        raise DataError(
            f"{labels / (unseen[1] + '.png')}: missing, while {META_NAME} shows object {unseen[0]} there; a validation "
            "set has the first PNG of each object alone, and cannot be trained on or scored"
        )
    frames = [frame for stem, frame in frame_of.items() if stem in pngs]
    notes.add("frames without a PNG were left out", images, len(frame_of) - len(frames))
    size = common_size(frames)
    masks: dict[str, dict[int, Rle]] = {number: {} for number in objects}
    for index, frame in enumerate(frames):
        png = pngs[frame.stem]
        values, _ = read_label_image(png, size)
        for value, mask in encode_labels(values).items():
            if str(value) in masks:
                masks[str(value)][index] = mask
            elif value == VOID:
                notes.add("PNGs have pixels of 255 (void), which are no object's", png)
            else:
                raise DataError(f"{png}: value {value}, which is no object of video {name} in {META_NAME}")
    drawn = {(number, frames[index].stem) for number, by_frame in masks.items() for index in by_frame}
    notes.add(f"masks are listed in {META_NAME} without a pixel in the PNG: absent", labels, len(listed - drawn))
    if listed:
        notes.add(f"masks are drawn in PNGs without being listed in {META_NAME}: kept", labels, len(drawn - listed))
    tracks = [SourceTrack(ids[objects[number]["category"]], by_frame) for number, by_frame in masks.items()]
    return SourceVideo(name, frames, size, tracks)
