"""The whole evaluation: official figures, hand-worked cases, a plain second implementation, invariances."""

import copy
import json
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.evaluation.plain_reference import plain_evaluation
from vistrials.errors import DataError
from vistrials.evaluation import track_iou
from vistrials.evaluation.average_precision import FIGURES, accumulate, compute_figures
from vistrials.evaluation.youtube_vis import evaluate, evaluate_files
from vistrials.formats import rle
from vistrials.formats.json_file import load_json, save_json_atomic


def test_figures_equal_the_official_program(scored):
    official = load_json(scored / "official_stats.json")
    result = evaluate_files(scored / "gt.json.gz", scored / "dt.json.gz")
    assert list(result.figures) == list(FIGURES)
    np.testing.assert_allclose(list(result.figures.values()), official, rtol=0, atol=1e-9)


def test_a_perfect_track_is_one():
    result = evaluate(ground_truth([truth([strip(0, 10)])]), [prediction([strip(0, 10)], 0.5)])
    expected = dict.fromkeys(FIGURES, 1.0) | {"AP_m": -1, "AP_l": -1, "AR_m": -1, "AR_l": -1}
    assert result.figures == pytest.approx(expected, abs=1e-12)


def test_two_tracks_three_predictions_by_hand():
    data = ground_truth([truth([strip(0, 50)]), truth([strip(60, 90)])])
    predictions = [
        prediction([strip(60, 90)], 0.7),  # IoU 30/30 with the second
        prediction([strip(0, 41)], 0.9),  # IoU 41/50 = 0.82 with the first
        prediction([strip(45, 60)], 0.8),  # overlaps neither by half
    ]
    result = evaluate(data, predictions)
    # Thresholds .50 .. .80 (7): right, wrong, right. 51 points read 1, 50 read 2/3.
    low = (51 * 1 + 50 * 2 / 3) / 101
    # Thresholds .85 .. .95 (3): wrong, wrong, right; recall ends at 1/2. 51 points read 1/3, the others 0.
    high = 51 * (1 / 3) / 101
    assert result.figures["AP"] == pytest.approx((7 * low + 3 * high) / 10, abs=1e-12)
    assert result.figures["AP50"] == pytest.approx(low, abs=1e-12)
    assert result.figures["AP75"] == pytest.approx(low, abs=1e-12)
    assert result.figures["AR1"] == pytest.approx((7 * 1 / 2 + 3 * 0) / 10, abs=1e-12)
    assert result.figures["AR100"] == pytest.approx((7 * 1 + 3 * 1 / 2) / 10, abs=1e-12)


def test_two_frames_are_one_overlap():
    # 20 of 20 pixels, then 9 of 20: 29 / 40 = 0.725, found at the 5 thresholds .50 .. .70.
    # The second frame alone would be found at none.
    data = ground_truth([truth([strip(0, 20), strip(0, 20)])], num_frames=2)
    result = evaluate(data, [prediction([strip(0, 20), strip(0, 9)], 0.5)])
    assert result.matches[0].ious.tolist() == [[29 / 40]]
    assert result.figures["AP"] == pytest.approx(5 / 10, abs=1e-12)


def test_a_prediction_of_another_category_is_wrong_there_and_missing_here():
    data = ground_truth([truth([strip(0, 10)], category=1), truth([strip(50, 60)], category=2)], num_categories=3)
    predictions = [prediction([strip(0, 10)], 0.9, category=2), prediction([strip(50, 60)], 0.8, category=2)]
    result = evaluate(data, predictions)
    assert result.ap_per_category == pytest.approx({"category 1": 0, "category 2": 1 / 2, "category 3": -1})
    assert result.figures["AP"] == pytest.approx((0 + 1 / 2) / 2)


def test_a_crowd_swallows_predictions():
    data = ground_truth([truth([strip(0, 10)]), truth([strip(50, 90)], crowd=1)])
    predictions = [prediction([strip(50, 90)], 0.9 - 0.1 * n) for n in range(3)]
    predictions.append(prediction([strip(0, 10)], 0.1))
    assert evaluate(data, predictions).figures["AP"] == pytest.approx(1, abs=1e-12)


