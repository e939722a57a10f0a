"""One JSON for all videos: COCO with an annotation per frame, or YouTube-VIS with one per track."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vistrials.data.export.source import ExportSet
from vistrials.errors import DataError
from vistrials.formats.json_file import save_json_atomic
from vistrials.formats.track_masks import track_record

Progress = Callable[[int, int], None]
Record = dict[str, Any]


def write_coco(source: ExportSet, out: Path, progress: Progress | None = None) -> int:
    """Write COCO with videos, as `data.convert.coco_video` reads it.

    Images have video_id and frame_id, annotations track_id and instance_id (a number of their own for each track, over
    all videos), predictions a score. Masks are whole where they overlap.

    Returns:
        How many annotations were written.

    Raises:
        DataError: a mask is broken, or there is none.
    """
    videos: list[Record] = []
    images: list[Record] = []
    annotations: list[Record] = []
    num_tracks = 0
    for done, video in enumerate(source.videos, 1):
        height, width = video.size
        videos.append({"id": video.video.id, "name": video.name, "height": height, "width": width})
        first = len(images) + 1
        for frame, name in enumerate(video.video.file_names):
            image = {"id": first + frame, "video_id": video.video.id, "frame_id": frame, "file_name": name}
            images.append({**image, "height": height, "width": width})
        for track in video.tracks:
            num_tracks += 1
            record = track_record(video.masks(track), video.size, is_crowd=track.is_crowd)
            for frame, mask in enumerate(record["segmentations"]):
                if mask is not None:
                    ids = {"id": len(annotations) + 1, "image_id": first + frame, "category_id": track.category_id}
                    shape = {"segmentation": mask, "bbox": record["bboxes"][frame], "area": record["areas"][frame]}
                    same = {"iscrowd": int(track.is_crowd), "track_id": num_tracks, "instance_id": num_tracks}
                    score = {} if track.score is None else {"score": track.score}
                    annotations.append({**ids, **shape, **same, **score})
        if progress is not None:
            progress(done, len(source.videos))
    _save(source, out, {"videos": videos, "images": images, "annotations": annotations})
    return len(annotations)


def write_youtube_vis_file(source: ExportSet, out: Path, progress: Progress | None = None) -> int:
    """Write YouTube-VIS form: masks compressed, boxes and areas computed from them; predictions keep their score.

    Returns:
        How many tracks were written; those without a pixel are left out, and counted.

    Raises:
        DataError: as `write_coco`.
    """
    videos: list[Record] = []
    annotations: list[Record] = []
    for done, video in enumerate(source.videos, 1):
        height, width = video.size
        head = {"id": video.video.id, "height": height, "width": width, "length": len(video.video)}
        videos.append({**head, "file_names": list(video.video.file_names)})
        for track in video.tracks:
            record = track_record(video.masks(track), video.size, is_crowd=track.is_crowd)
            if not any(record["areas"]):
                source.notes.add("tracks have no pixel and were left out", track.where)
                continue
            ids = {"id": len(annotations) + 1, "video_id": video.video.id, "category_id": track.category_id}
            annotations.append({**ids, **record, **({} if track.score is None else {"score": track.score})})
        if progress is not None:
            progress(done, len(source.videos))
    _save(source, out, {"videos": videos, "annotations": annotations})
    return len(annotations)


def _save(source: ExportSet, out: Path, document: Record) -> None:
    if not document["annotations"]:
        raise DataError(f"{source.origin}: no mask to export; lower --min-score if these are predictions")
    categories = [{"id": category.id, "name": category.name} for category in source.categories]
    out.parent.mkdir(parents=True, exist_ok=True)
    save_json_atomic(out, {"categories": categories, **document})
