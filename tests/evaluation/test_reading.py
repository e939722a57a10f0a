"""Ground truth and predictions that cannot be used: one line that names the entry."""

import copy
import math

import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from vistrials.errors import DataError
from vistrials.evaluation.reading import read_ground_truth, read_predictions
from vistrials.evaluation.youtube_vis import evaluate

GOOD_TRUTH = ground_truth([truth([strip(0, 10)]), truth([strip(0, 10)])], num_videos=2, num_categories=2)
GOOD_PREDICTIONS = [prediction([strip(0, 10)], 0.9), prediction([strip(5, 10)], 0.8)]


def changed(value, *path, to):
    """A copy with the item at the path replaced, or deleted where `to` is ..."""
    value = copy.deepcopy(value)
    item = value
    for key in path[:-1]:
        item = item[key]
    if to is ...:
        del item[path[-1]]
    else:
        item[path[-1]] = to
    return value


def message(ground_truth, predictions):
    with pytest.raises(DataError) as error:
        evaluate(ground_truth, predictions)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 250
    return text


def test_good_data_is_read():
    read = read_ground_truth(GOOD_TRUTH)
    assert list(read.videos) == [1, 2]
    assert read.category_names == {1: "category 1", 2: "category 2"}
    assert [track.areas for track in read.tracks] == [[10], [10]]
    assert [track.score for track in read_predictions(GOOD_PREDICTIONS, read)] == [0.9, 0.8]


def test_bad_ground_truth_is_named():
    """Which ground truth is bad is for tests/formats/test_annotation_doors.py; masks are looked at in their turn."""
    bad = changed(GOOD_TRUTH, "annotations", 1, "iscrowd", to=2)
    assert message(bad, []) == "ground truth: annotation 2 (video 1): iscrowd is 2; expected 0 or 1"
    bad = changed(GOOD_TRUTH, "annotations", 1, "segmentations", 0, "counts", to="~")
    assert "ground truth annotations[1] segmentations[0]: counts hold a character" in message(bad, GOOD_PREDICTIONS)


def test_areas_that_are_left_out_are_those_of_the_masks():
    without = changed(GOOD_TRUTH, "annotations", 1, "areas", to=...)
    assert evaluate(without, GOOD_PREDICTIONS).figures == evaluate(GOOD_TRUTH, GOOD_PREDICTIONS).figures


@pytest.mark.parametrize(
    ("path", "to", "expected"),
    [
        ([1], None, "predictions[1]: is null; expected an object"),
        (
            [1, "video_id"],
            ...,
            "predictions[1]: has no 'video_id'; found 'category_id', 'score', 'segmentations'",
        ),
        ([1, "video_id"], 3, "predictions[1]: video_id 3 is not in the ground truth, which has 1, 2"),
        ([1, "video_id"], 1.5, "predictions[1]: video_id is 1.5; expected a whole number"),
        ([1, "video_id"], "1", "video_id is '1'; expected a whole number; write the number without quotes"),
        ([1, "video_id"], True, "predictions[1]: video_id is True; expected a whole number"),
        ([1, "category_id"], 3, "predictions[1]: category_id 3 is not in the ground truth"),
        ([1, "score"], ..., "predictions[1]: has no 'score'"),
        ([1, "score"], math.nan, "predictions[1]: score is nan; expected a finite number"),
        ([1, "score"], math.inf, "predictions[1]: score is inf; expected a finite number"),
        ([1, "score"], 10**400, "predictions[1]: score is 1000"),
        ([1, "score"], "0.8", "predictions[1]: score is '0.8'; expected a number"),
        ([1, "score"], True, "predictions[1]: score is True; expected a number"),
        ([1, "segmentations"], ..., "predictions[1]: has no 'segmentations'"),
        ([1, "segmentations"], {"a": 1}, "predictions[1]: segmentations is an object; expected a list"),
        ([1, "segmentations", 0], "text", "predictions[1] segmentations[0]: a segmentation is str"),
        ([1, "segmentations", 0, "counts"], "~", "predictions[1] segmentations[0]: counts hold a character"),
        (
            [1, "segmentations", 0, "size"],
            [1, 99],
            "predictions[1] segmentations[0]: the runs sum to 100 pixels",
        ),
    ],
)
def test_a_bad_prediction_is_named(path, to, expected):
    assert expected in message(GOOD_TRUTH, changed(GOOD_PREDICTIONS, *path, to=to))


def test_files_of_another_shape_are_refused():
    assert "ground truth: expected an object with videos" in message([], GOOD_PREDICTIONS)
    assert "predictions are an object; expected a list" in message(GOOD_TRUTH, {"results": []})


def test_many_ids_are_not_all_listed():
    many = ground_truth([], num_videos=300)
    assert message(many, [prediction([], 0.5, video=999)]).endswith("which has 1, 2, 3, 4, 5, .. (300 in all)")


def test_crowd_flag_and_names_may_be_missing():
    bare = changed(changed(GOOD_TRUTH, "annotations", 0, "iscrowd", to=...), "categories", 0, "name", to=...)
    read = read_ground_truth(bare)
    assert not read.tracks[0].is_crowd
    assert read.category_names[1] == "1"


def test_the_number_of_frames_comes_from_the_file_names_where_no_length_is_given():
    video = {"id": 1, "height": 1, "width": 1, "file_names": ["a", "b"]}
    read = read_ground_truth({"videos": [video], "categories": [{"id": 1}], "annotations": []})
    assert read.videos[1].num_frames == 2
