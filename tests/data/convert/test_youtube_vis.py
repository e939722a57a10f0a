import json
from pathlib import Path

import pytest

from tests.data.builders import small_document, write_set
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.data.convert.youtube_vis import read_youtube_vis
from vistrials.errors import DataError


@pytest.mark.parametrize("folder", ["", "JPEGImages", "train", "train/JPEGImages", "JPEGImages/train"])
def test_frames_are_found_where_the_sets_keep_them(tmp_path, folder):
    (tmp_path / "set").mkdir()
    path, frames = write_set(tmp_path / "set", small_document())
    (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
    for video in frames.iterdir():
        video.rename(tmp_path / "set" / folder / video.name)
    made = write_youtube_vis(read_youtube_vis(path), tmp_path / "out")
    before, after = json.loads(path.read_text()), json.loads(made.annotations.read_text())
    assert after["categories"] == before["categories"]
    assert [video["file_names"] for video in after["videos"]] == [video["file_names"] for video in before["videos"]]
    for key in ("category_id", "iscrowd", "segmentations", "bboxes", "areas"):
        assert [track[key] for track in after["annotations"]] == [track[key] for track in before["annotations"]]
    assert check_dataset(made.annotations, made.annotations.parent / "JPEGImages").ok


def test_faults_are_named(tmp_path):
    document = small_document()
    path, frames = write_set(tmp_path, document)

    def refused(message: str, where: Path | None = frames) -> None:
        path.write_text(json.dumps(document))
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_youtube_vis(path, where), tmp_path / "out")

    refused("no frame 41/00000.png below .*; say with --frames", None)
    document["videos"][1]["width"] = 40
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] != 5]
    refused(r"video 5: 40 x 40 \(height x width\), while the frames have \(40, 64\)")
    document["videos"][0]["file_names"][1] = "../secret.png"
    refused("video 41: file_names holds '../secret.png'; expected paths below the folder of frames")
    document["videos"][0]["file_names"][1] = "5/00001.png"
    refused("video 41: its frames lie in 2 folders; expected one per video")
