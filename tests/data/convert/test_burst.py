import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.burst import read_burst
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.rle import encode

NAMES = ["frame0001.jpg", "frame0031.jpg", "frame0061.jpg"]


def rle(x: int, y: int, w: int, h: int, **more: Any) -> dict[str, Any]:
    return {"rle": encode(drawn((1, x, y, w, h)))["counts"], "is_gt": True, **more}


def sequence(**changes: Any) -> dict[str, Any]:
    """An airplane (track 2) in all frames; a bird (track 7) that is absent in the middle, overlapping it at first."""
    return {
        "id": 4,
        "seq_name": "airplane-1",
        "dataset": "LaSOT",
        "width": 32,
        "height": 24,
        "fps": 30,
        "all_image_paths": ["frame0000.jpg", *NAMES],
        "annotated_image_paths": NAMES,
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {"2": 805, "7": 12},
        "segmentations": [
            {"2": rle(1, 2, 10, 8), "7": rle(5, 2, 10, 8)},
            {"2": rle(3, 2, 10, 8, is_gt=False, score=0.9)},
            {"2": rle(5, 2, 10, 8), "7": rle(20, 2, 3, 3)},
        ],
        **changes,
    }


def write_burst(folder: Path, *sequences: Any, categories: Any = None) -> Path:
    for number, name in enumerate(NAMES):
        write_frame(folder / "frames" / "LaSOT" / "airplane-1" / name, seed=number)
    listed = [{"id": 805, "name": "airplane", "synset": "a.n.01"}, {"id": 12, "name": "bird"}]
    path = folder / "all_classes.json"
    path.write_text(json.dumps({"sequences": sequences, "categories": categories or listed, "split": "train"}))
    return path


def test_masks_by_frame_and_track(tmp_path):
    path = write_burst(tmp_path, sequence())
    source = read_burst(path, tmp_path / "frames")
    made = write_youtube_vis(source, tmp_path / "out")
    document = json.loads(made.annotations.read_text())
    assert document["categories"] == [{"id": 805, "name": "airplane"}, {"id": 12, "name": "bird"}]
    assert [(t["category_id"], t["areas"]) for t in document["annotations"]] == [
        (805, [80, 80, 80]),
        (12, [80, None, 9]),
    ]
    assert document["videos"][0]["file_names"] == [f"LaSOT_airplane-1/{name}" for name in NAMES]
    assert (converted_masks(made.annotations)["LaSOT_airplane-1", 1][0] == (drawn((1, 5, 2, 10, 8)) == 1)).all()
    assert [line.split(" (first")[0] for line in source.notes.lines()] == [
        "1 masks were made by BURST, not by people (is_gt false)"
    ]
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 24, "height": 32}, "declared as 32 x 24 pixels, while the frame has 24 x 32; they are switched"),
        ({"segmentations": [{}]}, "1 segmentations, while annotated_image_paths has 3"),
        ({"segmentations": [{"9": rle(1, 1, 2, 2)}, {}, {}]}, "frame 0, track 9: not among track_category_ids"),
        ({"segmentations": [{"2": rle(1, 1, 2, 2, point=[1, 1])}, {}, {}]}, "a file of first frames"),
        ({"segmentations": [{"2": {"rle": "5"}}, {}, {}]}, "frame 0, track 2: mask: the runs sum to 5 pixels"),
        ({"segmentations": [{"2": {"rle": None}}, {}, {}]}, "expected an object with rle"),
        ({"segmentations": [[], {}, {}]}, r"segmentations\[0\] is \[\]; expected an object by track"),
        ({"track_category_ids": {"2": 3, "7": 12}}, "track 2 is of category 3, which is not among the categories"),
        ({"annotated_image_paths": ["a.jpg", *NAMES[1:]]}, "a.jpg: no such frame; --frames names the folder"),
        ({"annotated_image_paths": ["../../x.jpg", *NAMES[1:]]}, "'../../x.jpg' leads out of the folder of frames"),
        ({"annotated_image_paths": ["/etc/passwd", *NAMES[1:]]}, "'/etc/passwd' leads out of the folder of frames"),
        ({"dataset": "..", "seq_name": ".."}, "leads out of the folder of frames"),
        ({"annotated_image_paths": []}, r"annotated_image_paths is \[\]; expected a list"),
        ({"seq_name": None}, "expected an object with seq_name"),
    ],
)
def test_faults_are_named(tmp_path, changes, message):
    path = write_burst(tmp_path, sequence(**changes))
    with pytest.raises(DataError, match=message) as caught:
        write_youtube_vis(read_burst(path, tmp_path / "frames"), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_faults_of_the_file_are_named(tmp_path):
    path = write_burst(tmp_path, sequence(), categories=[{"id": 1}])
    with pytest.raises(DataError, match="a category is {'id': 1}; expected an object with id and name"):
        read_burst(path)
    path = write_burst(tmp_path, sequence(), categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    with pytest.raises(DataError, match="category id 1 occurs twice"):
        read_burst(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="expected BURST's form"):
        read_burst(path)


def test_a_link_that_leads_out_is_refused(tmp_path):
    path = write_burst(tmp_path, sequence())
    frame = tmp_path / "frames" / "LaSOT" / "airplane-1" / NAMES[1]
    frame.rename(tmp_path / "elsewhere.jpg")
    frame.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(DataError, match="'frame0031.jpg' is a link that leads out of .*; copy the file there"):
        write_youtube_vis(read_burst(path, tmp_path / "frames"), tmp_path / "out")
    # A folder of frames that is itself a link is the user's own choice.
    frame.unlink()
    (tmp_path / "elsewhere.jpg").rename(frame)
    (tmp_path / "linked").symlink_to(tmp_path / "frames")
    assert records(write_youtube_vis(read_burst(path, tmp_path / "linked"), tmp_path / "out").annotations)
