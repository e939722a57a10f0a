"""AP of error analysis: the official figures, and what becomes of categories with nothing left to find."""

import numpy as np
import pytest

from tests.evaluation.drawn import A, B, at, random_scenes, scene, tracks_of
from vistrials.evaluation.average_precision import NOT_COUNTED
from vistrials.evaluation.errors.ap import Ranking, Score, compute_ap, score_videos
from vistrials.evaluation.errors.overlap import read_videos
from vistrials.evaluation.reading import read_ground_truth
from vistrials.evaluation.youtube_vis import evaluate
from vistrials.formats.json_file import load_json

EVERYWHERE = range(10)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_official_ap(seed):
    data, predictions = random_scenes(seed)
    figures = evaluate(data, predictions).figures
    score = score_videos(tracks_of(data, predictions), range(1, 5))
    assert vars(score) == pytest.approx({name: figures[name] for name in ("AP50", "AP")}, abs=1e-12)


def test_it_is_the_official_ap_of_recorded_data(scored):
    ap, ap50, *_ = load_json(scored / "official_stats.json")
    truth = read_ground_truth(load_json(scored / "gt.json.gz"))
    score = score_videos(read_videos(truth, load_json(scored / "dt.json.gz")), list(truth.category_names))
    assert vars(score) == pytest.approx({"AP50": ap50, "AP": ap}, abs=1e-9)


def ranking(flags, num_truths, left_out=()):
    """One category at one threshold, predictions by falling score."""
    is_right = np.array([flags], dtype=bool).reshape(1, -1)
    return Ranking(
        scores=-np.arange(len(flags), dtype=float),
        categories=np.ones(is_right.shape, dtype=np.int64),
        is_right=is_right,
        is_left_out=np.isin(np.arange(len(flags)), left_out)[None],
        category_ids=np.array([1]),
        num_truths=np.array([[num_truths]]),
        counted=np.array([True]),
    )


def test_by_hand():
    # Of the 101 points of recall 51 (0 to .5) read precision 1, the other 50 read 2/3.
    assert compute_ap(ranking([1, 0, 1], 2)) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert compute_ap(ranking([1, 0, 1], 2, left_out=[1])) == pytest.approx(1)
    assert compute_ap(ranking([0, 1], 1)) == pytest.approx(1 / 2)
    assert compute_ap(ranking([0, 0], 1)) == compute_ap(ranking([], 1)) == 0


def test_with_nothing_left_to_find_nothing_wrong_is_perfect():
    assert compute_ap(ranking([], 0)) == 1
    assert compute_ap(ranking([0], 0)) == 0
    assert compute_ap(ranking([0], 0, left_out=[0])) == 1


def test_categories_without_truth_stay_out_of_the_mean():
    data, predictions = scene([(at(A, EVERYWHERE), 1)], [(at(A, EVERYWHERE), 0.9, 1), (at(B, EVERYWHERE), 0.8, 2)])
    assert score_videos(tracks_of(data, predictions), [1, 2]) == Score(1.0, 1.0)
    assert score_videos(tracks_of(data, predictions), [2]) == Score(NOT_COUNTED, NOT_COUNTED)
    assert score_videos([], [1]) == Score(NOT_COUNTED, NOT_COUNTED)
