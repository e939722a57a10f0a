import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.labelme import read_labelme
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError


def polygon(label: str, x: int, y: int, w: int, h: int, group: Any = None, **more: Any) -> dict[str, Any]:
    """The outline of a box with whole-numbered sides, which rasterises to just that box."""
    points = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    return {"label": label, "points": points, "group_id": group, "shape_type": "polygon", "flags": {}, **more}


def write_label(path: Path, shapes: list[Any], image: str | None = None, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frame(path.with_suffix(".jpg"))
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image or f"{path.stem}.jpg"}
    path.write_text(json.dumps({**content, "imageData": "AAAA", "imageHeight": 24, "imageWidth": 32, **more}))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A video with two people (one in two parts) and a dog; one with a single dog without group_id."""
    root = tmp_path / "videos"
    first = [polygon("person", 1, 2, 5, 6, 1), polygon("person", 10, 2, 4, 6, 2), polygon("dog", 20, 2, 4, 4, 1)]
    write_label(root / "street" / "0001.json", first)
    second = [polygon("person", 3, 2, 5, 6, 1), polygon("person", 4, 6, 2, 8, 1)]
    write_label(root / "street" / "0002.json", second)
    write_label(root / "park" / "a.json", [polygon("dog", 5, 5, 9, 9)])
    write_label(root / "park" / "b.json", [])
    write_label(root / "park" / "c.json", [polygon("dog", 7, 5, 9, 9)])
    return root


def test_label_and_group_are_the_object(labels, tmp_path):
    made = write_youtube_vis(read_labelme(labels), tmp_path / "out")
    document = json.loads(made.annotations.read_text())
    assert document["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]
    tracks = [(t["video_id"], t["category_id"], t["areas"]) for t in document["annotations"]]
    assert tracks == [
        (1, 1, [9 * 9, None, 9 * 9]),
        (2, 2, [5 * 6, 5 * 6 + 2 * 8 - 2 * 2]),  # two parts that share 2 x 2 pixels
        (2, 2, [4 * 6, None]),
        (2, 1, [4 * 4, None]),
    ]
    masks = converted_masks(made.annotations)
    assert (masks["street", 0][1] == (drawn((1, 3, 2, 5, 6), (1, 4, 6, 2, 8)) == 1)).all()
    assert (masks["park", 0][2] == (drawn((1, 7, 5, 9, 9)) == 1)).all()
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_one_video_images_elsewhere_and_rectangles(tmp_path):
    folder = tmp_path / "walk"
    write_frame(tmp_path / "images" / "x.png")
    shape = {"label": "dog", "points": [[9, 14], [5, 5]], "shape_type": "rectangle", "group_id": None}
    write_label(folder / "x.json", [shape], image="..\\images\\x.png")
    made = write_youtube_vis(read_labelme(folder), tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[4 * 9]]
    assert (tmp_path / "out" / "JPEGImages" / "walk" / "x.png").is_file()


def test_images_without_json_are_no_frames(labels, tmp_path):
    write_frame(labels / "park" / "bb.jpg")  # in time between two frames
    (labels / "park" / "._a.json").write_text("what a file manager left")
    made = write_youtube_vis(read_labelme(labels), tmp_path / "out")
    assert made.num_frames == 3 + 2


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            [polygon("dog", 1, 1, 4, 4), polygon("dog", 9, 1, 4, 4)],
            "d.json: label dog occurs 2 times without group_id; give each object a number of its own as group_id",
        ),
        (
            [polygon("dog", 1, 1, 4, 4, 3)],
            "a.json: label dog without group_id, while others of this video have one; give each",
        ),
        ([polygon("dog", 1, 1, 4, 4, "one")], r"shape 1 \(dog\): group_id is 'one'; expected a whole number"),
        ([polygon("dog", 1, 1, 4, 4, shape_type="circle")], r"shape 1 \(dog\): shape_type is circle; .*as a polygon"),
        ([polygon("dog", 1, 1, 4, 4, points=[[1, 2], [3, 4]])], "2 points; a polygon has at least 3"),
        ([polygon("dog", 1, 1, 4, 4, points=[[1, 2], [3]])], "expected \\[\\[x, y\\], ...\\]"),
        ([polygon("dog", 1, 1, 4, 4, points=[[1, 2], [3, 4], ["x", 2]])], "d.json: label dog: a polygon is"),
        ([polygon("dog", 1, 1, 4, 4, points=[[1, 2], [3, 4], [1e9, 2]])], "d.json: label dog: a polygon has a coord"),
        ([{"points": []}], "shape 1: expected an object with label and points"),
    ],
)
def test_unclear_shapes_are_named(labels, tmp_path, shapes, message):
    write_label(labels / "park" / "d.json", shapes)
    with pytest.raises(DataError, match=message) as caught:
        write_youtube_vis(read_labelme(labels), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_faults_are_named(labels, tmp_path):
    path = labels / "park" / "d.json"

    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_labelme(labels), tmp_path / "out")

    write_label(path, [], image="gone.jpg")
    refused("d.json: imagePath gone.jpg: no such image")
    write_label(path, [], imageHeight=48, imageWidth=64)
    refused(r"d.json: imageHeight and imageWidth of .*d.jpg: height x width are declared as 48 x 64 pixels, .* 24 x 32")
    write_label(path, [], image="a.jpg")
    refused("two frames are named a.jpg")
    path.write_text("{}")
    refused("d.json: expected labelme's form")
    path.write_text('{"shapes": [')
    refused("d.json: JSON cut short")
    with pytest.raises(DataError, match="no such folder"):
        read_labelme(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no JSON file in it"):
        read_labelme(tmp_path / "empty")


def ai_mask(label: str, x: int, y: int, pixels: np.ndarray, group: Any = None, **more: Any) -> dict[str, Any]:
    """A shape as labelme's AI tools write it: the last pixels are inclusive."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    points = [[x, y], [x + pixels.shape[1] - 1, y + pixels.shape[0] - 1]]
    content = {"label": label, "points": points, "group_id": group, "shape_type": "mask"}
    return {**content, "mask": base64.b64encode(file.getvalue()).decode(), **more}


