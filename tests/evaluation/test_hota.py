"""HOTA and IDF1: worked cases, the figures of TrackEval, invariances."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.building import WIDTH, ground_truth, prediction, strip, truth
from tests.evaluation.trackeval_reference import trackeval_counts, trackeval_youtube_vis
from vistrials.errors import DataError
from vistrials.evaluation.hota import (
    ALPHAS,
    NOT_COUNTED,
    TRACKING_FIGURES,
    compute_tracking_figures,
    count_tracking,
    evaluate_tracking,
)
from vistrials.evaluation.track_files import naming_files, read_files
from vistrials.formats.json_file import load_json, save_json_atomic

MASK, OTHER = strip(0, 10), strip(50, 60)


def figures(truths, predictions, num_frames, **more):
    return evaluate_tracking(ground_truth(truths, num_frames=num_frames), predictions, **more).class_averaged


# --- Worked cases


def test_perfect_tracks_are_one():
    result = figures([truth([MASK, None, MASK])], [prediction([MASK, None, MASK], 0.1)], 3)
    assert result == dict.fromkeys(TRACKING_FIGURES, 1.0)


def test_a_track_broken_in_two_keeps_its_detections_and_loses_half_of_its_association():
    predictions = [prediction([MASK] * 6 + [None] * 4, 0.9), prediction([None] * 6 + [MASK] * 4, 0.9)]
    result = figures([truth([MASK] * 10)], predictions, 10)
    # 6 detections whose two tracks share 6 of 10 frames, 4 whose tracks share 4 of 10.
    association = (6 * 6 / 10 + 4 * 4 / 10) / 10
    assert result["DetA"] == result["DetRe"] == result["DetPr"] == result["AssPr"] == 1
    assert result["AssA"] == pytest.approx(association, abs=1e-12)
    assert result["AssRe"] == pytest.approx(association, abs=1e-12)
    assert result["HOTA"] == pytest.approx(association**0.5, abs=1e-12)
    # One of the two may stand for the object: 6 identified of 10 true and 10 predicted.
    assert result["IDF1"] == result["IDR"] == result["IDP"] == pytest.approx(6 / 10, abs=1e-12)


def test_two_objects_that_swap_identities():
    truths = [truth([MASK] * 4), truth([OTHER] * 4)]
    predictions = [prediction([MASK] * 3 + [OTHER], 0.9), prediction([OTHER] * 3 + [MASK], 0.9)]
    result = figures(truths, predictions, 4)
    # Per object: 3 detections as a pair, of the 4 + 4 - 3 frames that either has; 1 of the 4 + 4 - 1.
    association = (3 * 3 / 5 + 1 * 1 / 7) / 4
    assert result["DetA"] == 1
    assert result["AssA"] == pytest.approx(association, abs=1e-12)
    assert result["IDF1"] == pytest.approx(3 / 4, abs=1e-12)


def test_thresholds_count_detections_apart():
    # IoU 6/10 = 0.6: found at the 12 thresholds .05 .. .60, the last of them by equality; at the others both
    # the true and the predicted detection are lost.
    result = figures([truth([strip(0, 10)])], [prediction([strip(0, 6)], 0.5)], 1)
    expected = dict.fromkeys(TRACKING_FIGURES, 12 / 19) | {"IDF1": 1, "IDR": 1, "IDP": 1}
    assert result == pytest.approx(expected, abs=1e-12)
    # IoU 5/10 reaches the one threshold of IDF1, 4/10 is below it.
    assert figures([truth([strip(0, 10)])], [prediction([strip(0, 5)], 0.5)], 1)["IDF1"] == 1
    result = figures([truth([strip(0, 10)])], [prediction([strip(0, 4)], 0.5)], 1)
    assert result == pytest.approx(dict.fromkeys(TRACKING_FIGURES, 8 / 19) | {"IDF1": 0, "IDR": 0, "IDP": 0}, abs=1e-12)


def test_every_multiple_of_a_twentieth_reaches_its_own_threshold():
    ious = np.array([[[i / 20]] for i in range(21)])
    counts = count_tracking(ious, np.ones((21, 1), bool), np.ones((21, 1), bool))
    assert counts.num_found.tolist() == [20 - i for i in range(19)]
    assert ALPHAS.tolist() == [pytest.approx(i / 20) for i in range(1, 20)]


def test_surplus_tracks_cost_precision_unless_left_out_by_score():
    predictions = [prediction([MASK] * 2, 0.9), prediction([MASK] * 2, 0.2), prediction([OTHER] * 2, 0.2)]
    result = figures([truth([MASK] * 2)], predictions, 2)
    assert [result[name] for name in ("DetA", "DetPr", "IDP")] == pytest.approx([2 / 6] * 3, abs=1e-12)
    assert result["IDF1"] == pytest.approx(2 * 2 / (2 + 6), abs=1e-12)
    assert result["AssA"] == result["DetRe"] == 1
    assert figures([truth([MASK] * 2)], predictions, 2, min_score=0.9) == dict.fromkeys(TRACKING_FIGURES, 1.0)


def test_the_two_averages():
    # Category 1: one detection, found. Category 2: three, none found. Category 3 has a prediction only,
    # category 4 nothing.
    data = ground_truth([truth([MASK, None, None]), truth([MASK] * 3, category=2)], num_categories=4, num_frames=3)
    predictions = [prediction([MASK, None, None], 0.5), prediction([MASK] * 2 + [None], 0.5, category=3)]
    result = evaluate_tracking(data, predictions)
    assert list(result.per_category) == [1, 2, 3]
    assert [figures["HOTA"] for figures in result.per_category.values()] == [1, 0, 0]
    assert result.class_averaged["HOTA"] == result.class_averaged["IDF1"] == pytest.approx(1 / 3, abs=1e-12)
    assert result.detection_averaged["DetA"] == pytest.approx(1 / (4 + 3 - 1), abs=1e-12)
    assert result.detection_averaged["AssA"] == 1
    assert result.detection_averaged["HOTA"] == pytest.approx((1 / 6) ** 0.5, abs=1e-12)
    assert result.detection_averaged["IDF1"] == pytest.approx(2 * 1 / (4 + 3), abs=1e-12)
    assert result.num_predictions == 2


def test_nothing_at_all():
    result = evaluate_tracking(ground_truth([]), [])
    assert result.class_averaged == dict.fromkeys(TRACKING_FIGURES, NOT_COUNTED)
    assert result.detection_averaged == dict.fromkeys(TRACKING_FIGURES, 0.0)
    assert result.per_category == {}
    # Tracks without a mask are nothing, too.
    assert figures([truth([None, None])], [prediction([None, []], 0.5)], 2)["HOTA"] == NOT_COUNTED


@pytest.mark.parametrize(("truths", "predictions"), [([truth([MASK])], []), ([], [prediction([MASK], 0.5)])])
def test_one_side_empty(truths, predictions):
    assert figures(truths, predictions, 1) == dict.fromkeys(TRACKING_FIGURES, 0.0)


def test_tracks_that_do_not_fit_their_video():
    data = ground_truth([truth([MASK] * 3)], num_frames=3)
    # Too short: absent in the frames that it lacks. Too long: cut.
    assert evaluate_tracking(data, [prediction([MASK], 0.5)]).class_averaged["IDF1"] == 2 * 1 / (3 + 1)
    assert evaluate_tracking(data, [prediction([MASK] * 5, 0.5)]).class_averaged["IDF1"] == 1
    # Another size overlaps nothing, and counts as a detection all the same.
    assert evaluate_tracking(data, [prediction([strip(0, 10, WIDTH + 1)] + [MASK] * 2, 0.5)]).class_averaged[
        "IDF1"
    ] == pytest.approx(2 * 2 / (3 + 3))
    # A length far beyond all tracks takes no memory.
    data = ground_truth([], num_frames=10**15)
    assert evaluate_tracking(data, [prediction([MASK] * 3, 0.5)]).class_averaged["IDF1"] == 0


def test_an_empty_mask_is_a_detection():
    # TrackEval looks at whether there is a mask, not at its area.
    result = figures([truth([MASK, MASK])], [prediction([MASK, strip(0, 0)], 0.5)], 2)
    assert result["DetPr"] == 1 / 2
    assert result["IDF1"] == 2 * 1 / (2 + 2)


# --- TrackEval


@st.composite
def overlaps(draw):
    """IoU of up to 4 true and 6 predicted tracks in up to 8 frames, of few values so that many of them tie."""
    num_frames, num_true, num_predicted = (draw(st.integers(1, n)) for n in (8, 4, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    is_true, is_predicted = (
        rng.random((num_frames, n)) < draw(st.sampled_from([0.3, 0.9])) for n in (num_true, num_predicted)
    )
    # TrackEval knows no tracks without a detection.
    is_true, is_predicted = is_true[:, is_true.any(axis=0)], is_predicted[:, is_predicted.any(axis=0)]
    shape = (num_frames, is_true.shape[1], is_predicted.shape[1])
    if draw(st.booleans()):
        ious = rng.integers(0, 21, shape) / 20
    else:
        ious = rng.random(shape)
    ious *= rng.random(shape) < draw(st.sampled_from([0.3, 1.0]))
    return ious * is_true[:, :, None] * is_predicted[:, None], is_true, is_predicted


@settings(max_examples=300, deadline=None)
@given(overlaps())
def test_counts_equal_trackeval(arrays):
    expected = trackeval_counts(*arrays)
    assert compute_tracking_figures(count_tracking(*arrays)) == pytest.approx(expected, abs=1e-12)


def compare_with_trackeval(folder, data, predictions):
    expected = trackeval_youtube_vis(folder, data, copy.deepcopy(predictions))
    result = evaluate_tracking(data, predictions)
    names = {category["id"]: category["name"] for category in data["categories"]}
    for category_id, of_category in result.per_category.items():
        assert of_category == pytest.approx(expected[names[category_id]], abs=1e-9)
    assert result.detection_averaged == pytest.approx(expected["cls_comb_det_av"], abs=1e-9)
    # TrackEval's mean over classes counts those without any detection as 0.
    counted = len(result.per_category) / len(names)
    averaged = {name: value * counted for name, value in result.class_averaged.items()}
    assert averaged == pytest.approx(expected["cls_comb_cls_av"], abs=1e-9)
    return result


def test_figures_equal_trackeval_on_real_videos(shared_dir, tmp_path):
    folder = shared_dir / "evaluation" / "davis8"
    data, predictions = load_json(folder / "gt.json.gz"), load_json(folder / "dt.json.gz")
    result = compare_with_trackeval(tmp_path, data, predictions)
    assert len(result.per_category) == len(data["categories"])


def random_data(seed):
    """Four videos of up to 6 frames: wandering strips, predictions near them, at random and in duplicate."""
    rng = np.random.default_rng(seed)
    data = ground_truth([], num_videos=4, num_categories=4)
    tracks = {True: [], False: []}
    for video in data["videos"]:
        video["length"] = int(rng.integers(1, 7))
        video["file_names"] = [f"video{video['id']}/{frame}.jpg" for frame in range(video["length"])]
        for _ in range(rng.integers(0, 5)):
            category, start = int(rng.integers(1, 4)), int(rng.integers(0, 60))
            for is_truth in (True, *[False] * rng.integers(0, 4)):
                masks = []
                for _ in range(video["length"]):
                    left = start + int(rng.integers(-8, 9))
                    mask = strip(max(0, left), left + int(rng.integers(9, 30)))
                    masks.append(mask if rng.random() < 0.8 else None)
                tracks[is_truth].append((video["id"], category, masks))
    annotations = [truth(masks, video, category) for video, category, masks in tracks[True]]
    data["annotations"] = [{"id": 1 + n, **annotation} for n, annotation in enumerate(annotations)]
    predictions = [prediction(masks, rng.random(), video, category) for video, category, masks in tracks[False]]
    return data, predictions + predictions[: rng.integers(0, 3)]


@pytest.mark.parametrize("seed", range(8))
def test_figures_equal_trackeval_on_random_videos(tmp_path, seed):
    compare_with_trackeval(tmp_path, *random_data(seed))


# --- Invariances and refusals


def test_videos_ids_and_scores_do_not_matter():
    data, predictions = random_data(3)
    expected = evaluate_tracking(data, predictions)
    new_id = {1: 40, 2: 7, 3: 0, 4: 23}
    for entry in (*data["annotations"], *predictions):
        entry["video_id"] = new_id[entry["video_id"]]
    for video in data["videos"]:
        video["id"] = new_id[video["id"]]
    for place, entry in enumerate(predictions):
        entry["score"] = -float(place)
    data["videos"].reverse()
    result = evaluate_tracking(data, predictions)
    assert result.class_averaged == pytest.approx(expected.class_averaged, abs=1e-12)
    assert result.detection_averaged == pytest.approx(expected.detection_averaged, abs=1e-12)


def test_odd_masks_have_figures(adversarial):
    result = evaluate_tracking(*read_files(adversarial / "gt.json.gz", adversarial / "dt.json.gz"))
    assert all(0 < value < 1 for value in result.class_averaged.values())


def test_what_cannot_be_used_is_named_with_its_file(tmp_path):
    gt, pred = tmp_path / "gt.json", tmp_path / "pred.json"
    save_json_atomic(gt, ground_truth([truth([MASK])]))
    save_json_atomic(pred, [prediction([{"size": [1, 100], "counts": [3]}], 0.5)])
    with (
        pytest.raises(
            DataError, match=r"pred.json against .*gt.json: predictions\[0\] segmentations\[0\]: the runs sum"
        ),
        naming_files(gt, pred),
    ):
        evaluate_tracking(*read_files(gt, pred))
