"""What no single record shows: sets that cannot be trained or scored, and what data check brings along."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import make_document, make_track, make_video, small_document, write_set
from tests.data.convert.other_forms import write_frame
from vistrials.data.check.dataset import check_dataset
from vistrials.formats.annotations import load_video_set
from vistrials.formats.rle import encode

Document = dict[str, Any]
EMPTY = encode([[0] * 64] * 48)


def every(key: str, value: Callable[[Any], Any]) -> Callable[[Document], None]:
    """Change a key of every track, given its masks."""
    return lambda document: (
        [track.update({key: [value(mask) for mask in track["segmentations"]]}) for track in document["annotations"]]
        and None
    )


def crowds(document: Document) -> None:
    for track in document["annotations"]:
        track["iscrowd"] = 1


def no_pixels(document: Document) -> None:
    for track in document["annotations"]:
        size = next(mask["size"] for mask in track["segmentations"] if mask)
        track["segmentations"] = [encode([[0] * size[1]] * size[0])] * len(track["segmentations"])
        del track["bboxes"], track["areas"]


def absent(document: Document) -> None:
    for track in document["annotations"]:
        for key in ("segmentations", "bboxes", "areas"):
            track[key] = [None] * len(track[key])


def one_without_a_pixel(document: Document) -> None:
    document["annotations"][0].update(segmentations=[EMPTY] * 4)
    del document["annotations"][0]["bboxes"], document["annotations"][0]["areas"]


def renamed(*names: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for category, name in zip(document["categories"], names, strict=True):
            category["name"] = name

    return change


def video_twice(document: Document) -> None:
    document["videos"].append({**document["videos"][0], "id": 77})
    document["annotations"].append({**document["annotations"][0], "id": 77, "video_id": 77})


def frame_twice(document: Document) -> None:
    names = document["videos"][0]["file_names"]
    names[1] = names[0]


def polygons(x: float, y: float, swap: bool = False) -> Callable[[Document], None]:
    """Masks of video 41 (64 x 48 pixels) as triangles of that scale."""

    def change(document: Document) -> None:
        points = [(2, 3), (60, 3), (60, 40)]
        scaled = [((py * y, px * x) if swap else (px * x, py * y)) for px, py in points]
        for track in document["annotations"]:
            if track["video_id"] == 41:
                triangle = [[value for point in scaled for value in point]]
                track["segmentations"] = [mask and triangle for mask in track["segmentations"]]
                del track["bboxes"], track["areas"]

    return change


def of_another_size(document: Document) -> None:
    document["annotations"][0].update(height=96, width=128)


OUTSIDE = ("error", "polygons that are not in pixels of their video")
NOTHING = ("error", "no object to train on or to score")
VARIANTS: dict[str, tuple[Callable[[Document], None], dict[tuple[str, str], str]]] = {
    "areas of 0": (
        every("areas", lambda mask: 0 if mask else None),
        {("warning", "area of 0 beside a mask"): "its area is used"},
    ),
    "no boxes, no areas": (
        lambda document: [track.pop(key) for track in document["annotations"] for key in ("bboxes", "areas")] and None,
        {},
    ),
    "lists of null": (
        lambda document: [every(key, lambda mask: None)(document) for key in ("bboxes", "areas")] and None,
        {("warning", "mask without box"): "", ("warning", "mask without area"): ""},
    ),
    "crowds alone": (crowds, {NOTHING: "all of 6 tracks are crowds, or have no mask with a pixel"}),
    "no pixel at all": (no_pixels, {NOTHING: "draw their masks", ("warning", "track without a pixel"): "remove it"}),
    "absent everywhere": (absent, {NOTHING: "", ("warning", "track without a visible frame"): "counts as missed"}),
    "a truth without a pixel": (
        one_without_a_pixel,
        {
            (
                "warning",
                "track without a pixel",
            ): "annotation 11 (video 41): none of its masks has one; no prediction can match it"
        },
    ),
    "two categories of one name": (
        renamed("cat", "cat", "newt"),
        {("error", "two categories of one name"): "'cat' is the name of [7, 3]; join them, or rename one"},
    ),
    "names of other case": (
        renamed("cat", "CAT ", "newt"),
        {("warning", "names that differ by case or blanks alone"): "'cat', 'CAT '"},
    ),
    "names with numbers": (
        renamed("cow-1", "cow-2", "newt"),
        {("warning", "names that differ by a number alone"): "'cow-1', 'cow-2'"},
    ),
    "names that end in numbers": (renamed("boeing 747", "airbus 320", "newt"), {}),
    "polygons in pixels": (polygons(1, 1), {}),
    "polygons in fractions": (
        polygons(1 / 64, 1 / 48),
        {("error", "broken polygon"): "fractions of the frame", OUTSIDE: "these are fractions"},
    ),
    "polygons of y, x": (polygons(1, 1, swap=True), {OUTSIDE: "lie within them as y, x"}),
    "polygons at double size": (polygons(2, 2), {OUTSIDE: "they were drawn on larger frames"}),
    "a track of another size": (
        of_another_size,
        {("error", "track of another size than its video"): "the frames were resized by 0.5"},
    ),
    "a video twice": (
        video_twice,
        {("warning", "videos of the same frames"): "video 77: 4 of its 4 frames are video 41's too; they count twice"},
    ),
    "a frame twice": (frame_twice, {("warning", "video with a frame twice"): "video 41: 1 of its 4 frames"}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_set_lacks_is_said(name: str, tmp_path: Path) -> None:
    change, expected = VARIANTS[name]
    document = small_document()
    change(document)
    (tmp_path / "train.json").write_text(json.dumps(document))
    report = check_dataset(tmp_path / "train.json", None)
    found = {(problem.severity, problem.kind): problem.examples[0] for problem in report.problems}
    ignored = (
        {("warning", "mask without a pixel"), ("warning", "track without a pixel")} if "fractions" in name else set()
    )
    ignored |= {("warning", "mask without a pixel"), ("warning", "category never used")}
    assert found.keys() - ignored == expected.keys()
    for key, told in expected.items():
        assert told in found[key]
    assert report.ok == all(severity == "warning" for severity, _ in expected)


def test_areas_of_0_are_computed(tmp_path: Path) -> None:
    document = small_document()
    for track in document["annotations"]:
        track["areas"] = [0 if mask else None for mask in track["segmentations"]]
    (tmp_path / "train.json").write_text(json.dumps(document))
    (track, *_) = load_video_set(tmp_path / "train.json", tmp_path).videos[0].tracks
    assert track.areas == small_document()["annotations"][0]["areas"]


def test_missing_frames_of_valid_are_found(tmp_path: Path) -> None:
    size = (24, 32)
    document = make_document([make_video(1, 2, size)], [make_track(1, 1, 7, [(2, 2, 9, 9)] * 2, size)])
    annotations, frames = write_set(tmp_path, document)
    frames.rename(tmp_path / "JPEGImages")
    document["videos"][0] = make_video(2, 2, size)
    document["annotations"][0]["video_id"] = 2
    (tmp_path / "valid.json").write_text(json.dumps(document))
    result = run_alone("data", "check", str(tmp_path), "-p", "laptop")
    assert result.returncode == 1
    assert "missing frame" in result.stdout and "video 2, frame 0" in result.stdout


WITHOUT_TORCH = """
import sys
from vistrials.cli import app
try:
    app(sys.argv[1:])
finally:
    print("brought along:", [name for name in ("torch", "torchvision", "pandas") if name in sys.modules])
"""


def run_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments], capture_output=True, text=True, check=False
    )


def test_check_stats_and_convert_bring_no_torch(tmp_path: Path) -> None:
    """It takes seconds and 700 MB to import, and none of them computes with it."""
    write_frame(tmp_path / "clip" / "0.png")
    points = [[2, 2], [20, 2], [20, 14], [2, 14]]
    label = {"imagePath": "0.png", "shapes": [{"label": "cat", "points": points, "shape_type": "polygon"}]}
    (tmp_path / "clip" / "0.json").write_text(json.dumps(label))
    for command in (
        ("convert", "labelme", str(tmp_path / "clip"), "-o", str(tmp_path / "set")),
        ("check", str(tmp_path / "set")),
        ("stats", str(tmp_path / "set")),
    ):
        result = run_alone("data", *command)
        assert result.returncode == 0, result.stderr
        assert "brought along: []" in result.stdout
