"""Matches on disk: what is loaded is what was saved, to the last bit."""

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.evaluation.drawn_matches import random_matches
from vistrials.errors import DataError
from vistrials.evaluation.average_precision import accumulate, compute_figures
from vistrials.evaluation.matching import Matches
from vistrials.evaluation.stored_matches import StoredMatches, load_matches, save_matches
from vistrials.evaluation.youtube_vis import evaluate, evaluate_files


def assert_equal(loaded: StoredMatches, saved: StoredMatches) -> None:
    assert (loaded.video_ids, loaded.category_ids) == (saved.video_ids, saved.category_ids)
    for ours, theirs in zip(loaded.records, saved.records, strict=True):
        for field in dataclasses.fields(Matches):
            one, other = getattr(ours, field.name), getattr(theirs, field.name)
            assert np.array_equal(one, other), field.name
            assert np.asarray(one).dtype == np.asarray(other).dtype, field.name
            assert np.shape(one) == np.shape(other), field.name


@pytest.mark.parametrize("seed", range(5))
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, seed: int) -> None:
    saved = random_matches(np.random.default_rng(seed), 6, 3, ties=False)
    save_matches(tmp_path / "matches.json.gz", saved)
    assert_equal(load_matches(tmp_path / "matches.json.gz"), saved)


def test_nothing_at_all_can_be_stored(tmp_path: Path) -> None:
    saved = StoredMatches((4, 5), (1,), ())
    save_matches(tmp_path / "matches.json.gz", saved)
    assert_equal(load_matches(tmp_path / "matches.json.gz"), saved)


def test_figures_come_out_of_the_file_as_they_went_in(scored: Path, tmp_path: Path) -> None:
    evaluation = evaluate_files(scored / "gt.json.gz", scored / "dt.json.gz")
    video_ids = tuple(sorted({record.video_id for record in evaluation.matches}))
    saved = StoredMatches(video_ids, evaluation.category_ids, evaluation.matches)
    save_matches(tmp_path / "matches.json.gz", saved)
    loaded = load_matches(tmp_path / "matches.json.gz")
    assert_equal(loaded, saved)
    assert compute_figures(*accumulate(loaded.records, loaded.category_ids)) == evaluation.figures


def test_the_bytes_depend_on_the_matches_alone(tmp_path: Path) -> None:
    saved = random_matches(np.random.default_rng(0), 5, 2, ties=False)
    for name in ("a.json.gz", "b.json.gz"):
        save_matches(tmp_path / name, saved)
    save_matches(tmp_path / "c.json.gz", load_matches(tmp_path / "a.json.gz"))
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "c.json.gz").read_bytes()


def test_a_track_takes_bytes_where_its_masks_take_thousands(tmp_path: Path) -> None:
    frames = 50
    masks = [[strip(n, n + 20 + t) for n in range(frames)] for t in range(20)]
    gt = ground_truth([truth(masks[0], video=1 + n) for n in range(20)], num_videos=20, num_frames=frames)
    predictions = [prediction(masks[n], 0.9 - n / 100, video=1 + n) for n in range(20)]
    evaluation = evaluate(gt, predictions)
    path = tmp_path / "matches.json.gz"
    save_matches(path, StoredMatches(tuple(range(1, 21)), evaluation.category_ids, evaluation.matches))
    assert path.stat().st_size < len(gzip.compress(json.dumps(predictions).encode())) / 2
    assert path.stat().st_size < 20 * 100


# --- What cannot be used


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    save_matches(tmp_path / "matches.json.gz", random_matches(np.random.default_rng(0), 5, 2, ties=False))
    loaded: dict[str, Any] = json.loads(gzip.decompress((tmp_path / "matches.json.gz").read_bytes()))
    return loaded


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format="other"), "expected stored matches"),
        (lambda c: c.update(iou_thresholds=[0.5]), r"iou_thresholds \[0\.5\], expected \[0\.5, 0\.55"),
        (lambda c: c.pop("scores"), "'scores' is missing"),
        (lambda c: c["scores"].pop(), r"scores has \d+ numbers, expected \d+"),
        (lambda c: c["ious"].append(0.5), r"ious has \d+ numbers, expected \d+"),
        (lambda c: c["scores"].__setitem__(0, float("nan")), "scores is no list of numbers"),
        (lambda c: c["scores"].__setitem__(0, "high"), "could not convert"),
        (lambda c: c.update(records=[]), "damaged"),
        (lambda c: c["records"]["video_id"].pop(), "differ in length"),
        (lambda c: c["records"]["num_truths"].__setitem__(0, -1), "negative numbers of tracks"),
        (lambda c: c.update(video_ids=[3]), "not listed"),
        (lambda c: c.update(video_ids=[10**30]), "damaged"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: dict[str, Any], change: Any, said: str) -> None:
    change(content)
    path = tmp_path / "changed.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    with pytest.raises(DataError, match=said) as caught:
        load_matches(path)
    assert "changed.json.gz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_cut_short_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "matches.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut short"):
        load_matches(path)
