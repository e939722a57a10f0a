import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import annotation_loading
from tests.data.builders import box_mask, make_document, make_track, make_video, small_document
from vistrials.errors import DataError
from vistrials.formats.annotations import build_video_set, decode_mask, load_video_set
from vistrials.formats.rle import decode_runs, encode

FRAMES = Path("frames")


def load(document, require_annotations=True):
    return build_video_set(document, FRAMES, "x.json", require_annotations)


def test_records_follow_the_file():
    video_set = load(small_document())
    assert [video.id for video in video_set.videos] == [41, 5, 9]
    assert video_set.label_by_category_id == {7: 1, 3: 2, 300: 3}
    first = video_set.videos[0]
    assert (first.height, first.width, len(first)) == (48, 64, 4)
    assert first.file_names[3] == "41/00003.png"
    assert [track.id for track in first.tracks] == [11, 12, 13]
    assert [track.is_crowd for track in first.tracks] == [False, False, True]
    assert first.tracks[0].bboxes == [[4, 6, 10, 20], [6, 6, 10, 20], None, None]
    assert first.tracks[0].areas == [200, 200, None, None]


def test_segmentations_stay_as_the_file_has_them():
    document = small_document()
    raw = document["annotations"][0]["segmentations"]
    assert load(document).videos[0].tracks[0].segmentations == raw


def test_three_encodings_of_one_mask_agree():
    mask = box_mask((4, 6, 10, 20), (48, 64))
    compressed = encode(mask)
    runs = {"size": [48, 64], "counts": decode_runs([compressed]).lengths.tolist()}
    polygon = [[4, 6, 14, 6, 14, 26, 4, 26]]
    for segmentation in (compressed, runs, polygon):
        np.testing.assert_array_equal(decode_mask(segmentation, 48, 64), mask)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(DataError, match="48 x 64 pixels.*the video has 64 x 48"):
        decode_mask(encode(box_mask((4, 6, 10, 20), (48, 64))), 64, 48)


@pytest.mark.parametrize("name", ["train.json", "train.json.gz"])
def test_files_plain_and_gzipped(tmp_path, name):
    text = json.dumps(small_document()).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert load_video_set(path, FRAMES) == load(small_document())


def test_ovis_form_without_lengths_and_crowd_flags():
    document = small_document()
    for video in document["videos"]:
        del video["length"]
    for track in document["annotations"]:
        del track["iscrowd"]
        track |= {"height": 48, "width": 64, "length": 4}
    assert not any(track.is_crowd for video in load(document).videos for track in video.tracks)


@pytest.mark.parametrize("annotations", ["absent", None, []])
def test_files_without_annotations_are_accepted_on_request_only(annotations):
    document = small_document()
    if annotations == "absent":
        del document["annotations"]
    else:
        document["annotations"] = annotations
    assert all(video.tracks == () for video in load(document, require_annotations=False).videos)
    with pytest.raises(DataError, match="x.json: no annotations .*vistrials data split"):
        load(document)


def change(document, path, value):
    """Set document[path[0]][path[1]].. to a value, or delete it where the value is `del`."""
    *parents, last = path
    for key in parents:
        document = document[key]
    if value == "del":
        del document[last]
    else:
        document[last] = value


