import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.data.convert.other_forms import SIZE, converted_masks, drawn, records, write_frame, write_values
from vistrials.cli import app
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.davis import read_davis
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.annotations import decode_mask, load_video_set

# Object 5 is hidden in frame 1 and 2 lies partly before it; void (255) in frame 2.
BEAR = [
    drawn((5, 2, 3, 10, 8), (2, 8, 5, 6, 12)),
    drawn((2, 9, 5, 6, 12)),
    drawn((5, 4, 3, 10, 8), (2, 10, 5, 6, 12), (255, 20, 20, 12, 4)),
]


def write_video(root: Path, name: str, values: list[np.ndarray], palette=True, resolution="480p") -> None:
    for frame, pixels in enumerate(values):
        write_frame(root / "JPEGImages" / resolution / name / f"{frame:05d}.jpg", pixels.shape, frame)
        write_values(root / "Annotations" / resolution / name / f"{frame:05d}.png", pixels, palette)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    write_video(tmp_path / "DAVIS", "bear", BEAR)
    write_video(tmp_path / "DAVIS", "boat", [drawn((1, 0, 0, 32, 24))] * 2)
    return tmp_path / "DAVIS"


def test_palette_indices_are_objects_and_255_is_void(davis, tmp_path):
    made = write_youtube_vis(read_davis(davis), tmp_path / "out")
    masks = converted_masks(made.annotations)
    assert masks.keys() == {("bear", 0), ("bear", 1), ("boat", 0)}
    for position, number in enumerate((2, 5)):
        for frame, values in enumerate(BEAR):
            expected = values == number
            if expected.any():
                assert (masks["bear", position][frame] == expected).all()
            else:
                assert frame not in masks["bear", position]
    assert records(made.annotations)[1]["areas"] == [10 * 8 - 4 * 6, None, 10 * 8 - 4 * 6]
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()
    assert json.loads(made.annotations.read_text())["categories"] == [{"id": 1, "name": "object"}]


def test_categories_by_video_and_object(davis, tmp_path):
    semantics = tmp_path / "davis_semantics.json"
    semantics.write_text(json.dumps({"bear": {"5": "bear", "2": "person"}, "boat": {"1": "boat"}, "no": {"1": "ox"}}))
    made = write_youtube_vis(read_davis(davis, categories=semantics), tmp_path / "out")
    names = {c["id"]: c["name"] for c in json.loads(made.annotations.read_text())["categories"]}
    assert names == {1: "bear", 2: "boat", 3: "ox", 4: "person"}
    assert [names[track["category_id"]] for track in records(made.annotations)] == ["person", "bear", "boat"]
    semantics.write_text(json.dumps({"bear": {"5": "bear"}}))
    with pytest.raises(DataError, match="no category of object 2 of video bear; add it"):
        write_youtube_vis(read_davis(davis, categories=semantics), tmp_path / "other")
    semantics.write_text('["bear"]')
    with pytest.raises(DataError, match="expected {video: {number of object: category}}"):
        read_davis(davis, categories=semantics)


def test_lists_choose_the_videos_of_a_split(davis, tmp_path):
    lists = davis / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("boat\n")
    (lists / "val.txt").write_text("bear\n\n")
    write_youtube_vis(read_davis(davis, "train"), tmp_path / "out")
    write_youtube_vis(read_davis(davis, "valid"), tmp_path / "out", "valid")
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "train.json: 1 videos, 2 frames (2 files read), 1 categories, 1 tracks, 2 masks\n" in result.stdout
    assert "valid.json: 1 videos, 3 frames (3 files read), 1 categories, 2 tracks, 5 masks\n" in result.stdout
    with pytest.raises(DataError, match=r"no list of split test.*there are 2017/train.txt, 2017/val.txt"):
        read_davis(davis, "test")
    (lists / "train.txt").write_text("ship\n")
    with pytest.raises(DataError, match="ship: no such folder"):
        write_youtube_vis(read_davis(davis, "train"), tmp_path / "other")
    (lists / "train.txt").write_text(" \n")
    with pytest.raises(DataError, match="no video in it"):
        read_davis(davis, "train")


@pytest.mark.parametrize("values", [np.uint8, bool])
def test_davis_2016_has_one_white_object(tmp_path, values):
    root = tmp_path / "DAVIS"
    white = drawn((255, 2, 3, 10, 8)).astype(values)
    write_video(root, "bear", [white, np.zeros(SIZE, values), white], palette=False)
    (root / "ImageSets" / "480p").mkdir(parents=True)
    lines = [f"/JPEGImages/480p/bear/0000{i}.jpg /Annotations/480p/bear/0000{i}.png" for i in range(3)]
    (root / "ImageSets" / "480p" / "train.txt").write_text("\n".join(lines))
    made = write_youtube_vis(read_davis(root), tmp_path / "out")
    masks = converted_masks(made.annotations)
    assert masks.keys() == {("bear", 0)} and masks["bear", 0].keys() == {0, 2}
    assert (masks["bear", 0][0] == (white != 0)).all()


