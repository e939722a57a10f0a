"""Exported and converted back: the same masks, categories and identities, whatever the data."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.convert.other_forms import converted_masks
from vistrials.data.convert.coco_video import read_coco_video
from vistrials.data.convert.davis import read_davis
from vistrials.data.convert.mots import read_mots
from vistrials.data.convert.writing import Converted, SourceSet, write_youtube_vis
from vistrials.data.convert.youtube_vis import read_youtube_vis
from vistrials.data.export.annotation_files import write_coco, write_youtube_vis_file
from vistrials.data.export.davis import write_davis
from vistrials.data.export.mots import write_mots
from vistrials.data.export.source import ExportSet, export_annotations
from vistrials.formats.annotations import load_video_set
from vistrials.formats.rle import encode

Object = tuple[str, str, dict[int, bytes]]  # video, category, masks by frame


@st.composite
def documents(draw: Any, overlapping: bool = False) -> dict[str, Any]:
    """A YouTube-VIS file of one or two videos whose objects are disjoint, but for `overlapping`; each has a pixel."""
    ids = draw(st.lists(st.integers(1, 64).filter(lambda n: n != 10), min_size=1, max_size=3, unique=True))
    categories = [{"id": number, "name": f"category {number}"} for number in ids]
    videos, annotations = [], []
    for video_id in range(1, draw(st.integers(1, 2)) + 1):
        height, width, length = (draw(st.integers(1, high)) for high in (5, 5, 3))
        names = [f"v{video_id}/{7 * frame:05d}.png" for frame in range(length)]
        head = {"id": video_id, "height": height, "width": width, "length": length}
        videos.append({**head, "file_names": names})
        num_objects = draw(st.integers(1, 3))
        pixels = st.lists(st.integers(0, num_objects), min_size=height * width, max_size=height * width)
        if overlapping:
            drawn = [[np.array(draw(pixels)) == 1 for _ in range(length)] for _ in range(num_objects)]
        else:
            labels = [np.array(draw(pixels)) for _ in range(length)]
            drawn = [[of_frame == number for of_frame in labels] for number in range(1, num_objects + 1)]
        for masks in drawn:
            if any(mask.any() for mask in masks):
                rles = [encode(mask.reshape(height, width)) if mask.any() else None for mask in masks]
                ids_of = {"id": len(annotations) + 1, "video_id": video_id, "category_id": draw(st.sampled_from(ids))}
                annotations.append({**ids_of, "iscrowd": 0, "segmentations": rles})
    return {"categories": categories, "videos": videos, "annotations": annotations}


def objects_of(path: Path) -> list[Object]:
    document = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    of_video: dict[int, int] = {}
    found = []
    masks = converted_masks(path)
    for track in document["annotations"]:
        position = of_video.setdefault(track["video_id"], 0)
        of_video[track["video_id"]] += 1
        video = next(v for v in document["videos"] if v["id"] == track["video_id"])["file_names"][0].split("/")[0]
        by_frame = {frame: np.packbits(mask).tobytes() for frame, mask in masks[video, position].items()}
        found.append((video, names[track["category_id"]], by_frame))
    return found


def round_trip(document: dict[str, Any], export: Callable[[ExportSet, Path], int], back: Callable[[Path], SourceSet]):
    """(What went in, what came back, the files of both); only of documents with an object."""
    with TemporaryDirectory() as folder:
        path, frames = Path(folder) / "train.json", Path(folder) / "JPEGImages"
        path.write_text(json.dumps(document))
        for video in document["videos"]:
            for name in video["file_names"]:
                (frames / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.zeros((video["height"], video["width"], 3), np.uint8)).save(frames / name)
        source = export_annotations(load_video_set(path, Path()), "train.json", frames)
        export(source, Path(folder) / "exported")
        assert source.notes.lines() == []
        made: Converted = write_youtube_vis(back(Path(folder)), Path(folder) / "back", trust_identities=True)
        return objects_of(path), objects_of(made.annotations), document, json.loads(made.annotations.read_text())


few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(documents().filter(lambda document: document["annotations"]))
def test_davis(document):
    def back(folder: Path) -> SourceSet:
        return read_davis(folder / "exported", categories=folder / "exported" / "davis_semantics.json")

    before, after, _, _ = round_trip(document, write_davis, back)
    assert after == before  # the order of the objects is that of their numbers


@few
@given(documents().filter(lambda document: document["annotations"]), st.booleans())
def test_mots(document, as_text):
    def export(source: ExportSet, out: Path) -> int:
        return write_mots(source, out, as_text=as_text)

    before, after, document, converted = round_trip(document, export, lambda folder: read_mots(folder / "exported"))
    class_of = {category["name"]: category["id"] for category in document["categories"]}
    assert after == sorted(before, key=lambda found: (found[0], class_of[found[1]]))
    assert converted["categories"] == sorted(document["categories"], key=lambda category: category["id"])


@few
@given(documents(overlapping=True).filter(lambda document: document["annotations"]))
def test_coco(document):
    def back(folder: Path) -> SourceSet:
        return read_coco_video(folder / "exported", folder / "JPEGImages")

    before, after, document, converted = round_trip(document, write_coco, back)
    assert after == before
    assert converted["categories"] == document["categories"]


@few
@given(documents(overlapping=True).filter(lambda document: document["annotations"]))
def test_youtube_vis(document):
    def back(folder: Path) -> SourceSet:
        return read_youtube_vis(folder / "exported", folder / "JPEGImages")

    before, after, document, converted = round_trip(document, write_youtube_vis_file, back)
    assert after == before
    assert [t["category_id"] for t in converted["annotations"]] == [t["category_id"] for t in document["annotations"]]
