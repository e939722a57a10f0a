import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.data.builders import box_mask, frame_pixels, small_document, write_set
from tests.formats.test_annotations import FAULTS, change
from vistrials.data.check.dataset import check_dataset
from vistrials.errors import DataError
from vistrials.formats.rle import decode_runs, encode, foreground_intervals
from vistrials.formats.track_masks import tight_boxes


def check(tmp_path, document, **options):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(document))
    return check_dataset(path, None, **options)


def found(report):
    return {(problem.severity, problem.kind): problem for problem in report.problems}


def test_a_sound_set(tmp_path):
    progress = []
    annotations, frames_dir = write_set(tmp_path, small_document())
    report = check_dataset(annotations, frames_dir, progress=lambda done, total: progress.append((done, total)))
    assert report.ok
    assert report.problems == ()
    assert (report.num_videos, report.num_frames, report.num_categories, report.num_tracks) == (3, 9, 3, 6)
    assert report.num_masks == 2 + 2 + 4 + 2 + 3 + 2
    assert report.num_frames_read == 9
    assert progress == [(9, 9)]


FIRST = ("annotations", 0)
CASES = [
    # top level
    (("videos",), "del", "error", "missing top-level key", "'videos'"),
    (("annotations",), "del", "error", "no annotations", "data split"),
    (("categories",), 3, "error", "top-level key is no list", "categories is 3"),
    (("annotations",), [], "error", "cannot be loaded", "the file: no annotations"),
    (("videos", 1), 3, "error", "entry is no object", "videos[1]: found 3"),
    # ids
    (("videos", 1, "id"), 41, "error", "duplicate video id", "41"),
    (("annotations", 2, "id"), 11, "error", "duplicate annotation id", "11"),
    (("categories", 2, "id"), 7, "error", "duplicate category id", "7"),
    (("categories", 2, "id"), None, "error", "id is no whole number", "categories[2]: id is None"),
    (("categories", 2, "id"), "del", "error", "missing key", "categories[2]: key 'id'"),
    ((*FIRST, "video_id"), 99, "error", "unknown video_id", "annotation 11 (video 99): video_id 99"),
    ((*FIRST, "category_id"), 1, "error", "unknown category_id", "annotation 11 (video 41): category_id 1"),
    ((*FIRST, "category_id"), "del", "error", "missing key", "annotation 11 (video 41): key 'category_id'"),
    # videos
    (
        ("videos", 0, "file_names"),
        ["a"],
        "error",
        "length and file_names disagree",
        "video 41: length is 4 but file_",
    ),
    (("videos", 0, "file_names"), 3, "error", "file_names is no list of names", "video 41: file_names is 3"),
    (("videos", 0, "width"), -4, "error", "impossible video size", "video 41: width is -4"),
    # lists
    ((*FIRST, "segmentations"), "del", "error", "missing key", "annotation 11 (video 41): key 'segmentations'"),
    ((*FIRST, "areas"), 7, "error", "per-frame key is no list", "annotation 11 (video 41): areas is 7"),
    (
        (*FIRST, "areas"),
        [200],
        "error",
        "list length differs from video length",
        "areas has 1 entries; expected 4",
    ),
    # boxes and areas
    (
        (*FIRST, "bboxes", 0),
        [4, 6, float("nan"), 20],
        "error",
        "bbox is not four finite numbers",
        "bboxes[0] is [4, 6, nan, 20]",
    ),
    ((*FIRST, "bboxes", 0), [4, 6, 10], "error", "bbox is not four finite numbers", "bboxes[0] is [4, 6, 10]"),
    (
        (*FIRST, "bboxes", 0),
        [4, 6, -10, 20],
        "error",
        "negative box size",
        "bboxes[0] is [4, 6, -10, 20]",
    ),
    (
        (*FIRST, "bboxes", 0),
        [4, 6, 0, 0],
        "warning",
        "box below 1 pixel (left out in training)",
        "11 (video 41), frame 0",
    ),
    ((*FIRST, "bboxes", 0), [4, 6, 61, 20], "warning", "box reaches out of the frame", "11 (video 41), frame 0"),
    ((*FIRST, "bboxes", 0), [-2, 6, 10, 20], "warning", "box reaches out of the frame", "11 (video 41), frame 0"),
    ((*FIRST, "bboxes", 0), None, "warning", "mask without box", "annotation 11 (video 41), frame 0"),
    ((*FIRST, "areas", 0), None, "warning", "mask without area", "annotation 11 (video 41), frame 0"),
    ((*FIRST, "areas", 0), -1, "error", "negative area", "areas[0] is -1"),
    ((*FIRST, "areas", 0), float("inf"), "error", "area is no finite number", "areas[0] is inf"),
    ((*FIRST, "segmentations", 0), None, "error", "box without mask", "annotation 11 (video 41), frame 0"),
    ((*FIRST, "segmentations", 0), None, "error", "area without mask", "annotation 11 (video 41), frame 0"),
    ((*FIRST, "bboxes", 0), [4, 6, 13, 20], "error", "box does not fit mask", "mask within [4, 6, 10, 20]"),
    ((*FIRST, "areas", 0), 217, "warning", "area disagrees with mask", "area 217, mask of 200 pixels"),
    # masks
    ((*FIRST, "segmentations", 0), "abc", "error", "segmentation of unknown form", "segmentations[0] is 'abc'"),
    ((*FIRST, "segmentations", 0), [[1, 1, 5, 5]], "error", "broken polygon", "without a polygon of 3 points"),
    (
        (*FIRST, "segmentations", 0),
        {"size": [48, 64], "counts": [5, 9]},
        "error",
        "broken run-length mask",
        "sum to 14",
    ),
    (
        (*FIRST, "segmentations", 0),
        {"size": [48, 64], "counts": "7b"},
        "error",
        "broken run-length mask",
        "frame 0: ",
    ),
    (
        (*FIRST, "segmentations", 0),
        encode(box_mask((4, 6, 10, 20), (64, 48))),
        "error",
        "mask size differs from video size",
        "a mask of 64 x 48 pixels (height x width); the video has 48 x 64",
    ),
    (
        (*FIRST, "segmentations", 0),
        {"size": [48, 64], "counts": [3072]},
        "warning",
        "mask without a pixel",
        "frame 0",
    ),
    # use
    ((*FIRST, "category_id"), 3, "warning", "category never used", "300 (newt)"),
    ((*FIRST, "iscrowd"), 2, "error", "iscrowd is neither 0 nor 1", "annotation 11 (video 41): iscrowd is 2"),
]


