"""labelme: a folder per video with a JSON of polygons and masks per frame; label and group_id identify an object."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vistrials.data.convert.labelme_mask import decode_labelme_mask
from vistrials.data.convert.writing import Size, SourceSet, SourceTrack, SourceVideo, by_number, common_size, folders_in
from vistrials.errors import DataError, shortened
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, to_rle, unite
from vistrials.formats.values import is_whole
from vistrials.structures.video import Category

Polygon = list[float]
Identity = tuple[str, int | None]  # label, group_id


@dataclass(frozen=True, slots=True)
class _LabelledFrame:
    path: Path
    image: Path
    declared_size: Size | None
    polygons: list[tuple[Identity, Polygon]]
    masks: list[tuple[Identity, dict[str, Any], str]]  # shape, and how messages name it

    @property
    def identities(self) -> list[Identity]:
        return [shape[0] for shape in self.polygons] + [shape[0] for shape in self.masks]


def read_labelme(root: Path | str) -> SourceSet:
    """Read videos labelled with labelme.

    Shapes of one label and group_id are one object, in a frame (their union) and through the video. Without
    group_id a label that occurs at most once in every frame of a video is one object. The frames of a video
    are the images that have a JSON, in the order of its name (2 before 10).

    Args:
        root: holds a folder per video, or is the folder of one video.

    Raises:
        DataError: a JSON or image that is broken or missing, an unusable shape, or an object of unclear identity.
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
    videos = {folder: [_read_frame(path) for path in _labels_in(folder)] for folder in folders}
    labels = sorted({label for frames in videos.values() for frame in frames for label, _ in frame.identities})
    ids = {label: number for number, label in enumerate(labels, 1)}

    def read_all() -> Iterator[SourceVideo]:
        for folder, frames in videos.items():
            images = [frame.image for frame in frames]
            size = common_size(images)
            yield SourceVideo(folder.resolve().name, images, size, _tracks(frames, size, ids))

    return SourceSet(root, [Category(number, label) for label, number in ids.items()], len(videos), read_all())


def _labels_in(folder: Path) -> list[Path]:
    return by_number(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _read_frame(path: Path) -> _LabelledFrame:
    content = load_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not isinstance(content.get("imagePath"), str):
        raise DataError(f"{path}: expected labelme's form, an object with shapes and imagePath")
    # labelme on Windows writes backslashes.
    image = path.parent / content["imagePath"].replace("\\", "/")
    if not image.is_file():
        raise DataError(f"{path}: imagePath {content['imagePath']}: no such image; put it there, or mend the path")
    declared = content.get("imageHeight"), content.get("imageWidth")
    found = _LabelledFrame(path, image, (declared[0], declared[1]) if all(map(is_whole, declared)) else None, [], [])
    for number, shape in enumerate(shapes, 1):
        _read_shape(shape, f"{path}: shape {number}", found)
    return found


def _read_shape(shape: Any, where: str, frame: _LabelledFrame) -> None:
    """Add a shape to those of its frame; masks stay packed until their video's turn."""
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
        raise DataError(f"{where}: expected an object with label and points")
    label, group, kind = shape["label"], shape.get("group_id"), shape.get("shape_type") or "polygon"
    where = f"{where} ({label})"
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


def _tracks(frames: list[_LabelledFrame], size: Size, ids: dict[str, int]) -> list[SourceTrack]:
    _check_identities(frames)
    masks: dict[Identity, dict[int, Rle]] = {}
    for index, frame in enumerate(frames):
        if frame.declared_size not in (None, size):
            raise DataError(
                f"{frame.path}: imageHeight and imageWidth are {shortened(frame.declared_size)}, while {frame.image} "
                f"has {size[0]} x {size[1]} pixels (height x width); label the image that is there"
            )
        polygons: dict[Identity, list[Polygon]] = {}
        for identity, polygon in frame.polygons:
            polygons.setdefault(identity, []).append(polygon)
        drawn: dict[Identity, list[Rle]] = {}
        for identity, parts in polygons.items():
            try:
                drawn.setdefault(identity, []).append(to_rle(parts, *size))
            except DataError as error:
                raise DataError(f"{frame.path}: label {identity[0]}: {error}") from None
        for identity, shape, where in frame.masks:
            drawn.setdefault(identity, []).append(decode_labelme_mask(shape, size, where))
        for identity, rles in drawn.items():
            masks.setdefault(identity, {})[index] = unite(rles)
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