CORNER = np.array([[True, True, True, True], [True, False, False, False], [True, False, False, False]])


def test_masks_of_ai_tools(labels, tmp_path):
    joined = [ai_mask("dog", 5, 6, CORNER), polygon("cat", 1, 1, 3, 3, 1), ai_mask("cat", 2, 2, CORNER, 1)]
    write_label(labels / "park" / "b.json", joined)
    made = write_youtube_vis(read_labelme(labels), tmp_path / "out")
    masks = converted_masks(made.annotations)
    corner = {(6, 5), (6, 6), (6, 7), (6, 8), (7, 5), (8, 5)}
    assert {(int(row), int(column)) for row, column in np.argwhere(masks["park", 0][1])} == corner
    # Of the cat's corner 5 of 6 pixels: (2, 2..5), (3, 2), (4, 2); 3 of them lie in its polygon.
    assert records(made.annotations)[1]["areas"] == [None, 9 + 6 - 3, None]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (ai_mask("dog", 5, 6, CORNER, mask="AAAA"), r"shape 1 \(dog\): mask is no PNG in base64"),
        (ai_mask("dog", 5, 6, CORNER, mask="no base64!"), r"mask is no PNG in base64"),
        (ai_mask("dog", 5, 6, CORNER, mask=None), "mask is None; expected a PNG in base64"),
        (ai_mask("dog", 5, 6, CORNER, points=[[1, 2]]), r"points are \[\[1, 2\]\]; expected the mask's corners"),
        (ai_mask("dog", 5, 6, CORNER, points=[[5, 6], [9, 8]]), r"a mask of 3 x 4 pixels .* its points span 3 x 5"),
        (ai_mask("dog", 30, 6, CORNER), r"a mask from \[30, 6\] to \[33, 8\] \(x, y\), while the frame has 32 x 24"),
        (ai_mask("dog", -1, 6, CORNER), r"a mask from \[-1, 6\]"),
    ],
)
def test_faults_of_ai_masks_are_named(labels, tmp_path, shape, message):
    write_label(labels / "park" / "d.json", [shape])
    with pytest.raises(DataError, match=message) as caught:
        write_youtube_vis(read_labelme(labels), tmp_path / "out")
    assert "\n" not in str(caught.value)