def test_the_area_class_of_a_truth_comes_from_the_file():
    data = ground_truth([truth([strip(0, 10)], areas=[20_000])])
    figures = evaluate(data, [prediction([strip(0, 10)], 0.5)]).figures
    assert (figures["AP_s"], figures["AP_l"]) == (-1, -1)
    assert figures["AP_m"] == pytest.approx(1, abs=1e-12)


def test_a_track_of_id_zero_is_a_track_like_any_other():
    data = ground_truth([truth([strip(0, 10)]) | {"id": 0}])
    assert evaluate(data, [prediction([strip(0, 10)], 0.5)]).figures["AP"] == pytest.approx(1, abs=1e-12)


def test_the_hundred_and_first_track_of_a_video_and_category_is_not_looked_at():
    wrong = [prediction([strip(50, 60)], 0.9) for _ in range(100)]
    found = prediction([strip(0, 10)], 0.1)
    data = ground_truth([truth([strip(0, 10)])])
    too_many = evaluate(data, [*wrong, found])
    assert too_many.figures["AR100"] == 0
    assert too_many.matches[0].prediction_indices.tolist() == list(range(100))
    assert evaluate(data, [*wrong[1:], found]).figures["AR100"] == 1


def test_tied_scores_of_two_videos_go_by_ascending_video_id():
    data = ground_truth([truth([strip(0, 10)], video=1)], num_videos=2)
    data["videos"].reverse()
    wrong_in_2, right_in_1 = (
        prediction([strip(0, 10)], 0.5, video=2),
        prediction([strip(0, 10)], 0.5, video=1),
    )
    # Video 1 is first, so the wrong one comes after all that is to be found.
    assert evaluate(data, [wrong_in_2, right_in_1]).figures["AP"] == pytest.approx(1, abs=1e-12)


def test_tied_scores_in_a_video_keep_file_order():
    data = ground_truth([truth([strip(0, 10)])])
    right, wrong = prediction([strip(0, 10)], 0.5), prediction([strip(50, 60)], 0.5)
    assert evaluate(data, [right, wrong]).figures["AP"] == pytest.approx(1, abs=1e-12)
    assert evaluate(data, [wrong, right]).figures["AP"] == pytest.approx(1 / 2, abs=1e-12)


def test_no_predictions_score_zero():
    result = evaluate(ground_truth([truth([strip(0, 10)])]), [])
    assert result.figures["AP"] == result.figures["AR100"] == result.figures["AP_s"] == 0
    assert result.figures["AP_l"] == -1
    assert result.num_predictions == 0


def test_without_annotations_nothing_counts():
    result = evaluate(ground_truth([]), [prediction([strip(0, 10)], 0.5)])
    assert result.figures == dict.fromkeys(FIGURES, -1.0)


def test_odd_predictions_are_scored_and_warned_of():
    data = ground_truth([truth([strip(0, 10), strip(0, 10)])], num_frames=2)
    short, wide = [strip(0, 10)], [strip(0, 10), strip(0, 10, width=200)]
    result = evaluate(data, [prediction(short, 0.9), prediction(short, 0.8), prediction(wide, 0.7)])
    assert result.warnings == (
        "predictions with masks of another size than their video, which overlap no mask of its size: 1"
        " (first: predictions[2], video 1: 1 x 200 instead of 1 x 100)",
        "predictions with more or fewer segmentations than their video has frames, of which the common ones"
        " count: 2 (first: predictions[0], video 1: 1 instead of 2)",
    )
    # Only the frames that fit are compared: 10/10 for all three.
    assert result.matches[0].ious.tolist() == [[1.0], [1.0], [1.0]]


def test_strict_refuses_what_is_otherwise_a_warning():
    data = ground_truth([truth([strip(0, 10), strip(0, 10)])], num_frames=2)
    fitting = prediction([strip(0, 10), None], 0.9)
    assert evaluate(data, [fitting], strict=True).warnings == ()
    with pytest.raises(DataError, match=r"more or fewer segmentations.*: 1 \(first: predictions\[1\], video 1: 1 inst"):
        evaluate(data, [fitting, prediction([strip(0, 10)], 0.8)], strict=True)
    with pytest.raises(DataError, match=r"another size.*: 1 x 200 instead of 1 x 100\)$"):
        evaluate(data, [prediction([strip(0, 10), strip(0, 10, width=200)], 0.8)], strict=True)


