import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.convert.other_forms import SIZE, converted_masks, drawn, records, write_frame, write_values
from vistrials.data.convert.vipseg import read_vipseg
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError

CATEGORIES = [
    {"id": 0, "name": "wall", "isthing": 0, "color": [1, 2, 3]},
    {"id": 2, "name": "door", "isthing": 1, "color": [1, 2, 3]},
    {"id": 60, "name": "person", "isthing": 1, "color": [1, 2, 3]},
]
# Persons 0 and 1 (of category 60, whose value is 61), wall (1), a group of doors (3).
VALUES = [
    drawn((1, 0, 0, 32, 4), (6100, 2, 6, 6, 8), (6101, 12, 6, 6, 8), dtype=np.uint16),
    drawn((1, 0, 0, 32, 4), (6101, 13, 6, 6, 8), (3, 25, 10, 4, 8), dtype=np.uint16),
]


def write_vipseg(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "panoVIPSeg_categories.json").write_text(json.dumps(CATEGORIES))
    for frame, values in enumerate(VALUES):
        write_frame(root / "imgs" / "0_a" / f"{frame:08d}.jpg", seed=frame)
        write_values(root / "panomasks" / "0_a" / f"{frame:08d}.png", values)
    return root


def write_coloured(root: Path) -> Path:
    """The same as colours: ids above one byte, so that all three count."""
    ids = {6100: 60 + 256 * 5 + 65536 * 7, 6101: 61, 1: 256, 3: 65536}
    category_of = {6100: 60, 6101: 60, 1: 0, 3: 2}
    entries = []
    for frame, values in enumerate(VALUES):
        write_frame(root / "images" / "0_a" / f"{frame:08d}.jpg", seed=frame)
        coloured = np.zeros((*SIZE, 3), np.uint8)
        segments = []
        for value in np.unique(values[values > 0]).tolist():
            number = ids[value]
            coloured[values == value] = (number % 256, number // 256 % 256, number // 65536)
            segments.append(
                {
                    "id": number,
                    "category_id": category_of[value],
                    "iscrowd": int(value == 3),
                    "area": int((values == value).sum()),
                }
            )
        (root / "panomasksRGB" / "0_a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(coloured).save(root / "panomasksRGB" / "0_a" / f"{frame:08d}.png")
        entries.append({"file_name": f"{frame:08d}.png", "image_id": f"{frame:08d}", "segments_info": segments})
    document = {
        "videos": [{"video_id": "0_a", "images": []}],
        "annotations": [{"video_id": "0_a", "annotations": entries}],
        "categories": CATEGORIES,
    }
    (root / "panoptic_gt_VIPSeg_val.json").write_text(json.dumps(document))
    return root


def things(made: Any) -> list[tuple[int, int, list[float | None]]]:
    return [(t["category_id"], t["iscrowd"], t["areas"]) for t in records(made.annotations)]


EXPECTED = [(2, 1, [None, 4 * 8]), (60, 0, [6 * 8, None]), (60, 0, [6 * 8, 6 * 8])]


def test_things_are_tracks_and_stuff_is_left_out(tmp_path):
    source = read_vipseg(write_vipseg(tmp_path / "VIPSeg"))
    made = write_youtube_vis(source, tmp_path / "out")
    assert json.loads(made.annotations.read_text())["categories"] == [
        {"id": 2, "name": "door"},
        {"id": 60, "name": "person"},
    ]
    assert things(made) == EXPECTED
    masks = converted_masks(made.annotations)
    assert any((found.get(1, np.zeros(SIZE)) == (VALUES[1] == 6101)).all() for found in masks.values())
    assert source.notes.lines()[0].startswith("2 segments are of stuff")


def test_colours_with_a_json_give_the_same(tmp_path):
    values = write_youtube_vis(read_vipseg(write_vipseg(tmp_path / "raw")), tmp_path / "values")
    coloured = write_youtube_vis(read_vipseg(write_coloured(tmp_path / "720p"), "valid"), tmp_path / "colours")

    def found(made: Any) -> list[str]:
        return sorted(
            json.dumps([t[key] for key in ("category_id", "iscrowd", "segmentations")]) for t in records(made)
        )

    assert found(values.annotations) == found(coloured.annotations)


def test_lists_choose_the_videos(tmp_path):
    root = write_vipseg(tmp_path / "VIPSeg")
    (root / "val.txt").write_text("0_a\n")
    assert read_vipseg(root, "valid").num_videos == 1
    with pytest.raises(DataError, match=r"no train.txt, the videos of the split; there are val.txt"):
        read_vipseg(root)
    (root / "val.txt").write_text("../0_a\n")
    with pytest.raises(DataError, match="'../0_a' leads out of the folder of frames"):
        read_vipseg(root, "valid")


def test_faults_of_values_are_named(tmp_path):
    root = write_vipseg(tmp_path / "VIPSeg")

    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_vipseg(root), tmp_path / "out")

    png = root / "panomasks" / "0_a" / "00000001.png"
    write_values(png, drawn((9900, 1, 1, 2, 2), dtype=np.uint16))
    refused("00000001.png: value 9900: category 98 is not among those of")
    write_values(png, drawn((161, 1, 1, 2, 2), dtype=np.uint16))
    refused("value 161: an instance of wall, which .* calls stuff")
    (root / "panoVIPSeg_categories.json").write_text('[{"id": 1, "name": "x"}]')
    refused("expected id, name and isthing")
    (root / "panoVIPSeg_categories.json").unlink()
    refused("panoVIPSeg_categories.json: no such file; take .* or --categories FILE")
    with pytest.raises(DataError, match="no folder of frames; looked for imgs and images"):
        read_vipseg(tmp_path)


def test_faults_of_the_json_are_named(tmp_path):
    root = write_coloured(tmp_path / "720p")
    path = root / "panoptic_gt_VIPSeg_val.json"
    good = json.loads(path.read_text())

    def refused(message: str, change: Any) -> None:
        document = json.loads(json.dumps(good))
        change(document["annotations"][0]["annotations"])
        path.write_text(json.dumps(document))
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_vipseg(root, "valid"), tmp_path / "out")

    def shrink(entries: Any) -> None:
        entries[0]["segments_info"][1]["area"] = 400

    refused("segment 61: not among the segments_info", lambda entries: entries[0].update(segments_info=[]))
    refused("segments_info is no list of segments", lambda entries: entries[0].update(segments_info=None))
    refused("the area is 400 pixels, while its mask has 48", shrink)
    refused("'../x.png' leads out", lambda entries: entries[0].update(file_name="../x.png"))
    change_person = "while an earlier frame says 60"

    def other_category(entries: Any) -> None:
        next(s for s in entries[1]["segments_info"] if s["id"] == 61)["category_id"] = 2

    refused(change_person, other_category)
