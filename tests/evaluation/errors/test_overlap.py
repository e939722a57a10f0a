"""Overlap frame by frame: exact counts, sums equal to whole-track IoU, matches equal to those of AP."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.evaluation.drawn import A, along, random_scenes, scene, tracks_of
from vistrials.evaluation.errors.overlap import match_video
from vistrials.evaluation.frame_overlap import frame_overlaps
from vistrials.evaluation.matching import UNMATCHED
from vistrials.evaluation.track_iou import decode_tracks, track_iou
from vistrials.evaluation.youtube_vis import evaluate


def decoded(*tracks):
    return decode_tracks(tracks, 1, 100)


def test_intersection_and_union_of_each_frame():
    predicted = decoded(along((0, 20), (10, 30), (40, 60), None, (0, 20)))
    true = decoded(along((0, 20), (0, 20), (0, 20), (0, 20), None))
    intersections, unions = frame_overlaps(predicted, true)
    assert intersections.tolist() == [[[20, 10, 0, 0, 0]]]
    assert unions.tolist() == [[[20, 30, 40, 20, 20]]]


def test_frames_that_one_list_lacks_and_masks_of_two_sizes_count_for_nothing():
    short = [strip(0, 20)]
    other_size = [strip(0, 20), strip(0, 20, width=200), strip(0, 20, width=200)]
    true = decoded([strip(0, 20), strip(0, 20), None])
    _, unions = frame_overlaps(decoded(short, other_size), true)
    # The mask of another size counts where it is alone.
    assert unions.tolist() == [[[20, 0, 0]], [[20, 0, 20]]]


@pytest.mark.parametrize("seed", range(8))
def test_the_sums_over_frames_are_those_of_track_iou(seed):
    rng = np.random.default_rng(seed)

    def track():
        width = int(rng.choice([100, 100, 100, 130]))
        spans = [sorted(rng.integers(0, 101, size=2)) for _ in range(rng.integers(0, 5))]
        return [strip(*span, width=width) if rng.random() < 0.8 else None for span in spans]

    predicted, true = decoded(*(track() for _ in range(5))), decoded(*(track() for _ in range(4)))
    intersections, unions = (part.sum(axis=2) for part in frame_overlaps(predicted, true))
    expected = track_iou(predicted, true)
    np.testing.assert_array_equal(np.where(unions > 0, intersections / np.maximum(unions, 1), 0), expected)


@pytest.mark.parametrize("seed", range(8))
def test_matches_are_those_of_ap(seed):
    data, predictions = random_scenes(seed)
    result = evaluate(data, predictions)
    for video in tracks_of(data, predictions):
        matched, ignored, counted = match_video(video)
        for record in result.matches:
            if record.video_id != video.video_id:
                continue
            d = np.flatnonzero(video.categories == record.category_id)
            g = np.flatnonzero(video.truth_categories == record.category_id)
            np.testing.assert_array_equal(video.scores[d], record.scores)
            own = record.matched_truths[:, 0]
            expected = np.where(own == UNMATCHED, UNMATCHED, np.append(g, UNMATCHED)[own])
            np.testing.assert_array_equal(matched[:, d], expected)
            np.testing.assert_array_equal(ignored[:, d], record.ignored[:, 0])
            np.testing.assert_array_equal(counted[g], record.counted[0])


def test_the_hundred_best_of_a_video_and_category_are_looked_at():
    everywhere = along(*[A] * 10)
    data, predictions = scene([(everywhere, 1)], [(everywhere, 1 - n / 1000, 1) for n in range(101)])
    predictions.append(prediction(everywhere, 0.1, category=2))
    (video,) = tracks_of(data, predictions)
    assert len(video.scores) == 101
    assert (video.categories == 1).sum() == 100 and video.scores.min() == 0.1


def test_beyond_a_hundred_of_a_category_nothing_is_matched_after_a_change_of_categories_either():
    everywhere = along(*[A] * 10)
    wrong = [(along(*[(40, 60)] * 10), 0.9, 1 + n % 2) for n in range(100)]
    (video,) = tracks_of(*scene([(everywhere, 1)], [*wrong, (everywhere, 0.5, 1)]))
    assert (match_video(video)[0][:, 100] == 0).all()
    matched, ignored, _ = match_video(replace(video, categories=np.ones(101, dtype=np.int64)))
    assert (matched == UNMATCHED).all()
    assert ignored[0].tolist() == [False] * 100 + [True]


def test_videos_come_by_id_and_predictions_by_score_ties_in_file_order():
    data = ground_truth([truth([strip(0, 10)])], num_videos=2)
    data["videos"].reverse()
    spans = [(0, 1), (0, 2), (0, 3)]
    predictions = [prediction([strip(*s)], score) for s, score in zip(spans, (0.5, 0.9, 0.5), strict=True)]
    first, second = tracks_of(data, predictions)
    assert (first.video_id, second.video_id) == (1, 2)
    assert first.areas.tolist() == [[2], [1], [3]]
    assert second.intersections.shape == (0, 0, 0)