def test_masks_that_do_not_count_are_not_looked_at():
    damaged = {"size": [1, 100], "counts": "~"}
    many = [prediction([strip(0, 10)], 0.9) for _ in range(100)]
    data = ground_truth([truth([strip(0, 10)])])
    assert evaluate(data, [prediction([damaged], 0.1), *many]).figures["AR100"] == 1
    with pytest.raises(DataError, match=r"predictions\[0\] segmentations\[0\]: counts hold a character"):
        evaluate(data, [prediction([damaged], 1.0), *many])


def test_more_masks_than_are_decoded_at_once(monkeypatch):
    data, predictions = random_data()
    expected = evaluate(data, predictions)
    monkeypatch.setattr(track_iou, "_MAX_MASKS", 4)
    assert_same(evaluate(data, predictions), expected)


def test_the_summary_tells_thresholds_categories_and_videos_apart():
    # IoU 29/40 = 0.725 in category 1, found at .50 .. .70; IoU 1 in category 2, in the other video.
    data = ground_truth(
        [
            truth([strip(0, 40)]),
            truth([strip(0, 10)], video=2, category=2),
            truth([strip(50, 90)], video=2, category=2),
        ],
        num_videos=3,
        num_categories=2,
    )
    predictions = [prediction([strip(0, 29)], 0.5), prediction([strip(0, 10)], 0.5, video=2, category=2)]
    summary = evaluate(data, predictions).to_dict()
    # Of two truths one is found: 51 of the 101 recall points.
    assert summary["AP_per_threshold"]["0.70"] == pytest.approx((1 + 51 / 101) / 2)
    assert summary["AP_per_threshold"]["0.75"] == pytest.approx((0 + 51 / 101) / 2)
    assert summary["AP_per_category_and_threshold"]["category 1"]["0.70"] == pytest.approx(1)
    assert summary["AP_per_category_and_threshold"]["category 1"]["0.75"] == 0
    assert summary["AR_per_video"] == pytest.approx({"1": 5 / 10, "2": 1 / 2})


def test_the_summary_is_json():
    data = ground_truth([truth([strip(0, 10)])], num_videos=3, num_categories=2)
    summary = evaluate(data, [prediction([strip(0, 10)], 0.5)]).to_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert list(summary)[: len(FIGURES)] == list(FIGURES)
    assert summary["AP_per_category"] == pytest.approx({"category 1": 1, "category 2": -1}, abs=1e-12)
    assert (summary["num_videos"], summary["num_tracks"], summary["num_predictions"]) == (3, 1, 1)
    assert summary["warnings"] == []


def test_categories_that_share_a_name_stay_apart():
    data = ground_truth([], num_categories=3)
    data["categories"][0]["name"] = data["categories"][1]["name"] = "dog"
    assert list(evaluate(data, []).ap_per_category) == ["dog (id 1)", "dog (id 2)", "category 3"]


def test_files_are_named_in_errors(tmp_path):
    save_json_atomic(tmp_path / "truth.json", ground_truth([]))
    save_json_atomic(tmp_path / "predictions.json", [prediction([], 0.5, video=7)])
    with pytest.raises(DataError, match=r"predictions.json against .*truth.json: predictions\[0\]: video_id 7"):
        evaluate_files(tmp_path / "truth.json", tmp_path / "predictions.json")


# (128, 128) full and (256, 256) full lie on the bounds of the area ranges.
SIZES = [(4, 6), (128, 128), (256, 260)]
CORNERS = [0, 0.25, 0.5, 1]


def rectangle(size, x0, x1, y0, y1):
    """A rectangle by fractions of the image, possibly empty."""
    height, width = size
    mask = np.zeros(size, dtype=bool)
    mask[int(y0 * height) : int(y1 * height), int(x0 * width) : int(x1 * width)] = True
    return rle.encode(mask)


def noise(size, seed):
    """Half of the pixels, in many short runs."""
    return rle.encode(np.random.default_rng(seed).random(size) < 0.5)


