"""labelme: a folder per video with a JSON of polygons and masks per frame; label and group_id identify an object."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vistrials.data.convert.agreement import Reach, check_declared_size
from vistrials.data.convert.labelme_labels import Meaning, Numbers, read_labels
from vistrials.data.convert.labelme_mask import decode_labelme_mask
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import (
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    by_number,
    common_size,
    folders_in,
    note_unlisted,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, to_rle, unite
from vistrials.formats.values import is_whole
from vistrials.structures.video import Category

Polygon = list[float]
Identity = tuple[str, int | tuple[int, int] | None]  # label, group_id and number of the label


@dataclass(frozen=True, slots=True)
class _LabelledFrame:
    path: Path
    image: Path
    declared_size: tuple[Any, Any]  # height, width
    polygons: list[tuple[Identity, Polygon]]
    masks: list[tuple[Identity, dict[str, Any], str]]  # shape, and how messages name it

    @property
    def identities(self) -> list[Identity]:
        return [shape[0] for shape in self.polygons] + [shape[0] for shape in self.masks]

    def as_meant(self, meaning: Mapping[str, Meaning]) -> "_LabelledFrame":
        """With categories in place of labels; numbers in labels tell objects apart, as group ids do."""

        def identity(label: str, group: Any) -> Identity:
            category, number = meaning[label]
            return category, group if number is None else number if group is None else (number, group)

        return replace(
            self,
            polygons=[(identity(*shape), polygon) for shape, polygon in self.polygons],
            masks=[(identity(*shape), mask, where) for shape, mask, where in self.masks],
        )


def read_labelme(root: Path | str, *, merge_labels: bool = False, numbers: Numbers | None = None) -> SourceSet:
    """Read videos labelled with labelme.

    Shapes of one label and group_id are one object, in a frame (their union) and through the video. Without
    group_id a label that occurs at most once in every frame of a video is one object. The frames of a video
    are the images that have a JSON, in the order of its name (2 before 10).

    Args:
        root: holds a folder per video, or is the folder of one video.
        merge_labels, numbers: as `read_labels`.

    Raises:
        DataError: a JSON or image that is broken or missing, an unusable shape, an object of unclear identity, or
            labels of unclear meaning.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected a folder per video with labelme's JSON files")
    folders = [folder for folder in folders_in(root) if _labels_in(folder)]
    if not folders and _labels_in(root):
        folders = [root]
    if not folders:
        raise DataError(f"{root}: no JSON file in it or in a folder below; expected a folder per video")
    # All at once, since the categories come first; embedded images are dropped on the way.
    videos = {folder: [_read_frame(path, Path(root)) for path in _labels_in(folder)] for folder in folders}
    labels = [label for frames in videos.values() for f in frames for label, _ in f.identities]
    meaning = read_labels(labels, root, merge_labels=merge_labels, numbers=numbers)
    ids = {label: number for number, label in enumerate(sorted({label for label, _ in meaning.values()}), 1)}
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for folder, labelled in videos.items():
            frames = [frame.as_meant(meaning) for frame in labelled]
            images = [frame.image for frame in frames]
            size = common_size(images, [frame.declared_size for frame in frames])
            yield SourceVideo(folder.resolve().name, images, size, _tracks(frames, size, ids, notes))
            note_unlisted(sorted({image.parent for image in images}), images, notes)

    categories = [Category(number, label) for label, number in ids.items()]
    return SourceSet(root, categories, len(videos), read_all(), notes)


