import json
from pathlib import Path

import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame, write_values
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.masks import read_masks
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two overlapping objects, the second without a PNG in frame 1; frame 2 has none at all."""
    root = tmp_path / "set"
    for frame in range(3):
        write_frame(root / "JPEGImages" / "v" / f"{frame:05d}.jpg", seed=frame)
    for frame in (0, 1):
        write_values(root / "Annotations" / "v" / "000" / f"{frame:05d}.png", drawn((255, 2, 2, 10, 10)))
    write_values(root / "Annotations" / "v" / "001" / "00000.png", drawn((1, 4, 4, 10, 10)))
    return root


def test_objects_may_overlap_and_be_absent(folders, tmp_path):
    source = read_masks(folders)
    made = write_youtube_vis(source, tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[100, 100], [100, None]]
    assert (converted_masks(made.annotations)["v", 1][0] == (drawn((1, 4, 4, 10, 10)) == 1)).all()
    assert source.notes.lines() == [
        f"1 frames without a PNG of any object were left out (first: {folders / 'JPEGImages' / 'v'})"
    ]
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_frames_may_lie_elsewhere(folders, tmp_path):
    expected = write_youtube_vis(read_masks(folders), tmp_path / "one")
    (folders / "JPEGImages").rename(tmp_path / "frames")
    made = write_youtube_vis(read_masks(folders / "Annotations", frames_dir=tmp_path / "frames"), tmp_path / "out")
    assert records(made.annotations) == records(expected.annotations)
    with pytest.raises(DataError, match="no folder of frames; .*; --frames names that of the frames"):
        read_masks(folders)


@pytest.mark.parametrize("names", [{"000": "cat", "001": "dog"}, {"0": "cat", "1": "dog"}])
def test_categories_by_object(folders, tmp_path, names):
    path = tmp_path / "categories.json"
    path.write_text(json.dumps({"v": names}))
    made = write_youtube_vis(read_masks(folders, path), tmp_path / "out")
    assert [t["category_id"] for t in records(made.annotations)] == [1, 2]
    path.write_text(json.dumps({"v": {"000": "cat"}}))
    with pytest.raises(DataError, match="no category of object 001 of video v; add it"):
        write_youtube_vis(read_masks(folders, path), tmp_path / "other")


def test_faults_are_named(folders, tmp_path):
    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_masks(folders), tmp_path / "out")

    png = folders / "Annotations" / "v" / "001" / "00000.png"
    write_values(png, drawn((1, 1, 1, 2, 2), (2, 5, 5, 2, 2)))
    refused("00000.png: values 1, 2; expected one beside 0")
    write_values(png, drawn(size=(10, 32)))
    refused("a mask of 10 x 32 pixels")
    png.rename(png.with_name("00009.png"))
    refused("00009.png: no frame of this name")
    for file in sorted(folders.glob("Annotations/v/*/*.png")):
        file.rename(folders / "Annotations" / "v" / f"{file.parent.name}{file.name}")
    for folder in (folders / "Annotations" / "v").iterdir():
        if folder.is_dir():
            folder.rmdir()
    refused("no folder of an object in it; PNGs that hold all objects by value convert as davis")
    with pytest.raises(DataError, match="no folder of frames; looked for JPEGImages"):
        read_masks(tmp_path)
