import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.coco_video import read_coco_video
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.rle import decode_runs, encode

CAT = [drawn((1, 2, 3, 10, 8)) == 1, drawn((1, 3, 3, 10, 8)) == 1, drawn((1, 4, 3, 10, 8)) == 1]
DOG = drawn((1, 20, 10, 6, 12)) == 1


def annotation(number: int, image: int, category: int, identity: int, mask: np.ndarray) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "instance_id": identity,
        "iscrowd": 0,
        "segmentation": encode(mask),
    }


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """Video 4 of three images, given out of order; video 9 of one. The dog is in image 12 (frame 1) only."""
    for name in ("v/0.png", "v/1.png", "v/2.png", "w/0.png"):
        write_frame(tmp_path / "images" / name)
    images = [
        {"id": 13, "video_id": 4, "frame_id": 20, "file_name": "v/2.png", "height": 24, "width": 32},
        {"id": 11, "video_id": 4, "frame_id": 0, "file_name": "v/0.png", "height": 24, "width": 32},
        {"id": 12, "video_id": 4, "frame_id": 10, "file_name": "v/1.png", "height": 24, "width": 32},
        {"id": 14, "video_id": 9, "frame_id": 0, "file_name": "w/0.png", "height": 24, "width": 32},
    ]
    annotations = [
        annotation(1, 12, 7, 0, CAT[1]),
        annotation(2, 11, 7, 0, CAT[0]),
        annotation(3, 13, 7, 0, CAT[2]),
        annotation(4, 12, 90, 1, DOG),
        annotation(5, 14, 90, 0, DOG),  # identities count anew in each video
    ]
    return {
        "videos": [{"id": 4, "name": "walk/one"}, {"id": 9, "name": "two"}, {"id": 10, "name": "unused"}],
        "images": images,
        "categories": [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}],
        "annotations": annotations,
    }


def convert(folder: Path, document: Any, **options: Any) -> Path:
    path = folder / "coco.json"
    path.write_text(json.dumps(document))
    return write_youtube_vis(read_coco_video(path, folder / "images"), folder / "out", **options).annotations


def test_annotations_of_one_identity_are_a_track(document, tmp_path):
    made = convert(tmp_path, document)
    assert json.loads(made.read_text())["categories"] == document["categories"]
    assert json.loads(made.read_text())["videos"][0]["file_names"] == [f"walk_one/{i}.png" for i in range(3)]
    assert [(t["video_id"], t["category_id"]) for t in records(made)] == [(1, 7), (1, 90), (2, 90)]
    masks = converted_masks(made)
    assert all((masks["walk_one", 0][frame] == CAT[frame]).all() for frame in range(3))
    assert masks["walk_one", 1].keys() == {1} and (masks["walk_one", 1][1] == DOG).all()
    assert masks["two", 0].keys() == {0}
    assert check_dataset(made, tmp_path / "out" / "JPEGImages").problems == ()


def test_the_other_names_of_the_keys_give_the_same(document, tmp_path):
    expected = convert(tmp_path, document).read_text()
    (tmp_path / "tao").mkdir()
    (tmp_path / "tao" / "images").symlink_to(tmp_path / "images")
    for image in document["images"]:
        image["frame_index"] = image.pop("frame_id")
    for record in document["annotations"]:
        record["track_id"] = record.pop("instance_id")
    assert convert(tmp_path / "tao", document).read_text() == expected


def test_polygons_and_lists_of_runs(document, tmp_path):
    expected = converted_masks(convert(tmp_path, document))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "images").symlink_to(tmp_path / "images")
    # The corner points of a box with whole-numbered sides rasterise to just that box.
    document["annotations"][3]["segmentation"] = [[20, 10, 26, 10, 26, 22, 20, 22]]
    runs = document["annotations"][0]["segmentation"]
    document["annotations"][0]["segmentation"] = {"size": [24, 32], "counts": decode_runs([runs]).lengths.tolist()}
    found = converted_masks(convert(tmp_path / "other", document))
    assert found.keys() == expected.keys()
    for track, by_frame in expected.items():
        assert all((found[track][frame] == mask).all() for frame, mask in by_frame.items())


def test_crowds_stay_crowds_and_videos_need_no_record(document, tmp_path):
    document["annotations"][4]["iscrowd"] = 1
    del document["videos"]
    made = convert(tmp_path, document)
    assert [track["iscrowd"] for track in records(made)] == [0, 0, 1]
    assert {name for name, _ in converted_masks(made)} == {"4", "9"}


def test_frames_lie_beside_the_file_by_default(document, tmp_path):
    path = tmp_path / "images" / "coco.json"
    path.write_text(json.dumps(document))
    assert write_youtube_vis(read_coco_video(path), tmp_path / "out").num_frames == 4


FAULTS = {
    "annotation 4: no segmentation; a box alone is no mask": lambda d: d["annotations"][3].update(segmentation=[]),
    "annotation 4: instance_id is missing; expected a whole number": lambda d: d["annotations"][3].pop("instance_id"),
    "annotation 4: image_id 99 is not among the images": lambda d: d["annotations"][3].update(image_id=99),
    "annotation 4: category_id 1 is not among the categories": lambda d: d["annotations"][3].update(category_id=1),
    "annotation 1: category_id is 90, while annotation 2 of the same instance_id 0 has 7": lambda d: (
        d["annotations"].insert(0, d["annotations"].pop(1)),
        d["annotations"][1].update(category_id=90),
    ),
    "annotation 3: iscrowd is 1, while annotation 1": lambda d: d["annotations"][2].update(iscrowd=1),
    "annotation 2: instance_id 0 occurs twice in image 12": lambda d: d["annotations"][1].update(image_id=12),
    "id 4 occurs twice in annotations": lambda d: d["annotations"][4].update(id=4),
    "image 12: frame_id is missing": lambda d: d["images"][2].pop("frame_id"),
    "image 12: frame_id 0 of video 4 is image 11's too": lambda d: d["images"][2].update(frame_id=0),
    "image 13: video_id is missing": lambda d: d["images"][0].pop("video_id"),
    "image 13: file_name is missing": lambda d: d["images"][0].pop("file_name"),
    "video_id 4 of an image is not among the videos": lambda d: d["videos"].pop(0),
    "v/x.png: no such frame; say with --frames": lambda d: d["images"][0].update(file_name="v/x.png"),
    "images is missing or empty": lambda d: d.update(images=[]),
    "categories is missing or empty": lambda d: d.pop("categories"),
    "annotations is missing or empty": lambda d: d.update(annotations=[]),
    "annotation 4: a mask of 10 x 10 pixels": lambda d: d["annotations"][3].update(
        segmentation=encode(np.ones((10, 10)))
    ),
    "annotation 4: counts end inside a number": lambda d: d["annotations"][3]["segmentation"].update(counts="P"),
}


@pytest.mark.parametrize("message", FAULTS)
def test_faults_are_named(document, tmp_path, message):
    broken = copy.deepcopy(document)
    FAULTS[message](broken)
    with pytest.raises(DataError, match=message) as caught:
        convert(tmp_path, broken)
    assert "coco.json: " in str(caught.value) or "no such frame" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_object_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected an object with images, annotations and categories"):
        convert(tmp_path, [])
