import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.data.builders import box_mask, make_document, make_track, make_video, small_document, write_set
from vistrials.cli import app
from vistrials.formats.rle import encode

SIZE = (24, 32)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["data", "export", *map(str, arguments)])


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    return str(result.stderr).replace("\n", " ")


def values_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One video: a large object (4..20), a small one within it, a crowd beneath both."""
    document = make_document(
        [make_video(1, 2, SIZE)],
        [
            make_track(1, 1, 3, [(4, 4, 16, 16), None], SIZE),
            make_track(2, 1, 300, [(6, 6, 4, 4), (6, 6, 4, 4)], SIZE),
            make_track(3, 1, 7, [(0, 0, 32, 24), None], SIZE, crowd=1),
        ],
    )
    _, frames = write_set(tmp_path, document)
    frames.rename(tmp_path / "JPEGImages")
    return tmp_path


def expected(large: int, small: int, crowd: int) -> np.ndarray:
    values = np.full(SIZE, crowd)
    values[4:20, 4:20] = large
    values[6:10, 6:10] = small
    return values


def test_davis_draws_the_smaller_object_on_top(data, tmp_path):
    result = run("davis", data, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 videos, 2 label images" in result.output
    assert (values_of(tmp_path / "out" / "Annotations" / "1" / "00000.png") == expected(1, 2, 255)).all()
    assert (values_of(tmp_path / "out" / "Annotations" / "1" / "00001.png") == box_mask((6, 6, 4, 4), SIZE) * 2).all()
    with Image.open(tmp_path / "out" / "Annotations" / "1" / "00000.png") as image:
        # DAVIS's colours: objects 1 and 2 are dark red and dark green, void is white-ish.
        assert image.mode == "P" and image.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]
    assert json.loads((tmp_path / "out" / "davis_semantics.json").read_text()) == {"1": {"1": "dog", "2": "newt"}}
    assert (tmp_path / "out" / "JPEGImages" / "1" / "00001.png").samefile(data / "JPEGImages" / "1" / "00001.png")
    assert "2 masks lie in part under another object's" in result.stderr
    assert "1 crowd tracks became void (255)" in result.stderr


def test_mots_numbers_classes_that_do_not_fit(data, tmp_path):
    result = run("mots", data / "train.json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    # The file's categories are cat (7), dog (3), newt (300): 300 is too large, so 1, 2, 3.
    names = json.loads((tmp_path / "out" / "categories.json").read_text())
    assert names == {"1": "cat", "2": "dog", "3": "newt"}
    values = values_of(tmp_path / "out" / "instances" / "1" / "000000.png")
    assert (values == expected(2001, 3001, 10_000)).all()
    assert not (tmp_path / "out" / "images").exists()
    assert "without frames; --frames says where" in result.stderr
    text = run("mots-txt", data / "train.json", "-o", tmp_path / "text")
    assert "1 videos, 4 lines" in text.output
    lines = (tmp_path / "text" / "instances_txt" / "1.txt").read_text().splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["0", "2001", "2", "24", "32"],
        ["0", "3001", "3", "24", "32"],
        ["0", "10000", "10", "24", "32"],
        ["1", "3001", "3", "24", "32"],
    ]


def test_coco_keeps_what_overlaps(data, tmp_path):
    result = run("coco", data, "-o", tmp_path / "coco.json")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "coco.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["1/00000.png", "1/00001.png"]
    found = [(a["image_id"], a["category_id"], a["track_id"], a["bbox"], a["area"]) for a in document["annotations"]]
    assert found == [
        (1, 3, 1, [4, 4, 16, 16], 256),
        (1, 300, 2, [6, 6, 4, 4], 16),
        (2, 300, 2, [6, 6, 4, 4], 16),
        (1, 7, 3, [0, 0, 32, 24], 768),
    ]
    assert [a["iscrowd"] for a in document["annotations"]] == [0, 0, 0, 1]
    assert "there already; replace with --force" in refused("coco", data, "-o", tmp_path / "coco.json")
    assert run("coco", data, "-o", tmp_path / "coco.json", "--force").exit_code == 0


def prediction(score: float, box: tuple[int, int, int, int], frames: int = 2) -> dict[str, Any]:
    masks = [encode(box_mask(box, SIZE))] * frames
    return {"video_id": 1, "category_id": 3, "score": score, "segmentations": masks}


def test_predictions_by_their_scores(data, tmp_path):
    path = tmp_path / "predictions.json"
    # The better one is the larger, drawn on top all the same; one is below the bound.
    path.write_text(
        json.dumps([prediction(0.6, (6, 6, 4, 4)), prediction(0.9, (4, 4, 5, 5)), prediction(0.1, (0, 0, 9, 9))])
    )
    result = run("davis", path, "--gt", data, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    values = np.zeros(SIZE)
    values[6:10, 6:10] = 2
    values[4:9, 4:9] = 1  # the best is object 1
    assert (values_of(tmp_path / "out" / "Annotations" / "1" / "00000.png") == values).all()
    assert "1 predictions have scores below 0.5 and were left out" in result.stderr
    coco = run("coco", path, "--gt", data / "train.json", "--min-score", "0", "-o", tmp_path / "coco.json")
    assert coco.exit_code == 0, coco.output
    document = json.loads((tmp_path / "coco.json").read_text())
    assert [a["score"] for a in document["annotations"]] == [0.9, 0.9, 0.6, 0.6, 0.1, 0.1]


def test_predictions_become_annotations(data, tmp_path):
    from vistrials.data.check.dataset import check_dataset

    path = tmp_path / "predictions.json"
    path.write_text(json.dumps([prediction(0.6, (6, 6, 4, 4))]))
    truth = json.loads((data / "train.json").read_text())
    (tmp_path / "valid.json").write_text(json.dumps({**truth, "annotations": None}))  # as official ones
    result = run("youtube-vis", path, "--gt", tmp_path / "valid.json", "-o", tmp_path / "labels.json")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "labels.json").read_text())
    assert [(t["areas"], t["score"], t["iscrowd"]) for t in document["annotations"]] == [([16, 16], 0.6, 0)]
    assert check_dataset(tmp_path / "labels.json", data / "JPEGImages").ok


def test_faults_are_named(data, tmp_path):
    out = tmp_path / "out"
    assert "expected one of davis, mots, mots-txt, coco, youtube-vis" in refused("yolo", data, "-o", out)
    (tmp_path / "p.json").write_text(json.dumps([prediction(0.9, (1, 1, 2, 2), frames=3)]))
    assert "a list, as predictions are; say with --gt" in refused("davis", tmp_path / "p.json", "-o", out)
    found = refused("davis", tmp_path / "p.json", "--gt", data, "-o", out)
    assert "p.json: predictions[0]: 3 segmentations; expected 2, one per frame" in found
    (tmp_path / "p.json").write_text(json.dumps([{**prediction(0.9, (1, 1, 2, 2)), "video_id": 5}]))
    assert "predictions[0]" in refused("coco", tmp_path / "p.json", "--gt", data, "-o", tmp_path / "c.json")
    (tmp_path / "p.json").write_text("[]")
    assert "no mask to export" in refused("coco", tmp_path / "p.json", "--gt", data, "-o", tmp_path / "c.json")
    assert "valid.json: no such file; there is" in refused("davis", data, "--split", "valid", "-o", out)
    assert "no such frame; --frames says" in refused("davis", data / "train.json", "--frames", tmp_path, "-o", out)
    assert "--min-score: annotations have no scores" in refused("davis", data, "--min-score", "0", "-o", out)
    assert "--copy: coco holds the names of frames only" in refused("coco", data, "--copy", "-o", out)
    assert "--frames: coco holds" in refused("coco", data, "--frames", data, "-o", out)
    assert "--force: mots makes a folder" in refused("mots", data, "--force", "-o", out)
    assert not out.exists()
    out.mkdir()
    (out / "x").touch()
    assert "not a new or empty folder" in refused("mots", data, "-o", out)
    document = json.loads((data / "train.json").read_text())
    document["videos"][0]["file_names"][1] = "1/../../secret.png"
    (data / "train.json").write_text(json.dumps(document))
    assert "expected paths below the folder of frames" in refused("mots", data, "-o", tmp_path / "new")


def test_videos_that_share_a_folder_are_refused(tmp_path):
    document = small_document()
    document["videos"][1]["file_names"] = ["41/00000.png", "41/00001.png"]
    (tmp_path / "train.json").write_text(json.dumps(document))
    found = refused("davis", tmp_path / "train.json", "-o", tmp_path / "out")
    assert "two videos have their frames in 41; expected a folder for each" in found
