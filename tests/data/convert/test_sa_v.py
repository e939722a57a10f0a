import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame, write_values
from tests.video_files.made_videos import make_video
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.sa_v import read_sa_v
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.rle import encode

SIZE = (24, 32)


def rle(*box: int) -> dict[str, Any]:
    return encode(drawn((1, *box) if box else (1, 0, 0, 0, 0)))  # type: ignore[arg-type]


def document(**changes: Any) -> dict[str, Any]:
    """Nine frames at 24 per second, of which 0, 4 and 8 are annotated; the second object appears in frame 4."""
    return {
        "video_id": "sav_000001",
        "video_frame_count": 9.0,
        "video_height": 24.0,
        "video_width": 32.0,
        "masklet": [[rle(1, 2, 5, 6), rle()], [rle(2, 2, 5, 6), rle(20, 3, 4, 4)], [rle(3, 2, 5, 6), rle(20, 4, 4, 4)]],
        "masklet_id": [0, 3],
        "masklet_type": ["manual", "manual"],
        **changes,
    }


@pytest.fixture
def sa_v(tmp_path: Path) -> Path:
    root = tmp_path / "sav_000"
    root.mkdir()
    make_video(root / "sav_000001.mp4", 9, size=SIZE)
    (root / "sav_000001_manual.json").write_text(json.dumps(document()))
    return root


def test_masks_are_of_every_fourth_frame(sa_v, tmp_path):
    made = write_youtube_vis(read_sa_v(sa_v), tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[30, 30, 30], [None, 16, 16]]
    names = json.loads(made.annotations.read_text())["videos"][0]["file_names"]
    assert names == [f"sav_000001/{number:05d}.jpg" for number in (0, 4, 8)]
    assert (converted_masks(made.annotations)["sav_000001", 0][1] == (drawn((1, 2, 2, 5, 6)) == 1)).all()
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video_height": 32.0, "video_width": 24.0}, "declared as 32 x 24 pixels, while the frame has 24 x 32"),
        ({"video_frame_count": 36.0}, "masks of 3 frames, while video_frame_count is 36.0"),
        ({"masklet_id": [0]}, r"masklet\[0\] has 2 masks; expected 1, one per masklet_id"),
        ({"masklet": [[rle(), {"size": [24, 32], "counts": "5"}]] * 3}, r"masklet\[0\]\[1\]: mask: the runs sum to 5"),
        ({"masklet": [[rle(), encode(drawn(size=(32, 24)))]] * 3}, r"masklet\[0\]\[1\]: a mask of 32 x 24 pixels"),
        ({"masklet": None}, "expected SA-V's form"),
        ({"video_id": "sav_2"}, "video_id is 'sav_2'; expected sav_000001"),
        ({"masklet": [[rle(), rle()]] * 4, "video_frame_count": None}, "9 frames, while annotations are of frame 12"),
    ],
)
def test_faults_are_named(sa_v, tmp_path, changes, message):
    (sa_v / "sav_000001_manual.json").write_text(json.dumps(document(**changes)))
    with pytest.raises(DataError, match=message):
        write_youtube_vis(read_sa_v(sa_v), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_files_are_named(sa_v, tmp_path):
    with pytest.raises(DataError, match="no <video>_auto.json in it; there are manual ones: --masklets manual"):
        read_sa_v(sa_v, "auto")
    with pytest.raises(DataError, match="--masklets both: expected manual or auto"):
        read_sa_v(sa_v, "both")
    (sa_v / "sav_000001.mp4").unlink()
    with pytest.raises(DataError, match="sav_000001.mp4: no such video, while there is sav_000001_manual.json"):
        write_youtube_vis(read_sa_v(sa_v), tmp_path / "out")


def test_validation_sets_are_folders_of_masks(tmp_path):
    for frame in range(6):
        write_frame(tmp_path / "val" / "JPEGImages_24fps" / "a" / f"{frame:05d}.jpg", seed=frame)
    for frame in (0, 4):
        write_values(tmp_path / "val" / "Annotations_6fps" / "a" / "000" / f"{frame:05d}.png", drawn((1, 1, 1, 3, 3)))
    source = read_sa_v(tmp_path / "val")
    made = write_youtube_vis(source, tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[9, 9]]
    assert source.notes.lines()[0].startswith("4 frames without a PNG of any object were left out")
