import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.convert.other_forms import records, write_frame
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.cvat_coco import read_cvat_coco
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError


def annotation(number: int, image: int, track: Any, x: int, **more: Any) -> dict[str, Any]:
    """A 4 x 5 polygon."""
    points = [x, 2, x + 4, 2, x + 4, 7, x, 7]
    attributes = {"occluded": False, "rotation": 0.0, "keyframe": True, "track_id": track}
    head = {"id": number, "image_id": image, "category_id": 1, "segmentation": [points], "iscrowd": 0}
    return {**head, "attributes": {k: v for k, v in attributes.items() if v is not None}, **more}


def write_export(root: Path, annotations: list[Any], names: list[str] | None = None) -> Path:
    names = names or ["frame_000000.png", "frame_000010.png", "frame_000002.png"]
    for name in names:
        write_frame(root / "images" / "default" / name)
    images = [{"id": i, "file_name": name, "width": 32, "height": 24} for i, name in enumerate(names, 1)]
    path = root / "annotations" / "instances_default.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


BRUSH = {"counts": [24 * 2 + 3, 5, 24 * 30 - 8], "size": [24, 32]}


def test_tracks_are_those_of_the_attributes(tmp_path):
    listed = [
        annotation(1, 1, 0, 1),
        annotation(2, 2, 0, 9),  # frame 10, the last
        annotation(3, 3, 1, 20, category_id=2, segmentation=BRUSH, iscrowd=1),
    ]
    source = read_cvat_coco(write_export(tmp_path / "walk", listed))
    made = write_youtube_vis(source, tmp_path / "out")
    assert [(t["category_id"], t["iscrowd"], t["areas"]) for t in records(made.annotations)] == [
        (1, 0, [20, None, 20]),
        (2, 0, [None, 5, None]),
    ]
    names = json.loads(made.annotations.read_text())["videos"][0]["file_names"]
    assert names == [f"walk/frame_{number:06d}.png" for number in (0, 2, 10)]
    assert source.notes.lines()[0].startswith("1 masks have iscrowd 1 and were taken for objects")
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_folders_are_videos_with_tracks_of_their_own(tmp_path):
    listed = [annotation(1, 1, 0, 1), annotation(2, 2, 0, 9)]
    path = write_export(tmp_path / "project", listed, ["a/1.png", "b/1.png"])
    made = write_youtube_vis(read_cvat_coco(path), tmp_path / "out")
    assert [(t["video_id"], t["areas"]) for t in records(made.annotations)] == [(1, [20]), (2, [20])]


def test_faults_are_named(tmp_path):
    def refused(message: str, listed: list[Any], names: list[str] | None = None) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_cvat_coco(write_export(tmp_path / "walk", listed, names)), tmp_path / "out")

    good = annotation(1, 1, 0, 1)
    refused("1 of 2 annotations have no attributes.track_id .first: annotation 2.", [good, annotation(2, 2, None, 1)])
    refused("annotation 2: instance_id 0 occurs twice in image 1", [good, annotation(2, 1, 0, 9)])
    refused("annotation 1: no segmentation; a box alone is no mask", [annotation(1, 1, 0, 1, segmentation=[])])
    refused("image 2: a.png is image 1's file too", [good], ["a.png", "a.png"])
    path = write_export(tmp_path / "walk", [good])
    document = json.loads(path.read_text())
    document["images"][1]["width"] = 64
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"image 2 \(.*\): height x width are declared as 24 x 64 pixels, while"):
        write_youtube_vis(read_cvat_coco(path), tmp_path / "out")
    document["images"][0]["file_name"] = "../../../x.png"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="leads out of the folder of frames"):
        read_cvat_coco(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="expected COCO's form"):
        read_cvat_coco(path)
