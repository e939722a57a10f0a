"""COCO-style video annotations (CocoVID, TAO): an annotation per object and image -> tracks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vistrials.data.convert.agreement import Declared, Reach, check_declared_size, check_masks
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import (
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    check_mask_size,
    common_size,
    note_unlisted,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, to_rle
from vistrials.formats.values import is_whole
from vistrials.structures.video import Category

FRAME_KEYS = ("frame_id", "frame_index")
TRACK_KEYS = ("instance_id", "track_id")

Record = dict[str, Any]


def read_coco_video(annotations: Path | str, frames_dir: Path | str | None = None) -> SourceSet:
    """Read one COCO-style annotation file of videos.

    Images carry video_id and frame_id (or frame_index), annotations instance_id (or track_id) and a
    segmentation: run-length mask or polygons. Ids of categories stay as they are. What else they declare, sizes, boxes,
    areas, tracks, is held against frames and masks (see `agreement`).

    Args:
        annotations: .json or .json.gz.
        frames_dir: folder that the file names of the images start from; by default the file's own.

    Raises:
        DataError: keys, images or masks that are missing or contradict each other or what the file declares.
    """
    path = Path(annotations)
    frames_dir = path.parent if frames_dir is None else Path(frames_dir)
    document = load_json(path)
    if not isinstance(document, dict):
        found = tell_kind(document)
        raise DataError(f"{path}: expected an object with images, annotations and categories{found}")
    return join_coco_video(document, path, frames_dir)


def join_coco_video(document: Record, path: Path, frames_dir: Path) -> SourceSet:
    """The set of a parsed file; `path` names it in messages. As `read_coco_video`."""
    images = _by_id(document, "images", path)
    categories = _by_id(document, "categories", path)
    names = _video_names(document, images, path)
    videos = _by_id(document, "videos", path) if document.get("videos") else {}
    images_of: dict[int, list[Record]] = {}
    for image in images.values():
        images_of.setdefault(image["video_id"], []).append(image)
    annotations_of: dict[int, list[Record]] = {}
    for annotation in _by_id(document, "annotations", path).values():
        where = f"{path}: annotation {annotation['id']}"
        if _whole(annotation, "image_id", where) not in images:
            raise DataError(f"{where}: image_id {annotation['image_id']} is not among the images")
        if _whole(annotation, "category_id", where) not in categories:
            raise DataError(f"{where}: category_id {annotation['category_id']} is not among the categories")
        video_id = images[annotation["image_id"]]["video_id"]
        if annotation.get("video_id") not in (None, video_id):
            raise DataError(
                f"{where}: video_id is {shortened(annotation['video_id'])}, while its image {annotation['image_id']} "
                f"is of video {video_id}; mend one of them"
            )
        annotations_of.setdefault(video_id, []).append(annotation)
    _check_tracks(document, annotations_of, path)
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for video_id, video_images in sorted(images_of.items()):
            ordered = _in_time(video_images, path)
            frames = [frames_dir / image["file_name"] for image in ordered]
            missing = next((frame for frame in frames if not frame.is_file()), None)
            if missing is not None:
                raise DataError(f"{missing}: no such frame; say with --frames where file names start from")
            video = videos.get(video_id, {})
            size = common_size(frames, [_declared_size(image) or _declared_size(video) for image in ordered])
            for image in ordered:
                where = f"{path}: image {image['id']} (video {video_id}, {image['file_name']})"
                check_declared_size((image.get("height"), image.get("width")), size, where, notes)
            check_declared_size((video.get("height"), video.get("width")), size, f"{path}: video {video_id}", notes)
            index_of = {image["id"]: index for index, image in enumerate(ordered)}
            tracks = _join(annotations_of.get(video_id, []), index_of, size, path, notes)
            yield SourceVideo(names[video_id], frames, size, tracks)
        listed = [frames_dir / image["file_name"] for image in images.values()]
        note_unlisted(sorted({file.parent for file in listed}), listed, notes)

    found = [Category(record["id"], str(record.get("name", record["id"]))) for record in categories.values()]
    return SourceSet(path, found, len(images_of), read_all(), notes)


def _check_tracks(document: Record, annotations_of: dict[int, list[Record]], path: Path) -> None:
    """Hold a list of tracks (TAO) against the annotations that name them."""
    if not document.get("tracks"):
        return
    tracks = _by_id(document, "tracks", path)
    for video_id, annotations in annotations_of.items():
        for annotation in annotations:
            identity = annotation.get("track_id")
            track = tracks.get(identity) if is_whole(identity) else None
            if track is None:
                continue
            for key, mine in (("category_id", annotation["category_id"]), ("video_id", video_id)):
                if track.get(key) not in (None, mine):
                    raise DataError(
                        f"{path}: annotation {annotation['id']}: {key} is {mine}, while track {track['id']} has "
                        f"{shortened(track[key])}; mend one of them"
                    )


def _by_id(document: Record, key: str, path: Path) -> dict[int, Record]:
    records = document.get(key)
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise DataError(
            f"{path}: {key} is missing or empty; expected a list of objects as in COCO{tell_kind(document)}"
        )
    found: dict[int, Record] = {}
    for position, record in enumerate(records, 1):
        number = _whole(record, "id", f"{path}: number {position} of {key}")
        if number in found:
            raise DataError(f"{path}: id {number} occurs twice in {key}; ids must differ")
        found[number] = record
    return found


def _video_names(document: Record, images: dict[int, Record], path: Path) -> dict[int, str]:
    """Video id -> name, of all videos that have images."""
    for image in images.values():
        where = f"{path}: image {image['id']}"
        _whole(image, "video_id", where)
        if not isinstance(image.get("file_name"), str):
            raise DataError(f"{where}: file_name is missing")
    names = {image["video_id"]: str(image["video_id"]) for image in images.values()}
    if document.get("videos"):
        videos = _by_id(document, "videos", path)
        for video_id in names:
            if video_id not in videos:
                raise DataError(f"{path}: video_id {video_id} of an image is not among the videos")
            names[video_id] = str(videos[video_id].get("name", video_id))
    return names


def _in_time(images: list[Record], path: Path) -> list[Record]:
    seen: dict[int, Record] = {}
    for image in images:
        where = f"{path}: image {image['id']}"
        key = next((key for key in FRAME_KEYS if key in image), FRAME_KEYS[0])
        frame = _whole(image, key, where)
        if frame in seen:
            raise DataError(f"{where}: {key} {frame} of video {image['video_id']} is image {seen[frame]['id']}'s too")
        seen[frame] = image
    return [seen[frame] for frame in sorted(seen)]


def _join(
    annotations: list[Record], index_of: dict[int, int], size: Size, path: Path, notes: Notes
) -> list[SourceTrack]:
    """The annotations of a video, joined to tracks by the identity of their object."""
    declared, reach = [], Reach()
    masks: dict[int, dict[int, Rle]] = {}
    first: dict[int, Record] = {}
    for annotation in annotations:
        where = f"{path}: annotation {annotation['id']}"
        key = next((key for key in TRACK_KEYS if key in annotation), TRACK_KEYS[0])
        identity = _whole(annotation, key, where)
        known = first.setdefault(identity, annotation)
        for same in ("category_id", "iscrowd"):
            if annotation.get(same, 0) != known.get(same, 0):
                raise DataError(
                    f"{where}: {same} is {shortened(annotation.get(same, 0))}, while annotation {known['id']} of the "
                    f"same {key} {identity} has {shortened(known.get(same, 0))}; a track has one"
                )
        index = index_of[annotation["image_id"]]
        by_frame = masks.setdefault(identity, {})
        if index in by_frame:
            raise DataError(f"{where}: {key} {identity} occurs twice in image {annotation['image_id']}")
        by_frame[index] = _mask(annotation, size, where)
        name = f"{where} (image {annotation['image_id']})"
        if isinstance(annotation["segmentation"], list):
            reach.add(_polygons(annotation["segmentation"]), name, has_box=bool(annotation.get("bbox")))
        declared.append(Declared(name, by_frame[index], annotation.get("bbox"), annotation.get("area")))
    reach.check(size, notes)
    check_masks(declared, notes)
    return [
        SourceTrack(first[identity]["category_id"], masks[identity], first[identity].get("iscrowd", 0) == 1)
        for identity in masks
    ]


def _mask(annotation: Record, size: Size, where: str) -> Rle:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        raise DataError(f"{where}: no segmentation; a box alone is no mask, and masks are what is trained on")
    try:
        rle = to_rle(segmentation, *size)
    except DataError as error:
        raise DataError(f"{where}: {str(error).removeprefix('mask: ')}") from None
    height, width = rle["size"]
    check_mask_size((height, width), size, where)
    return rle


def _declared_size(record: Record) -> tuple[Any, Any] | None:
    """Height and width of an image or a video, None where it has none."""
    sides = record.get("height"), record.get("width")
    return sides if all(sides) else None


def _polygons(segmentation: list[Any]) -> list[list[float]]:
    """The polygons that are long enough to be drawn."""
    return [polygon for polygon in segmentation if isinstance(polygon, list) and len(polygon) >= 6]


def _whole(record: Record, key: str, where: str) -> int:
    value = record.get(key)
    if not is_whole(value):
        found = "is missing" if key not in record else f"is {shortened(value)}"
        raise DataError(f"{where}: {key} {found}; expected a whole number")
    return value