@cache
def segmentations(size, num_frames, is_odd):
    """Few distinct masks, so that overlaps are common and often equal; some absent, odd ones only if asked for."""
    masks = [
        rectangle(mask_size, x0, x1, y0, 1)
        for mask_size in ([size] * 4 + SIZES[:1] if is_odd else [size])
        for x0, x1, y0 in product([0, 0.25], CORNERS, [0, 0.25])
    ]
    if size == SIZES[0]:
        masks += [noise(size, seed) for seed in range(8)]
    frames = masks + [None] * (len(masks) // 3)
    if is_odd:
        frames += [{"size": m["size"], "counts": rle.decode_runs([m]).lengths.tolist()} for m in masks[:16]]
        frames += [[[0, 0, size[1], 0, size[1], size[0] / 2]], []] * 5
    return st.lists(st.sampled_from(frames), min_size=num_frames, max_size=num_frames)


@st.composite
def evaluation_data(draw):
    """Ground truth and predictions full of ties, crowds, gaps and odd lengths; ids may be 0, scores negative."""
    is_odd = draw(st.booleans())
    num_frames = draw(st.integers(1, 3))
    videos = [
        {"id": video_id, "height": size[0], "width": size[1], "length": num_frames}
        for video_id in draw(st.lists(st.sampled_from([0, 1, 5, 9]), min_size=1, max_size=3, unique=True))
        for size in [draw(st.sampled_from(SIZES))]
    ]
    category_ids = draw(st.lists(st.sampled_from([0, 2, 3]), min_size=1, max_size=3, unique=True))

    def track(length):
        video = draw(st.sampled_from(videos))
        size = (video["height"], video["width"])
        return {
            "video_id": video["id"],
            "category_id": draw(st.sampled_from(category_ids)),
            "segmentations": draw(segmentations(size, length, is_odd)),
        }

    annotations = []
    for index in range(draw(st.integers(0, 6))):
        annotation = track(num_frames) | {"id": index, "iscrowd": int(draw(st.integers(0, 4)) == 0)}
        areas = st.sampled_from([None, 0, 24, 128**2, 20_000, 256**2, 70_000])
        annotation["areas"] = draw(st.lists(areas, min_size=num_frames, max_size=num_frames))
        annotations.append(annotation)
    predictions = [
        track(draw(st.sampled_from([num_frames, num_frames, num_frames, 0, 1, num_frames + 1])))
        | {"score": draw(st.sampled_from([0, 0.25, 0.5, 1.0, -1]))}
        for _ in range(draw(st.integers(0, 12)))
    ]
    categories = [{"id": category_id, "name": str(category_id)} for category_id in category_ids]
    return {"videos": videos, "categories": categories, "annotations": annotations}, predictions


FROM_FILES = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=300, **FROM_FILES)
@given(evaluation_data())
def test_arrays_equal_the_plain_implementation(tmp_path, data):
    assert_plain(tmp_path, *data)


@pytest.mark.slow
@settings(max_examples=10_000, **FROM_FILES)
@given(evaluation_data())
def test_arrays_equal_the_plain_implementation_ten_thousand_times(tmp_path, data):
    assert_plain(tmp_path, *data)


def assert_plain(folder, truths, predictions):
    """From files, whose masks take another way than those of values in memory, and from such values."""
    (folder / "truth.json").write_text(json.dumps(truths))
    (folder / "predictions.json").write_text(json.dumps(predictions))
    precision, recall = plain_evaluation(truths, predictions)
    from_files = evaluate_files(folder / "truth.json", folder / "predictions.json")
    for result in (from_files, evaluate(truths, predictions)):
        np.testing.assert_allclose(result.precision, precision, rtol=0, atol=1e-12)
        np.testing.assert_allclose(result.recall, recall, rtol=0, atol=1e-12)


def random_data(seed=0, num_videos=5, num_tracks=12, num_predictions=60):
    """Truths and jittered copies of them, all scores distinct."""
    rng = np.random.default_rng(seed)

    def box_mask(x, y, w, h):
        mask = np.zeros((40, 60), dtype=bool)
        mask[y : y + h, x : x + w] = True
        return rle.encode(mask)

    videos = [{"id": 3 + 2 * n, "height": 40, "width": 60, "length": 3} for n in range(num_videos)]
    categories = [{"id": 1 + n, "name": f"c{n}"} for n in range(3)]
    boxes = rng.integers([0, 0, 8, 8], [30, 20, 30, 20], size=(num_tracks, 4))
    annotations = []
    for n, (x, y, w, h) in enumerate(boxes):
        masks = [box_mask(x + t, y, w, h) for t in range(3)]
        video, category = 3 + 2 * int(rng.integers(num_videos)), 1 + int(rng.integers(3))
        annotations.append({"id": 1 + n} | truth(masks, video=video, category=category))
    predictions = []
    for score in rng.permutation(num_predictions) / num_predictions:
        n = int(rng.integers(num_tracks))
        x, y, w, h = boxes[n] + rng.integers(0, 4, size=4)
        masks = [box_mask(x + t, y, w, h) for t in range(3)]
        video, category = annotations[n]["video_id"], annotations[n]["category_id"]
        predictions.append(prediction(masks, float(score), video=video, category=category))
    return {"videos": videos, "categories": categories, "annotations": annotations}, predictions