def test_a_palette_that_shows_nothing_but_void_holds_no_object(davis, tmp_path):
    write_video(davis, "fog", [drawn((255, 0, 0, 10, 8))] * 2)
    made = write_youtube_vis(read_davis(davis), tmp_path / "out")
    assert ("fog", 0) not in converted_masks(made.annotations)
    assert (made.num_videos, made.num_tracks) == (3, 3)


def test_grey_numbers_of_objects_keep_255_as_void(tmp_path):
    write_video(tmp_path, "bear", [drawn((1, 2, 3, 4, 5), (255, 9, 9, 2, 2)), drawn((255, 9, 9, 2, 2))], palette=False)
    made = write_youtube_vis(read_davis(tmp_path), tmp_path / "out")
    assert [track["areas"] for track in records(made.annotations)] == [[4 * 5, None]]


def test_other_resolutions_and_none(tmp_path):
    write_video(tmp_path / "full", "bear", BEAR, resolution="Full-Resolution")
    write_video(tmp_path / "flat", "bear", BEAR, resolution=".")
    full, flat = (write_youtube_vis(read_davis(tmp_path / n), tmp_path / f"{n}_out") for n in ("full", "flat"))
    assert full.annotations.read_text() == flat.annotations.read_text()


def test_faults_are_named(davis, tmp_path):
    png = davis / "Annotations/480p/bear/00001.png"
    frame = davis / "JPEGImages/480p/bear/00001.jpg"
    image, label = frame.read_bytes(), png.read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            write_youtube_vis(read_davis(davis), tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()
        frame.write_bytes(image)
        png.write_bytes(label)

    png.unlink()
    refused("bear/00001.png: missing, while there is a frame .*00001.jpg; every frame needs its PNG")
    frame.unlink()
    refused("bear/00001.png: no frame of this name in ")
    write_values(png, drawn(size=(24, 30)), palette=True)
    refused(r"00001.png: a mask of 24 x 30 pixels \(height x width\), its frame has 24 x 32")
    write_frame(frame, (12, 32))
    refused(r"00001.jpg: 12 x 32 pixels .* while .*00000.jpg has 24 x 32; the frames of a video must have one size")
    write_values(png, drawn((300, 0, 0, 2, 2), dtype=np.uint16))
    refused("00001.png: value 300; expected numbers of objects up to 254 .* convert as mots$")
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(png)
    refused("00001.png: an image of mode RGB; expected a PNG with a palette or grey values")
    png.write_bytes(label[:40])
    refused("00001.png: not a readable image")
    frame.write_bytes(b"no image")
    refused("00001.jpg: not a readable image")


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="is this the root of a DAVIS data set"):
        read_davis(tmp_path)
    (tmp_path / "JPEGImages" / "480p").mkdir(parents=True)
    (tmp_path / "Annotations" / "480p").mkdir(parents=True)
    with pytest.raises(DataError, match="480p: no folder of a video in it"):
        read_davis(tmp_path)


def test_a_real_video_comes_back_with_equal_masks(shared_dir, tmp_path):
    clip = shared_dir / "clips" / "schoolgirls"
    if not clip.is_dir():
        pytest.skip("the clip ../shared/clips/schoolgirls is not here")
    truth = load_video_set(clip / "valid.json", clip / "JPEGImages")
    (video,) = truth.videos
    masks = [[decode_mask(s, video.height, video.width) for s in track.segmentations] for track in video.tracks]
    for index, name in enumerate(video.file_names):
        values = np.zeros((video.height, video.width), np.uint8)
        for number, by_frame in enumerate(masks, 1):
            assert not values[by_frame[index] == 1].any(), "masks of a label image cannot overlap"
            values[by_frame[index] == 1] = number
        frame = tmp_path / "JPEGImages" / "480p" / "girls" / Path(name).name
        frame.parent.mkdir(parents=True, exist_ok=True)
        frame.symlink_to((truth.frames_dir / name).resolve())
        write_values(tmp_path / "Annotations" / "480p" / "girls" / f"{frame.stem}.png", values, palette=True)
    made = write_youtube_vis(read_davis(tmp_path), tmp_path / "out", copy=True)
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()
    found = converted_masks(made.annotations)
    assert len(found) == len(masks) == 4
    for position, by_frame in enumerate(masks):
        assert all((found["girls", position][frame] == mask).all() for frame, mask in enumerate(by_frame))
    assert [track["bboxes"] for track in records(made.annotations)] == [track.bboxes for track in video.tracks]
