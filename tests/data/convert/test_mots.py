import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame, write_values
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.mots import read_mots
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.rle import encode

# A car (its instance number is 0), a pedestrian that leaves, and a region to ignore.
VALUES = [
    drawn((1000, 2, 3, 10, 8), (2011, 8, 5, 6, 12), (10_000, 20, 0, 12, 4), dtype=np.uint16),
    drawn((1000, 4, 3, 10, 8), (10_000, 18, 0, 12, 4), dtype=np.uint16),
    drawn(dtype=np.uint16),
]


def text_of(values: list[np.ndarray], first_frame: int = 0) -> str:
    lines = []
    for frame, pixels in enumerate(values, first_frame):
        for number in np.unique(pixels[pixels > 0]):
            counts = encode(pixels == number)["counts"]
            lines.append(f"{frame} {number} {number // 1000} {pixels.shape[0]} {pixels.shape[1]} {counts}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def mots(tmp_path: Path) -> Path:
    root = tmp_path / "MOTS"
    for frame, values in enumerate(VALUES):
        write_frame(root / "training" / "image_02" / "0002" / f"{frame:06d}.png", seed=frame)
        write_values(root / "instances" / "0002" / f"{frame:06d}.png", values)
    return root


def test_values_are_classes_and_instances(mots, tmp_path):
    made = write_youtube_vis(read_mots(mots), tmp_path / "out")
    assert json.loads(made.annotations.read_text())["categories"] == [
        {"id": 1, "name": "car"},
        {"id": 2, "name": "pedestrian"},
    ]
    tracks = [(t["category_id"], t["iscrowd"], t["areas"]) for t in records(made.annotations)]
    # The pedestrian covers 6 x 6 pixels of the car; what is to be ignored is a crowd of either class.
    assert tracks == [
        (1, 0, [10 * 8 - 4 * 6, 10 * 8, None]),
        (2, 0, [6 * 12, None, None]),
        (1, 1, [12 * 4, 12 * 4, None]),
        (2, 1, [12 * 4, 12 * 4, None]),
    ]
    masks = converted_masks(made.annotations)
    for position, number in enumerate((1000, 2011, 10_000, 10_000)):
        for frame, mask in masks["0002", position].items():
            assert (mask == (VALUES[frame] == number)).all()
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_the_text_form_gives_the_same(mots, tmp_path):
    png = write_youtube_vis(read_mots(mots), tmp_path / "png")
    shutil.rmtree(mots / "instances")
    (mots / "instances_txt").mkdir()
    (mots / "instances_txt" / "0002.txt").write_text(text_of(VALUES))
    text = write_youtube_vis(read_mots(mots), tmp_path / "text")
    assert text.annotations.read_text() == png.annotations.read_text()


def test_a_folder_per_video_counts_frames_from_one(mots, tmp_path):
    png = write_youtube_vis(read_mots(mots), tmp_path / "png")
    for frame in range(3):
        write_frame(tmp_path / "challenge" / "MOTS20-02" / "img1" / f"{frame + 1:06d}.jpg", seed=frame)
    gt = tmp_path / "challenge" / "MOTS20-02" / "gt" / "gt.txt"
    gt.parent.mkdir()
    gt.write_text(text_of(VALUES, first_frame=1))
    made = write_youtube_vis(read_mots(tmp_path / "challenge"), tmp_path / "out")
    assert records(made.annotations) == records(png.annotations)


def test_other_classes_by_their_names(mots, tmp_path):
    values = drawn((3001, 1, 1, 2, 2), (12_000, 5, 5, 3, 3), (10_000, 20, 0, 12, 4), dtype=np.uint16)
    for png in (mots / "instances" / "0002").iterdir():
        write_values(png, values)
    expected = [(3, 0, [4] * 3), (12, 0, [9] * 3), (3, 1, [48] * 3), (12, 1, [48] * 3)]

    def check(categories: Path | None, out: str) -> None:
        made = write_youtube_vis(read_mots(mots, categories), tmp_path / out)
        assert [(t["category_id"], t["iscrowd"], t["areas"]) for t in records(made.annotations)] == expected
        assert [c["name"] for c in json.loads(made.annotations.read_text())["categories"]] == ["van", "tram"]

    path = tmp_path / "classes.json"
    path.write_text('{"12": "tram", "3": "van"}')
    check(path, "option")
    path.rename(mots / "categories.json")
    check(None, "beside")
    path.write_text('{"van": 3}')
    with pytest.raises(DataError, match='expected {class id: name}, such as {"1": "car"}, with ids from 1'):
        read_mots(mots, path)


def test_a_single_video_with_labels(tmp_path):
    # As CVAT writes MOTS PNG: one video, names of classes by line.
    for frame, values in enumerate(VALUES):
        write_frame(tmp_path / "walk" / "images" / f"frame_{frame:06d}.png", seed=frame)
        write_values(tmp_path / "walk" / "instances" / f"frame_{frame:06d}.png", values)
    (tmp_path / "walk" / "instances" / "labels.txt").write_text("dog\ncat\n")
    made = write_youtube_vis(read_mots(tmp_path / "walk"), tmp_path / "out")
    assert [c["name"] for c in json.loads(made.annotations.read_text())["categories"]] == ["dog", "cat"]
    assert records(made.annotations)[1]["areas"] == [6 * 12, None, None]


@pytest.mark.parametrize("value", [1, 3001, 10_001])
def test_unknown_classes_are_named(mots, tmp_path, value):
    write_values(mots / "instances" / "0002" / "000001.png", drawn((value, 1, 1, 2, 2), dtype=np.uint16))
    with pytest.raises(DataError, match=rf"000001.png: value {value} is of class {value // 1000}; .*2 \(pedestrian\)"):
        write_youtube_vis(read_mots(mots), tmp_path / "out")


def test_faults_of_pngs_are_named(mots, tmp_path):
    png = mots / "instances" / "0002" / "000001.png"
    write_values(png, drawn(size=(10, 32), dtype=np.uint16))
    with pytest.raises(DataError, match=r"000001.png: a mask of 10 x 32 pixels .* its frame has 24 x 32"):
        write_youtube_vis(read_mots(mots), tmp_path / "out")
    png.unlink()
    with pytest.raises(DataError, match="000001.png: missing, while there is a frame"):
        write_youtube_vis(read_mots(mots), tmp_path / "out")
    shutil.rmtree(mots / "training")
    with pytest.raises(DataError, match="no frames of video 0002; looked for .*images/0002"):
        read_mots(mots)
    with pytest.raises(DataError, match="no video found; expected instances/<video>"):
        read_mots(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1000 1 24", "line 2: expected `frame id class_id height width rle`"),
        ("x 1000 1 24 32 PPYo1", "line 2: expected `frame id"),
        ("0 1000 2 24 32 PPYo1", "line 2: class_id 2, while id 1000 is of class 1"),
        ("0 4000 4 24 32 PPYo1", "line 2: id 4000 is of class 4"),
        ("9 1000 1 24 32 PPYo1", "line 2: no frame 9 in .*it begins with 000000.png"),
        ("0 1000 1 32 24 PPYo1", "line 2: a mask of 32 x 24 pixels"),
        ("0 1000 1 24 32 5", "line 2: mask: the runs sum to 5 pixels"),
        ("0 2001 2 24 32 {full}", "line 2: object 2001 occurs twice in frame 0"),
    ],
)
def test_faults_of_text_are_named(mots, tmp_path, line, message):
    shutil.rmtree(mots / "instances")
    (mots / "instances_txt").mkdir()
    full = encode(np.ones((24, 32)))["counts"]
    text = f"0 2001 2 24 32 {full}\n" + line.format(full=full) + "\n\n"
    (mots / "instances_txt" / "0002.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        write_youtube_vis(read_mots(mots), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_needs_numbered_frames(mots, tmp_path):
    shutil.rmtree(mots / "instances")
    (mots / "instances_txt").mkdir()
    (mots / "instances_txt" / "0002.txt").write_text(text_of(VALUES))
    write_frame(mots / "training" / "image_02" / "0002" / "cover.png")
    with pytest.raises(DataError, match="expected frames named by their numbers"):
        write_youtube_vis(read_mots(mots), tmp_path / "out")
