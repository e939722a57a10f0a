"""Loading, evaluation and `data check` agree on which annotation files can be used."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.builders import box_mask, small_document
from vistrials.data.check.dataset import check_dataset
from vistrials.errors import DataError
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats.annotations import build_video_set, load_video_set
from vistrials.formats.rle import encode

TRACK = ("annotations", 3)  # of video 5, which has 2 frames of 40 x 64
MASK = (*TRACK, "segmentations", 0)

BROKEN: list[tuple[tuple[Any, ...], Any]] = [
    (("videos",), ...),
    (("videos",), {}),
    (("videos", 1), 3),
    (("videos", 1, "id"), ...),
    (("videos", 1, "id"), "5"),
    (("videos", 1, "id"), 41),
    (("videos", 1, "height"), ...),
    (("videos", 1, "height"), 0),
    (("videos", 1, "width"), 64.5),
    (("videos", 1, "width"), 10**9),
    (("videos", 1, "file_names"), ["a.png", None]),
    (("videos", 1, "length"), 7),
    (("categories",), ...),
    (("categories", 0), "cat"),
    (("categories", 0, "id"), 3),
    (("categories", 0, "id"), True),
    (("annotations",), {}),
    (("annotations", 3), None),
    ((*TRACK, "id"), ...),
    ((*TRACK, "id"), 11),
    ((*TRACK, "video_id"), ...),
    ((*TRACK, "video_id"), 6),
    ((*TRACK, "video_id"), [5]),
    ((*TRACK, "category_id"), 1),
    ((*TRACK, "iscrowd"), 2),
    ((*TRACK, "iscrowd"), "0"),
    ((*TRACK, "bboxes"), 3),
    ((*TRACK, "bboxes"), [[1, 2, 3, 4]]),
    ((*TRACK, "bboxes", 0), [1, 2, 3]),
    ((*TRACK, "bboxes", 0), [1, 2, math.nan, 4]),
    ((*TRACK, "bboxes", 0), [1, 2, -3, 4]),
    ((*TRACK, "areas"), [9.0, 9.0, 9.0]),
    ((*TRACK, "areas", 0), -1),
    ((*TRACK, "areas", 0), "9"),
    ((*TRACK, "areas", 0), math.inf),
    ((*TRACK, "segmentations"), ...),
    ((*TRACK, "segmentations"), None),
    ((*TRACK, "segmentations"), [None]),
    (MASK, 3),
    (MASK, "abc"),
    (MASK, [[1, 1, 5, 5]]),
    (MASK, [[1, 1, 5, 5, 1e9, 4]]),
    (MASK, {"size": [48, 64], "counts": [5, 9]}),
    (MASK, {"size": [48, 64], "counts": "~"}),
    (MASK, {"size": [48, 64], "counts": ""}),
    (MASK, {"size": [48], "counts": "a"}),
    (MASK, {"counts": "a"}),
    (MASK, {"size": [48, 64], "counts": [-5, 3077]}),
]

USABLE: list[tuple[tuple[Any, ...], Any]] = [
    ((*TRACK, "bboxes"), ...),
    ((*TRACK, "areas"), ...),
    ((*TRACK, "bboxes"), None),
    ((*TRACK, "areas"), None),
    ((*TRACK, "bboxes", 0), None),
    ((*TRACK, "areas", 0), None),
    ((*TRACK, "iscrowd"), ...),
    ((*TRACK, "iscrowd"), None),
    ((*TRACK, "iscrowd"), True),
    (("videos", 1, "length"), ...),
    (("videos", 1, "length"), None),
    (("categories", 2, "name"), ...),
]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The small set with the item at the path replaced, or deleted where the value is ..."""
    document = copy.deepcopy(small_document())
    *parents, last = path
    item: Any = document
    for key in parents:
        item = item[key]
    if value is ...:
        del item[last]
    else:
        item[last] = value
    return document


def doors(document: dict[str, Any], folder: Path) -> dict[str, str | None]:
    """What loading, evaluation and check say against a file; None where they take it."""
    path, predictions = folder / "truth.json", folder / "predictions.json"
    path.write_text(json.dumps(document))
    predictions.write_text("[]")
    said: dict[str, str | None] = {}
    for name, door in (
        ("loading", lambda: load_video_set(path, folder)),
        ("evaluation", lambda: evaluate_files(path, predictions)),
    ):
        try:
            door()
        except DataError as error:
            said[name] = str(error)
        else:
            said[name] = None
    errors = [problem for problem in check_dataset(path, None).problems if problem.severity == "error"]
    said["check"] = errors[0].examples[0] if errors else None
    return said


@pytest.mark.parametrize(("path", "value"), BROKEN)
def test_a_broken_file_is_refused_at_every_door(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    said = doors(changed(path, value), tmp_path)
    assert all(said.values()), said
    assert all("\n" not in text for text in said.values() if text)


@pytest.mark.parametrize(("path", "value"), USABLE)
def test_a_usable_file_is_taken_at_every_door(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    assert set(doors(changed(path, value), tmp_path).values()) == {None}


@pytest.mark.parametrize("absent", [[], {}])
def test_empty_segmentations_are_absent_at_every_door(tmp_path: Path, absent: Any) -> None:
    document = changed(MASK, absent)
    for key in ("bboxes", "areas"):
        document["annotations"][3][key][0] = None
    assert set(doors(document, tmp_path).values()) == {None}
    assert build_video_set(document, tmp_path, "x.json").videos[1].tracks[0].segmentations[0] is None


def test_evaluation_alone_takes_masks_of_another_size_as_the_official_program_does(tmp_path: Path) -> None:
    said = doors(changed(MASK, encode(box_mask((4, 6, 10, 20), (64, 48)))), tmp_path)
    assert said["evaluation"] is None
    for door in ("loading", "check"):
        assert "a mask of 64 x 48 pixels (height x width); the video has 40 x 64" in (said[door] or "")


def test_boxes_and_areas_that_are_left_out_are_those_of_the_masks(tmp_path: Path) -> None:
    whole, bare = small_document(), small_document()
    for track in bare["annotations"][:2]:
        del track["bboxes"], track["areas"]
    for track in bare["annotations"][2:]:
        track["bboxes"][1] = track["areas"][0] = None
    found, expected = (build_video_set(document, tmp_path, "x.json").videos for document in (bare, whole))
    for ours, theirs in zip(found, expected, strict=True):
        for track, other in zip(ours.tracks, theirs.tracks, strict=True):
            assert track.bboxes == other.bboxes and track.areas == other.areas
    assert np.array(found[0].tracks[0].bboxes[0]).shape == (4,)
