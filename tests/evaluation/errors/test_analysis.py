"""The whole analysis: what it says of perfect and of empty predictions, and what does not change it."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.evaluation.drawn import A, B, at, random_scenes, scene
from vistrials.errors import DataError
from vistrials.evaluation.errors.analysis import ConfusionRow, ErrorRow, diagnose, diagnose_files
from vistrials.evaluation.errors.ap import Score
from vistrials.formats.json_file import load_json, save_json_atomic

EVERYWHERE = range(10)
KINDS = ["classification", "duplicate", "spatial", "temporal", "both", "background", "miss"]
CAUSES = ["identity", "late_start", "early_end", "gap", "leak"]


def test_one_error_of_a_kind_by_hand():
    # Four truths and a fragment of one; .4 of it is below every threshold.
    places = [(20 * n, 20 * n + 15) for n in range(4)]
    truths = [(at(place, EVERYWHERE), 1) for place in places]
    predictions = [(at(place, EVERYWHERE), 0.9, 1) for place in places[:3]] + [(at(places[3], [0, 1, 8, 9]), 0.8, 1)]
    found = diagnose(*scene(truths, predictions))
    # 76 of the 101 points of recall (0 to .75) read 1.
    assert vars(found.score) == pytest.approx({"AP50": 76 / 101, "AP": 76 / 101})
    assert list(found.errors) == KINDS and list(found.temporal) == CAUSES
    for row in (found.errors["temporal"], found.temporal["gap"]):
        assert (row.num_at_50, row.num_mean) == (1, 1)
        assert vars(row.gain) == pytest.approx({"AP50": 25 / 101, "AP": 25 / 101})
    others = [found.errors[kind] for kind in KINDS if kind != "temporal"]
    others += [found.temporal[cause] for cause in CAUSES if cause != "gap"]
    assert others == [ErrorRow(0, 0.0, Score(0.0, 0.0))] * 10
    assert found.frames["gap"] == 6
    assert (found.num_videos, found.num_tracks, found.num_predictions) == (1, 4, 4)


@pytest.mark.parametrize("seed", range(6))
def test_perfect_predictions_have_no_errors(seed):
    data, _ = random_scenes(seed, num_videos=6)
    data["annotations"] = [a | {"iscrowd": 0} for a in data["annotations"] if any(a["segmentations"])]
    predictions = [
        prediction(a["segmentations"], 0.5, video=a["video_id"], category=a["category_id"]) for a in data["annotations"]
    ]
    found = diagnose(data, predictions)
    perfect, nothing = Score(1.0, 1.0), ErrorRow(0, 0.0, Score(0.0, 0.0))
    assert found.score == perfect
    assert [*found.errors.values(), *found.temporal.values()] == [nothing] * 12
    assert list(found.ladders.values()) == [perfect] * 3
    assert {part.score for part in (*found.by_length, *found.by_size, *found.by_crowding)} == {perfect}
    assert (found.confusions, found.identities.switches, found.identities.fragmentations) == ([], 0, 0)
    assert {name for name, count in found.frames.items() if count} == {"on"}


def test_without_predictions_everything_is_missed():
    found = diagnose(*scene([(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 2)], []))
    assert found.errors["miss"] == ErrorRow(2, 2.0, Score(1.0, 1.0))
    assert found.frames["no_track"] == 20


def test_without_truths_nothing_is_counted():
    found = diagnose(ground_truth([]), [prediction([strip(*A)], 0.5)])
    assert found.score == Score(-1.0, -1.0)
    assert found.errors["background"] == ErrorRow(1, 1.0, Score(0.0, 0.0))
    assert found.by_length == found.by_size == found.by_crowding == []


@pytest.mark.parametrize("seed", range(4))
def test_other_ids_change_nothing(seed):
    data, predictions = random_scenes(seed, num_videos=5)
    expected = diagnose(data, predictions)
    renamed, renamed_predictions = copy.deepcopy(data), copy.deepcopy(predictions)
    # Categories and videos change places as well, and one of each gets 0.
    videos, categories = {1: 40, 2: 0, 3: 7, 4: 41, 5: 3}, {1: 8, 2: 5, 3: 0, 4: 2}
    for entry in renamed["videos"]:
        entry["id"] = videos[entry["id"]]
    for entry in renamed["categories"]:
        entry["id"] = categories[entry["id"]]
    for entry in renamed["annotations"]:
        entry["id"] = 1000 - entry["id"]
    for entry in [*renamed["annotations"], *renamed_predictions]:
        entry["video_id"], entry["category_id"] = videos[entry["video_id"]], categories[entry["category_id"]]
    for entries in (renamed["videos"], renamed["categories"]):
        entries.reverse()
    # Warnings name what they are about by its id.
    found = dataclasses.replace(diagnose(renamed, renamed_predictions), warnings=())
    assert_close(found.to_dict(), dataclasses.replace(expected, warnings=()).to_dict())


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_predictions_changes_nothing_where_scores_differ(seed):
    data, predictions = random_scenes(seed)
    shuffled = [predictions[n] for n in np.random.default_rng(seed).permutation(len(predictions))]
    assert_close(diagnose(data, shuffled).to_dict(), diagnose(data, predictions).to_dict())


def assert_close(one, other):
    """The same, but for rounding, and the order of equally frequent confusions."""
    for found in (one, other):
        found["confusions"] = sorted(tuple(row.values()) for row in found["confusions"])
    leaves, expected = flat(one), flat(other)
    assert leaves.keys() == expected.keys()
    for path, value in leaves.items():
        assert value == (expected[path] if isinstance(value, str) else pytest.approx(expected[path], abs=1e-12)), path


def flat(value, path=""):
    """Numbers and words of a nested value by their path."""
    if isinstance(value, dict):
        return {key: leaf for name, part in value.items() for key, leaf in flat(part, f"{path}.{name}").items()}
    if isinstance(value, list | tuple):
        return {key: leaf for n, part in enumerate(value) for key, leaf in flat(part, f"{path}[{n}]").items()}
    return {path: value}


def test_confusions_bear_names():
    data = ground_truth([truth([strip(*A)], category=1), truth([strip(*B)], category=1)], num_categories=2)
    data["categories"] = [{"id": 1, "name": "bear"}, {"id": 2, "name": "ape"}]
    predictions = [prediction([strip(*A)], 0.9, category=2), prediction([strip(*B)], 0.9, category=1)]
    assert diagnose(data, predictions).confusions == [ConfusionRow("bear", "ape", 1, 2)]


def test_it_is_json():
    found = diagnose(*random_scenes(0)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_recorded_data_with_every_oddity_goes_through(adversarial):
    found = diagnose_files(adversarial / "gt.json.gz", adversarial / "dt.json.gz")
    ap, ap50, *_ = load_json(adversarial / "official_stats.json")
    assert vars(found.score) == pytest.approx({"AP50": ap50, "AP": ap}, abs=1e-9)
    gains = [row.gain for row in (*found.errors.values(), *found.temporal.values())]
    assert min(value for gain in gains for value in vars(gain).values()) >= -1e-12
    by_cause = sum(row.num_at_50 for row in found.temporal.values())
    assert by_cause == found.errors["temporal"].num_at_50


def test_files_are_named_in_errors(tmp_path):
    save_json_atomic(tmp_path / "truth.json", ground_truth([]))
    save_json_atomic(tmp_path / "predictions.json", [prediction([{"size": [1, 100], "counts": "!"}], 0.5)])
    with pytest.raises(
        DataError, match=r"predictions.json against .*truth.json: predictions\[0\] segmentations\[0\]: "
    ):
        diagnose_files(tmp_path / "truth.json", tmp_path / "predictions.json")
