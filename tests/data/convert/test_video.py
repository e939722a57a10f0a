import json

import numpy as np
import pytest
from PIL import Image

from tests.video_files.made_videos import flip_bytes, make_sound, make_video, number_of
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.video import read_videos
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError


def test_every_nth_frame_of_each_video(tmp_path):
    (tmp_path / "in").mkdir()
    make_video(tmp_path / "in" / "b.mp4", 7)
    make_video(tmp_path / "in" / "a.mov", 4, rotation=90)
    made = write_youtube_vis(read_videos(tmp_path / "in", step=3), tmp_path / "out", "valid")
    document = json.loads(made.annotations.read_text())
    assert [(v["file_names"], v["height"], v["width"]) for v in document["videos"]] == [
        (["a/00000.jpg", "a/00003.jpg"], 96, 64),  # turned upright
        (["b/00000.jpg", "b/00003.jpg", "b/00006.jpg"], 64, 96),
    ]
    assert document["annotations"] == []
    for number in (0, 3, 6):
        with Image.open(tmp_path / "out" / "JPEGImages" / "b" / f"{number:05d}.jpg") as image:
            assert number_of(np.asarray(image)) == number
    report = check_dataset(made.annotations, tmp_path / "out" / "JPEGImages", False)
    assert report.ok and report.num_frames_read == 5


def test_categories_are_those_of_another_set(tmp_path):
    make_video(tmp_path / "a.mp4", 2)
    other = tmp_path / "train.json"
    other.write_text(json.dumps({"categories": [{"id": 9, "name": "newt"}, {"id": 3, "name": "cat"}]}))
    made = write_youtube_vis(read_videos(tmp_path / "a.mp4", categories=other), tmp_path / "out", "valid")
    assert json.loads(made.annotations.read_text())["categories"] == [
        {"id": 9, "name": "newt"},
        {"id": 3, "name": "cat"},
    ]
    again = tmp_path / "b.mp4"
    (tmp_path / "a.mp4").rename(again)
    joined = write_youtube_vis(read_videos(again), tmp_path / "out", "minival")  # a split more, of the same ones
    assert json.loads(joined.annotations.read_text())["categories"][0] == {"id": 9, "name": "newt"}
    other.write_text("{}")
    with pytest.raises(DataError, match="no categories; expected an annotation file"):
        read_videos(again, categories=other)


def test_faults_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_videos(tmp_path / "no.mp4")
    with pytest.raises(DataError, match="no video file in it"):
        read_videos(tmp_path)
    with pytest.raises(DataError, match="--every 0: expected 1 or more"):
        read_videos(tmp_path, step=0)
    with pytest.raises(DataError, match="found audio alone"):
        write_youtube_vis(read_videos(make_sound(tmp_path / "a.mp4")), tmp_path / "out")


def test_damaged_frames_are_counted(tmp_path):
    source = read_videos(flip_bytes(make_video(tmp_path / "a.mp4", 8), [5]))
    made = write_youtube_vis(source, tmp_path / "out")
    assert made.num_frames == 8
    assert "frames of video files are damaged" in source.notes.lines()[0]