@pytest.mark.parametrize(("path", "value", "severity", "kind", "example"), CASES)
def test_every_fault_is_found(tmp_path, path, value, severity, kind, example):
    document = copy.deepcopy(small_document())
    change(document, path, value)
    report = check(tmp_path, document)
    problem = found(report)[severity, kind]
    assert problem.count == 1
    assert example in problem.examples[0]
    if severity == "error":
        assert not report.ok


def test_warnings_alone_are_ok(tmp_path):
    document = small_document()
    document["annotations"][0]["category_id"] = 3
    report = check(tmp_path, document)
    assert report.ok
    assert set(found(report)) == {("warning", "category never used")}


def test_tracks_and_videos_with_nothing_to_see(tmp_path):
    document = small_document()
    for key in ("bboxes", "areas", "segmentations"):
        document["annotations"][3][key] = [None, None]
    problems = found(check(tmp_path, document))
    assert problems["warning", "track without a visible frame"].count == 1
    del document["annotations"][3]
    assert found(check(tmp_path, document))["warning", "video without tracks"].examples == ("5",)


def test_small_disagreements_are_tolerated(tmp_path):
    document = small_document()
    first = document["annotations"][0]
    first["bboxes"][0] = [4, 6, 9, 19]  # to the last pixel, not after it
    first["areas"][0] = 216
    first["segmentations"][0] = [[4, 6, 14, 6, 14, 26, 4, 26]]
    assert check(tmp_path, document).problems == ()


