"""CVAT's COCO 1.0 export of a video: COCO's images and annotations, with the track in the attributes.

Source: CVAT's formats README (COCO: "tracks are split into separate annotations with a track_id attribute") and its
export, which gives every brush mask iscrowd 1, as run lengths, whatever it shows. datumaro and supervision read COCO as
images and would leave the tracks to be joined here.
"""

from pathlib import Path
from typing import Any

from vistrials.data.convert.coco_video import TRACK_KEYS, join_coco_video
from vistrials.data.convert.writing import SourceSet, by_number
from vistrials.errors import DataError
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.safe_names import relative_name
from vistrials.formats.values import is_whole

Record = dict[str, Any]

IMAGE_FOLDERS = ("images/default", "images", ".")


def read_cvat_coco(annotations: Path | str, frames_dir: Path | str | None = None) -> SourceSet:
    """Read annotations/instances_default.json of CVAT.

    Images of one folder are a video, in the order of their names (2 before 10). iscrowd 1 marks a brush mask there, not
    a crowd; it is counted.

    Args:
        annotations: the JSON.
        frames_dir: folder that the file names of the images start from; by default images/default or images, beside
            the JSON or its folder.

    Raises:
        DataError: as `read_coco_video`, or annotations without a track.
    """
    path = Path(annotations)
    document = load_json(path)
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(_is_records(document.get(key)) for key in keys):
        raise DataError(f"{path}: expected COCO's form, an object with {', '.join(keys)}{tell_kind(document)}")
    name = next((part for part in path.resolve().parts[-2::-1] if part != "annotations"), path.stem) or path.stem
    _sort_images(document, name, path)
    single = [record for record in document["annotations"] if not is_whole(_track(record))]
    if single:
        raise DataError(
            f"{path}: {len(single)} of {len(document['annotations'])} annotations have no attributes.track_id (first: "
            f"annotation {single[0].get('id')}), so nothing says which are one object; draw Tracks, not Shapes"
            f"{tell_kind(document) if single[0].keys() & set(TRACK_KEYS) else ''}"
        )
    num_crowds = 0
    for record in document["annotations"]:
        record["instance_id"] = _track(record)
        num_crowds += record.pop("iscrowd", 0) == 1
    root = _find_frames(path, document["images"]) if frames_dir is None else Path(frames_dir)
    source = join_coco_video(document, path, root)
    source.notes.add(
        "masks have iscrowd 1 and were taken for objects: CVAT marks every brush mask so", path, num_crowds
    )
    return source


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(record, dict) for record in value)


def _track(record: Record) -> Any:
    attributes = record.get("attributes")
    return attributes.get("track_id") if isinstance(attributes, dict) else None


def _sort_images(document: Record, name: str, path: Path) -> None:
    """Give each image its video_id and frame_id, and videos their names."""
    by_folder: dict[str, dict[Path, Record]] = {}
    for image in document["images"]:
        file = Path(relative_name(image.get("file_name"), f"{path}: image {image.get('id')}"))
        image["file_name"] = str(file)
        frames = by_folder.setdefault(str(file.parent), {})
        if file in frames:
            raise DataError(f"{path}: image {image.get('id')}: {file} is image {frames[file].get('id')}'s file too")
        frames[file] = image
    document["videos"] = [
        {"id": video_id, "name": name if folder == "." else folder} for video_id, folder in enumerate(by_folder, 1)
    ]
    for video_id, frames in enumerate(by_folder.values(), 1):
        for frame, file in enumerate(by_number(frames)):
            frames[file].update(video_id=video_id, frame_id=frame)


def _find_frames(path: Path, images: list[Record]) -> Path:
    folders = [root / name for root in (path.parent, path.parent.parent) for name in IMAGE_FOLDERS]
    return next((folder for folder in folders if (folder / images[0]["file_name"]).is_file()), path.parent)