def assert_same(one, other):
    np.testing.assert_allclose(one.precision, other.precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.recall, other.recall, rtol=0, atol=1e-12)


def test_random_data_is_worth_comparing():
    figures = evaluate(*random_data()).figures
    assert 0.05 < figures["AP75"] < figures["AP50"] < 0.95


def test_relabelling_videos_categories_and_tracks_changes_nothing():
    data, predictions = random_data()
    new_video = {video["id"]: 1000 - video["id"] for video in data["videos"]}
    renamed = copy.deepcopy(data)
    for video in renamed["videos"]:
        video["id"] = new_video[video["id"]]
    for category in renamed["categories"]:
        category["id"] += 50
    renamed_predictions = copy.deepcopy(predictions)
    for track in [*renamed["annotations"], *renamed_predictions]:
        track["video_id"] = new_video[track["video_id"]]
        track["category_id"] += 50
    for annotation in renamed["annotations"]:
        annotation["id"] = 500 - annotation["id"]
    result, expected = evaluate(renamed, renamed_predictions), evaluate(data, predictions)
    assert_same(result, expected)
    assert result.ap_per_category == pytest.approx(expected.ap_per_category, abs=1e-12)


def test_the_order_of_videos_categories_and_predictions_changes_nothing():
    data, predictions = random_data()
    rng = np.random.default_rng(1)
    shuffled = {key: [entries[n] for n in rng.permutation(len(entries))] for key, entries in data.items()}
    shuffled_predictions = [predictions[n] for n in rng.permutation(len(predictions))]
    assert_same(evaluate(shuffled, shuffled_predictions), evaluate(data, predictions))


def test_any_rising_change_of_scores_changes_nothing():
    data, predictions = random_data()
    changed = [entry | {"score": 10 * entry["score"] ** 3 - 7} for entry in predictions]
    assert_same(evaluate(data, changed), evaluate(data, predictions))


def test_the_arguments_are_left_as_they_are():
    data, predictions = random_data()
    before = copy.deepcopy((data, predictions))
    evaluate(data, predictions)
    assert (data, predictions) == before


def test_stored_matches_score_any_draw_of_videos_without_matching_again():
    data, predictions = random_data()
    drawn = [3, 7, 11]
    matches = evaluate(data, predictions).matches
    category_ids = [category["id"] for category in data["categories"]]
    from_matches = compute_figures(*accumulate([match for match in matches if match.video_id in drawn], category_ids))
    alone = {
        "videos": [video for video in data["videos"] if video["id"] in drawn],
        "categories": data["categories"],
        "annotations": [entry for entry in data["annotations"] if entry["video_id"] in drawn],
    }
    matched_again = evaluate(alone, [entry for entry in predictions if entry["video_id"] in drawn]).figures
    assert from_matches == pytest.approx(matched_again, abs=1e-12)


def test_matches_name_their_entries():
    data = ground_truth(
        [truth([strip(0, 10)], category=2), truth([strip(50, 60)], video=2), truth([strip(0, 10)], video=2)],
        num_videos=2,
        num_categories=2,
    )
    predictions = [
        prediction([strip(0, 10)], 0.3, video=2),
        prediction([strip(0, 10)], 0.9, video=1, category=2),
        prediction([strip(50, 60)], 0.6, video=2),
    ]
    first, second = evaluate(data, predictions).matches
    assert (first.video_id, first.category_id, second.video_id, second.category_id) == (1, 2, 2, 1)
    assert first.prediction_indices.tolist() == [1]
    assert second.prediction_indices.tolist() == [2, 0]
    assert second.truth_indices.tolist() == [1, 2]
    assert second.truth_indices[second.matched_truths[0, 0]].tolist() == [1, 2]