def _labels_in(folder: Path) -> list[Path]:
    return by_number(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _read_frame(path: Path, root: Path) -> _LabelledFrame:
    content = load_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not isinstance(content.get("imagePath"), str):
        raise DataError(f"{path}: expected labelme's form, an object with shapes and imagePath")
    # labelme on Windows writes backslashes.
    image = path.parent / content["imagePath"].replace("\\", "/")
    if not image.is_file() and content.get("imageData"):
        raise DataError(
            f"{path}: imagePath {content['imagePath']}: no such image; the JSON holds it as imageData, in base64: "
            "write it to that file (labelme's labelme_export_json does)"
        )
    if not image.is_file():
        raise DataError(f"{path}: imagePath {content['imagePath']}: no such image; put it there, or mend the path")
    # Images often lie in a folder beside that of the labels.
    if not image.resolve().is_relative_to(root.resolve().parent):
        name = shortened(content["imagePath"])
        raise DataError(f"{path}: imagePath {name} leads out of {root.resolve().parent}; copy the images there")
    declared = content.get("imageHeight"), content.get("imageWidth")
    found = _LabelledFrame(path, image, declared, [], [])
    for number, shape in enumerate(shapes, 1):
        _read_shape(shape, f"{path}: shape {number}", found)
    return found


def _read_shape(shape: Any, where: str, frame: _LabelledFrame) -> None:
    """Add a shape to those of its frame; masks stay packed until their video's turn."""
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise DataError(f"{where}: expected an object with label and points")
    label, group, kind = shape["label"], shape.get("group_id"), shape.get("shape_type") or "polygon"
    where = f"{where} ({label})"
    if isinstance(group, float | str) and str(group).strip().removesuffix(".0").isdecimal():  # as text, or 1.0
        group = int(float(group))
    if group is not None and not is_whole(group):
        raise DataError(f"{where}: group_id is {shortened(group)}; expected a whole number")
    if kind == "mask":
        frame.masks.append(((label, group), {"points": shape.get("points"), "mask": shape.get("mask")}, where))
        return
    points = shape.get("points")
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise DataError(f"{where}: points are {shortened(points)}; expected [[x, y], ...]")
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    elif kind not in ("polygon", "rectangle"):
        raise DataError(
            f"{where}: shape_type is {kind}; expected polygon, rectangle or mask: draw its outline as a polygon"
        )
    if len(points) < 3:
        raise DataError(f"{where}: {len(points)} points; a polygon has at least 3")
    frame.polygons.append(((label, group), [coordinate for point in points for coordinate in point]))


def _tracks(frames: list[_LabelledFrame], size: Size, ids: dict[str, int], notes: Notes) -> list[SourceTrack]:
    _check_identities(frames)
    reach = Reach()
    masks: dict[Identity, dict[int, Rle]] = {}
    for index, frame in enumerate(frames):
        where = f"{frame.path}: imageHeight and imageWidth of {frame.image}"
        check_declared_size(frame.declared_size, size, where, notes)
        polygons: dict[Identity, list[Polygon]] = {}
        for identity, polygon in frame.polygons:
            polygons.setdefault(identity, []).append(polygon)
        drawn: dict[Identity, list[Rle]] = {}
        for identity, parts in polygons.items():
            try:
                drawn.setdefault(identity, []).append(to_rle(parts, *size))
            except DataError as error:
                raise DataError(f"{frame.path}: label {identity[0]}: {error}") from None
            reach.add(parts, f"{frame.path}: label {identity[0]}")
        for identity, shape, where in frame.masks:
            drawn.setdefault(identity, []).append(decode_labelme_mask(shape, size, where))
        for identity, rles in drawn.items():
            masks.setdefault(identity, {})[index] = unite(rles)
    reach.check(size, notes)
    return [SourceTrack(ids[label], by_frame) for (label, _), by_frame in masks.items()]


def _check_identities(frames: list[_LabelledFrame]) -> None:
    """Refuse a label without group_id that occurs twice in a frame, or elsewhere in the video with one."""
    remedy = "give each object a number of its own as group_id (labelme: Edit Label), the same in all its frames"
    grouped = {label for frame in frames for label, group in frame.identities if group is not None}
    for frame in frames:
        single = [label for label, group in frame.identities if group is None]
        for label in single:
            if single.count(label) > 1:
                raise DataError(
                    f"{frame.path}: label {label} occurs {single.count(label)} times without group_id; {remedy}"
                )
            if label in grouped:
                raise DataError(
                    f"{frame.path}: label {label} without group_id, while others of this video have one; {remedy}"
                )