def test_faults_are_counted_with_three_examples(tmp_path):
    document = small_document()
    document["annotations"][2]["bboxes"] = [[0, 0, 30, 20]] * 4
    document["annotations"][3]["bboxes"] = [[1, 2, 3, 3]] * 2
    problem = found(check(tmp_path, document))["error", "box does not fit mask"]
    assert problem.count == 4 + 2
    assert [example.split(":")[0] for example in problem.examples] == [
        f"annotation 13 (video 41), frame {frame}" for frame in range(3)
    ]


def test_errors_come_before_warnings(tmp_path):
    document = small_document()
    document["annotations"][0]["areas"][0] = 900
    document["annotations"][3]["bboxes"][0] = [1, 2, 3, 3]
    assert [problem.severity for problem in check(tmp_path, document).problems] == ["error", "warning"]


@pytest.mark.parametrize(("path", "value", "message"), FAULTS)
def test_what_the_loader_refuses_is_never_called_sound(tmp_path, path, value, message):
    document = copy.deepcopy(small_document())
    change(document, path, value)
    assert not check(tmp_path, document).ok


@pytest.mark.parametrize("document", [[], 3, None, {}, {"videos": None, "categories": [[]], "annotations": [None]}])
def test_files_of_another_kind_are_reported_not_crashed_on(tmp_path, document):
    assert not check(tmp_path, document).ok


def test_files_without_tracks_on_request(tmp_path):
    document = small_document()
    del document["annotations"]
    assert not check(tmp_path, document).ok
    assert check(tmp_path, document, require_annotations=False).problems == ()


def test_no_json(tmp_path):
    (tmp_path / "train.json").write_text('{"videos": [')
    with pytest.raises(DataError, match="cut short"):
        check_dataset(tmp_path / "train.json", None)


def test_frames(tmp_path):
    annotations, frames_dir = write_set(tmp_path, small_document())
    (frames_dir / "41" / "00001.png").unlink()
    whole = (frames_dir / "41" / "00002.png").read_bytes()
    (frames_dir / "41" / "00002.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(frame_pixels(0, 0, (24, 32))).save(frames_dir / "5" / "00001.png")
    problems = found(check_dataset(annotations, frames_dir))
    assert {kind: problem.examples[0].split(":")[0] for (_, kind), problem in problems.items()} == {
        "missing frame": "video 41, frame 1",
        "unreadable frame": "video 41, frame 2",
        "frame size differs from declared size": "video 5, frame 1",
    }
    assert all(problem.count == 1 for problem in problems.values())
    assert "has 24 x 32 pixels (height x width), declared 40 x 64" in str(problems)


def test_a_frame_that_two_videos_share_is_read_once(tmp_path):
    document = small_document()
    document["videos"].append({**document["videos"][0], "id": 77})
    document["annotations"].append({**document["annotations"][0], "id": 77, "video_id": 77})
    report = check_dataset(*write_set(tmp_path, document))
    assert report.ok
    assert (report.num_frames, report.num_frames_read) == (9 + 4, 9)


def test_missing_frame_folder(tmp_path):
    annotations, _ = write_set(tmp_path, small_document())
    problems = found(check_dataset(annotations, tmp_path / "absent"))
    assert set(problems) == {("error", "frame folder missing")}


def test_boxes_of_many_masks_at_once():
    rng = np.random.default_rng(0)
    masks = [rng.random((7, 5)) < p for p in (0, 0.02, 0.1, 0.5, 1) for _ in range(20)]
    rles = [encode(mask) for mask in masks]
    boxes = tight_boxes(foreground_intervals(decode_runs(rles)))
    assert boxes.tolist() == [coco_mask.toBbox(rle).tolist() for rle in rles]
    for mask, (x, y, w, h) in zip(masks, boxes.astype(int).tolist(), strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            assert [x, y, x + w - 1, y + h - 1] == [columns[0], rows[0], columns[-1], rows[-1]]
        else:
            assert w == h == 0


def test_real_clip(shared_dir):
    clip = shared_dir / "clips" / "schoolgirls"
    report = check_dataset(clip / "valid.json", clip / "JPEGImages")
    assert report.ok
    assert [problem.kind for problem in report.problems] == ["category never used"]
