import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame, write_values
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.data.convert.youtube_vos import read_youtube_vos
from vistrials.errors import DataError

OBJECTS = {
    "1": {"category": "sedan", "frames": ["00000", "00005"]},
    "2": {"category": "ape", "frames": ["00005"]},
}


def write_meta(root: Path, objects: Any = OBJECTS, video: str = "003234408d") -> None:
    (root / "meta.json").write_text(json.dumps({"videos": {video: {"objects": objects}}}))


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """All frames 0 to 5, of which 0 and 5 are annotated."""
    root = tmp_path / "train"
    for frame in range(6):
        write_frame(root / "JPEGImages" / "003234408d" / f"{frame:05d}.jpg", seed=frame)
    labels = root / "Annotations" / "003234408d"
    write_values(labels / "00000.png", drawn((1, 2, 2, 10, 10)), palette=True)
    write_values(labels / "00005.png", drawn((1, 3, 2, 10, 10), (2, 5, 5, 4, 4)), palette=True)
    write_meta(root)
    return root


def test_values_are_the_objects_of_meta(split, tmp_path):
    source = read_youtube_vos(split)
    made = write_youtube_vis(source, tmp_path / "out")
    document = json.loads(made.annotations.read_text())
    assert document["categories"] == [{"id": 1, "name": "ape"}, {"id": 2, "name": "sedan"}]
    assert [(t["category_id"], t["areas"]) for t in document["annotations"]] == [
        (2, [100, 100 - 16]),
        (1, [None, 16]),
    ]
    assert document["videos"][0]["file_names"] == ["003234408d/00000.jpg", "003234408d/00005.jpg"]
    assert (converted_masks(made.annotations)["003234408d", 1][1] == (drawn((1, 5, 5, 4, 4)) == 1)).all()
    assert [line.split(" (first")[0] for line in source.notes.lines()] == ["4 frames without a PNG were left out"]
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_what_meta_and_pngs_say_apart_is_counted(split, tmp_path):
    write_meta(split, {"1": {"category": "sedan", "frames": ["00005"]}, "2": OBJECTS["2"] | {"frames": ["00000"]}})
    source = read_youtube_vos(split)
    made = write_youtube_vis(source, tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[100, 84], [None, 16]]
    assert [line.split(" (first")[0] for line in source.notes.lines()[1:]] == [
        "1 masks are listed in meta.json without a pixel in the PNG: absent",
        "2 masks are drawn in PNGs without being listed in meta.json: kept",
    ]


def test_faults_are_named(split, tmp_path):
    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_youtube_vos(split), tmp_path / "out")

    write_meta(split, {"1": OBJECTS["1"]})
    refused("00005.png: value 2, which is no object of video 003234408d in meta.json")
    write_meta(split, {**OBJECTS, "1": OBJECTS["1"] | {"frames": ["00000", "00002"]}})
    refused("00002.png: missing, while meta.json shows object 1 there; a validation set has the first PNG")
    write_meta(split, {"1": {"frames": []}})
    refused("video 003234408d, object 1: {'frames': \\[\\]}; expected category and frames")
    write_meta(split, video="../x")
    refused("'../x' leads out of the folder of frames")
    (split / "meta.json").write_text("{}")
    refused("expected {videos:")
    with pytest.raises(DataError, match="meta.json: no such file; there is one in train: name that folder"):
        read_youtube_vos(tmp_path)