FAULTS = [
    (("videos",), "del", "x.json: key 'videos' is missing"),
    (("categories",), "del", "key 'categories' is missing"),
    (("videos",), {}, "videos is an object; expected a list"),
    (("videos",), [], "videos is empty"),
    (("categories",), [], "categories is empty"),
    (("annotations",), [3], r"annotations\[0\]: found 3; expected an object"),
    (("videos", 1, "id"), 41, "video id 41 occurs more than once"),
    (("videos", 1, "id"), "5", r"videos\[1\]: id is '5'"),
    (("videos", 1, "width"), "del", "video 5: key 'width' is missing"),
    (("videos", 1, "width"), 0, "video 5: width is 0"),
    (("videos", 1, "height"), 4.5, "video 5: height is 4.5"),
    (("videos", 1, "file_names"), [], "video 5: file_names is .*; expected a name per frame"),
    (("videos", 1, "file_names"), ["a.jpg", None], "video 5: file_names is .*; expected a name per frame"),
    (("videos", 1, "length"), 7, "video 5: length is 7 but file_names has 2"),
    (("categories", 0, "id"), 3, "category id 3 occurs more than once"),
    (("annotations", 3, "id"), 11, "annotation id 11 occurs more than once"),
    (("annotations", 3, "segmentations"), "del", r"annotation 21 \(video 5\): key 'segmentations' is missing"),
    (("annotations", 3, "video_id"), 6, r"annotation 21 \(video 6\): video_id 6 is not among the videos"),
    (("annotations", 3, "video_id"), [6], "video_id .* is not among the videos"),
    (("annotations", 3, "category_id"), 1, r"annotation 21 \(video 5\): category_id 1 is not among"),
    (("annotations", 3, "areas"), 3, r"annotation 21 \(video 5\): areas is 3; expected a list"),
    (("annotations", 3, "areas"), [1.0], r"annotation 21 \(video 5\): areas has 1 entries; expected 2"),
    (("annotations", 3, "bboxes", 1), [1, 2, 3], r"annotation 21 \(video 5\): bboxes\[1\] is \[1, 2, 3\]"),
    (("annotations", 3, "bboxes", 1), [1, 2, 3, float("nan")], r"bboxes\[1\]"),
    (("annotations", 3, "bboxes", 1), [1, 2, 3, 10**400], r"bboxes\[1\]"),
    (("annotations", 3, "areas", 0), "9", r"areas\[0\] is '9'; expected a number of pixels or null"),
    (("annotations", 3, "areas", 0), -9, r"annotation 21 \(video 5\): areas\[0\] is -9; expected pixels"),
    (("annotations", 3, "bboxes", 1), [1, 2, -3, 4], r"bboxes\[1\] is \[1, 2, -3, 4\]; expected w and h of 0 or more"),
    (("annotations", 3, "iscrowd"), 2, r"annotation 21 \(video 5\): iscrowd is 2; expected 0 or 1"),
    (("annotations", 3, "segmentations", 0), "abc", r"segmentations\[0\] is 'abc'"),
    (
        ("annotations", 3, "segmentations", 0),
        {"size": [48, 64], "counts": "a"},
        r"annotation 21 \(video 5\), frame 0: ",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), FAULTS)
def test_structural_faults_name_the_place(path, value, message):
    document = copy.deepcopy(small_document())
    change(document, path, value)
    with pytest.raises(DataError, match=message) as caught:
        load(document)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_object():
    with pytest.raises(DataError, match="x.json: expected an object with videos.*, found a list"):
        load([])


def test_tracks_may_come_in_any_order_of_videos():
    size = (4, 4)
    tracks = [make_track(i, i % 2, 7, [(0, 0, 2, 2)], size) for i in range(4)]
    video_set = load(make_document([make_video(0, 1, size), make_video(1, 1, size)], tracks))
    assert [[track.id for track in video.tracks] for video in video_set.videos] == [[0, 2], [1, 3]]


def test_real_annotations(shared_dir):
    clip = shared_dir / "clips" / "schoolgirls"
    video_set = load_video_set(clip / "train.json", clip / "JPEGImages")
    assert [len(video) for video in video_set.videos] == [30, 30]
    assert video_set.num_categories == 40
    for video in video_set.videos:
        assert len(video.tracks) == 4
        for track in video.tracks:
            masks = [decode_mask(s, video.height, video.width) for s in track.segmentations if s is not None]
            assert [int(mask.sum()) for mask in masks] == [area for area in track.areas if area is not None]


@pytest.mark.parametrize("option", ["", "--uncompressed"])
def test_the_benchmark_runs(monkeypatch, capsys, option):
    monkeypatch.setattr(annotation_loading, "NUM_VIDEOS", 20)
    monkeypatch.setattr(annotation_loading, "NUM_MASKS", 3)
    monkeypatch.setattr("sys.argv", ["annotation_loading", *option.split()])
    annotation_loading.main()
    printed = capsys.readouterr().out
    assert "in 20 videos" in printed
    assert "peak RSS" in printed
