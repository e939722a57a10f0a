"""The video bootstrap: a weight is a repetition."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluation.drawn_matches import A, T, one_object_each, random_matches
from vistrials.evaluation.average_precision import NOT_COUNTED, accumulate, compute_figures
from vistrials.evaluation.bootstrap import draw_videos, resample_ap
from vistrials.evaluation.matching import UNMATCHED, Matches
from vistrials.evaluation.stored_matches import StoredMatches


def repeat(matches: StoredMatches, weights: NDArray[np.int64]) -> list[Matches]:
    """The records of a draw, written out."""
    by_video = {video_id: [r for r in matches.records if r.video_id == video_id] for video_id in matches.video_ids}
    drawn = zip(matches.video_ids, weights.tolist(), strict=True)
    return [record for video_id, weight in drawn for _ in range(weight) for record in by_video[video_id]]


# --- Draws


def test_a_draw_has_as_many_videos_as_there_are() -> None:
    weights = draw_videos(7, 200)
    assert weights.shape == (200, 7)
    assert (weights.sum(axis=1) == 7).all() and (weights >= 0).all()
    assert np.array_equal(weights, draw_videos(7, 200))
    assert not np.array_equal(weights, draw_videos(7, 200, seed=1))
    # Each of 7 places is each video with 1/7: a share of (6/7)^7 of the weights is 0; 1400 of them are within 4 sd.
    share = (6 / 7) ** 7
    assert abs((weights == 0).mean() - share) < 4 * math.sqrt(share * (1 - share) / 1400)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_a_weight_is_a_repetition(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    matches = random_matches(rng, num_videos=int(rng.integers(1, 9)), num_categories=3, ties=ties)
    weights = draw_videos(len(matches.video_ids), 10, seed)
    for weight, ap in zip(weights, resample_ap(matches, weights), strict=True):
        expected = compute_figures(*accumulate(repeat(matches, weight), matches.category_ids))["AP"]
        assert expected == NOT_COUNTED and np.isnan(ap) or ap == pytest.approx(expected, abs=1e-12)


def test_every_video_once_is_the_figure_itself() -> None:
    matches = random_matches(np.random.default_rng(1), 12, 4, ties=True)
    figures = compute_figures(*accumulate(matches.records, matches.category_ids))
    assert resample_ap(matches, np.ones((1, 12), dtype=np.int64))[0] == pytest.approx(figures["AP"], abs=1e-12)


def test_by_hand() -> None:
    # By score right, wrong, right, an object each. Drawn 1, 2, 1 times: precision 1/1, (1/2, 1/3), 2/4, and 4 objects:
    # recall 1/4 at precision 1, 2/4 at 1/2. The 26 points 0.00 .. 0.25 read 1, the 25 up to 0.50 read 1/2.
    matches = one_object_each([(0.9, True), (0.8, False), (0.7, True)])
    ap = resample_ap(matches, np.array([[1, 2, 1], [0, 3, 0], [3, 0, 0]]))
    assert ap.tolist() == pytest.approx([(26 + 25 / 2) / 101, 0, 1], abs=1e-12)


def test_copies_of_a_prediction_stay_together_where_scores_of_a_video_tie() -> None:
    # One video with a right and a wrong prediction of the same score, two objects, drawn twice: right, right, wrong,
    # wrong, 2 of 4 objects found at precision 1.
    matched = np.full((T, A, 2), UNMATCHED)
    matched[..., 0] = 0
    nothing = np.zeros((T, A, 2), dtype=bool)
    counted = np.ones((A, 2), dtype=bool)
    record = Matches(1, 1, np.arange(2), np.array([0.5, 0.5]), np.arange(2), np.eye(2), matched, nothing, counted)
    assert resample_ap(StoredMatches((1,), (1,), (record,)), np.array([[2]]))[0] == pytest.approx(51 / 101, abs=1e-12)


def test_a_category_that_a_draw_lacks_leaves_the_mean() -> None:
    first = one_object_each([(0.9, True)])
    other = one_object_each([(0.9, False)], first_video=2).records[0]
    other = Matches(2, 5, *(getattr(other, name) for name in list(vars(other))[2:]))
    matches = StoredMatches((1, 2, 3), (1, 5), (*first.records, other))
    # Video 3 has no track at all.
    draws = np.array([[1, 1, 1], [3, 0, 0], [1, 0, 2], [0, 0, 3]])
    assert resample_ap(matches, draws).tolist() == pytest.approx([1 / 2, 1, 1, math.nan], nan_ok=True, abs=1e-12)


def test_the_order_of_videos_matters_not() -> None:
    matches = random_matches(np.random.default_rng(3), 8, 2, ties=False)
    weights = draw_videos(8, 20)
    renamed = {video_id: 100 - video_id for video_id in matches.video_ids}
    records = [Matches(renamed[r.video_id], *(getattr(r, name) for name in list(vars(r))[1:])) for r in matches.records]
    turned = StoredMatches(tuple(renamed.values())[::-1], matches.category_ids, tuple(records[::-1]))
    assert resample_ap(turned, weights[:, ::-1]) == pytest.approx(resample_ap(matches, weights), abs=1e-12, nan_ok=True)
