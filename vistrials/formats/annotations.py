"""Annotation files in YouTube-VIS form (2019, 2021, OVIS) -> VideoSet. Masks stay encoded until asked for."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.formats.annotation_faults import (
    NO_ANNOTATIONS,
    Record,
    find_faults,
    is_absent,
    name_track,
    with_whole_numbers,
)
from vistrials.formats.file_kinds import refuse_other_kinds
from vistrials.formats.findings import Finding, summarise
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import decode, to_rle
from vistrials.formats.track_masks import decode_track
from vistrials.structures.video import AnnotatedTrack, Category, Video, VideoSet


def load_video_set(annotations: Path, frames_dir: Path, require_annotations: bool = True) -> VideoSet:
    """Load an annotation file.

    Args:
        annotations: .json or .json.gz in YouTube-VIS form.
        frames_dir: folder that the file names of the videos start from (not looked at here).
        require_annotations: False also accepts the official validation sets, which come without tracks.

    Returns:
        Videos, categories and tracks in file order; segmentations as the file has them, None where absent; boxes and
        areas that a track leaves out, as a whole or in some frames, are those of its masks, as are areas of 0.

    Raises:
        DataError: the file, its structure or a mask is broken; the message names the video, annotation or category.
    """
    return build_video_set(load_json(annotations), frames_dir, str(annotations), require_annotations)


def build_video_set(document: Any, frames_dir: Path, source: str, require_annotations: bool = True) -> VideoSet:
    """Turn a parsed annotation file into records; as `load_video_set`, with `source` to name in errors."""
    document = with_whole_numbers(document)
    refuse_faults(document, source, needs_annotations=require_annotations)
    if require_annotations and not document["annotations"]:
        raise DataError(f"{source}: {NO_ANNOTATIONS}")
    sizes = {video["id"]: (video["height"], video["width"]) for video in document["videos"]}
    tracks: dict[int, list[AnnotatedTrack]] = {}
    left_out: list[Finding] = []
    for record in document.get("annotations") or []:
        track = _read_track(record, sizes[record["video_id"]], source, left_out)
        tracks.setdefault(record["video_id"], []).append(track)
    return VideoSet(
        tuple(Category(record["id"], category_name(record)) for record in document["categories"]),
        tuple(
            Video(
                record["id"],
                record["height"],
                record["width"],
                tuple(record["file_names"]),
                tuple(tracks.get(record["id"], ())),
            )
            for record in document["videos"]
        ),
        Path(frames_dir),
        summarise(left_out),
    )


def refuse_faults(
    document: Any, source: str, *, needs_annotations: bool = True, needs_frames: bool = True
) -> list[Finding]:
    """Refuse an annotation file's value at the first fault of its structure; see `find_faults`.

    Returns:
        The warnings.

    Raises:
        DataError: names the entry, what was found and what is expected; or another form that the file has.
    """
    warnings = []
    for finding in find_faults(document, needs_annotations=needs_annotations, needs_frames=needs_frames):
        if finding.severity == "error":
            refuse_other_kinds(document, source)
            raise DataError(f"{source}: {finding}")
        warnings.append(finding)
    return warnings


def category_name(record: Record) -> str:
    """A category's name; its id where it has none."""
    return str(record.get("name", record["id"]))


def decode_mask(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Decode one segmentation of any encoding.

    Args:
        segmentation: compressed or uncompressed RLE, or polygons.
        height, width: of the video, in pixels.

    Returns:
        uint8 [height, width] of 0 and 1.

    Raises:
        DataError: it is no mask, or one of another size.
    """
    mask = decode(to_rle(segmentation, height, width))
    if mask.shape != (height, width):
        rows, columns = mask.shape
        raise DataError(f"a mask of {rows} x {columns} pixels (height x width); the video has {height} x {width}")
    return mask


def _read_track(record: Record, size: tuple[int, int], source: str, left_out: list[Finding]) -> AnnotatedTrack:
    segmentations = [None if is_absent(segmentation) else segmentation for segmentation in record["segmentations"]]
    decoded = decode_track(segmentations, size, name_track(record))
    if decoded.faults:
        raise DataError(f"{source}: {decoded.faults[0]}")
    left_out += decoded.left_out
    bboxes, areas = (_of_every_frame(record.get(key), len(segmentations)) for key in ("bboxes", "areas"))
    # An area of 0 beside a mask is a placeholder.
    if any(bboxes[frame] is None or not areas[frame] for frame in decoded.frames):
        for frame, box, area in zip(decoded.frames, decoded.boxes.tolist(), decoded.areas.tolist(), strict=True):
            bboxes[frame] = box if bboxes[frame] is None else bboxes[frame]
            areas[frame] = areas[frame] or area
    return AnnotatedTrack(
        record["id"], record["category_id"], bool(record.get("iscrowd")), bboxes, areas, segmentations
    )


def _of_every_frame(values: list[Any] | None, num_frames: int) -> list[Any]:
    """A list of its own, of nothing where the file has none."""
    return [None] * num_frames if values is None else list(values)
