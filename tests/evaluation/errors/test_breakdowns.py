"""AP by properties of tracks, confusions and fates of frames, by hand."""

import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from tests.evaluation.drawn import A, B, C, along, at, random_scenes, scene, tracks_of
from vistrials.evaluation.errors.ap import score_videos
from vistrials.evaluation.errors.breakdowns import (
    Confusion,
    count_fates,
    find_confusions,
    score_by_crowding,
    score_by_length,
    score_by_size,
)

EVERYWHERE = range(10)


def shown(bins):
    return [(part.low, part.high, part.num_truths, round(part.score.AP50, 6)) for part in bins]


def test_by_length():
    # Truths of 10, 5 and 1 frames; of the long one 6 frames are predicted, of the short one none.
    truths = [(at(A, EVERYWHERE), 1), (at(B, range(5)), 1), (at(C, [0]), 1)]
    predictions = [
        (at(A, range(6)), 0.9, 1),
        (at((85, 95), range(6)), 0.8, 1),
        (at((85, 95), EVERYWHERE), 0.7, 1),
        (at(B, range(5)), 0.6, 1),
    ]
    # In 5 to 8 the first is right elsewhere and left out, the second is wrong, the third is too long to count.
    expected = [(1, 5, 1, 0.0), (5, 9, 1, 0.5), (9, 17, 1, 1.0)]
    assert shown(score_by_length(tracks_of(*scene(truths, predictions)), [1, 2])) == expected


def test_a_length_on_a_bound_belongs_to_the_longer_bin():
    # A truth of 8 frames and a wrong prediction of 9, which the bin of 9 to 16 has.
    predictions = [(at(B, range(9)), 0.9, 1), (at(A, range(8)), 0.8, 1)]
    assert shown(score_by_length(tracks_of(*scene([(at(A, range(8)), 1)], predictions)), [1])) == [(5, 9, 1, 1.0)]
    # Of 8 frames it is the bin's own.
    predictions[0] = (at(B, range(8)), 0.9, 1)
    assert shown(score_by_length(tracks_of(*scene([(at(A, range(8)), 1)], predictions)), [1])) == [(5, 9, 1, 0.5)]


def test_by_size_the_root_of_the_mean_area():
    # Of annotated areas: 255 is below 16², 256 is not.
    data = ground_truth([truth([strip(*A)], areas=[255]), truth([strip(*B)], areas=[256])])
    videos = tracks_of(data, [prediction([strip(*B)], 0.9), prediction([strip(*C)], 0.8)])
    # The wrong prediction has 20 pixels.
    assert shown(score_by_size(videos, [1])) == [(0, 16, 1, 0.0), (16, 32, 1, 1.0)]


def test_by_number_of_tracks_in_the_video_crowds_aside():
    one = [truth(at(A, EVERYWHERE), video=1), truth(at(B, EVERYWHERE), video=1, crowd=1)]
    two = [truth(at(A, EVERYWHERE), video=2), truth(at(B, EVERYWHERE), video=2)]
    data = ground_truth([*one, *two], num_videos=3, num_frames=10)
    predictions = [prediction(at(A, EVERYWHERE), 0.9, video=video) for video in (1, 2, 3)]
    # The one in the empty third video belongs to no bin.
    assert shown(score_by_crowding(tracks_of(data, predictions), [1])) == [
        (1, 2, 1, 1.0),
        (2, 3, 2, round(51 / 101, 6)),
    ]


def test_a_bin_that_holds_all_is_ap():
    data, predictions = random_scenes(0)
    videos = tracks_of(data, predictions)
    (part,) = score_by_size(videos, range(1, 5))
    assert part.score == score_videos(videos, range(1, 5))
    # Every truth is in one bin of each breakdown.
    num_truths = sum(int((~video.is_crowd).sum()) for video in videos)
    for breakdown in (score_by_length, score_by_size, score_by_crowding):
        assert sum(part.num_truths for part in breakdown(videos, range(1, 5))) == num_truths


def test_confusions_by_the_best_scored_track_that_finds_a_truth():
    truths = [(at(place, EVERYWHERE), 1) for place in (A, B, C)] + [(at((85, 99), EVERYWHERE), 2)]
    predictions = [
        (at(A, EVERYWHERE), 0.9, 2),
        (at(A, EVERYWHERE), 0.8, 1),
        (at(B, EVERYWHERE), 0.9, 1),
        (at(B, EVERYWHERE), 0.8, 2),
        (at(C, range(4)), 0.9, 2),
    ]
    # A is taken for 2, B is not; of C four frames are too few, and nothing finds the last.
    assert find_confusions(tracks_of(*scene(truths, predictions))) == [Confusion(1, 2, 1, 2)]


def test_half_a_truth_by_a_better_score_decides_what_it_is_taken_for():
    # (0, 10) is half of (0, 20), which is enough; the exact track comes second.
    predictions = [(at((0, 10), EVERYWHERE), 0.9, 2), (at(A, EVERYWHERE), 0.8, 1)]
    assert find_confusions(tracks_of(*scene([(at(A, EVERYWHERE), 1)], predictions))) == [Confusion(1, 2, 1, 1)]


def test_the_most_frequent_confusion_comes_first():
    data = ground_truth([truth([strip(*place)], category=c) for place, c in ((A, 1), (B, 2), (C, 2))], 1, 3)
    predictions = [prediction([strip(*place)], 0.9, category=c) for place, c in ((A, 3), (B, 1), (C, 1))]
    assert find_confusions(tracks_of(data, predictions)) == [Confusion(2, 1, 2, 2), Confusion(1, 3, 1, 1)]


def test_fates_of_frames():
    truths = [(at(A, range(8)), 1), (at(B, EVERYWHERE), 1), (at(C, range(3)), 2)]
    predictions = [
        # Late by one frame, a gap of two, a leak of one.
        (along(None, A, A, None, None, A, A, A, A, None), 0.9, 1),
        # The better overlap, though the score is lower, is what a truth is compared with: 6 of 10 and 4 of 10.
        (at(B, range(4)), 0.8, 1),
        (at(B, range(4, 10)), 0.7, 1),
        # Of another category.
        (at(C, range(3)), 0.6, 1),
    ]
    assert count_fates(tracks_of(*scene(truths, predictions))) == {
        "on": 5 + 6,
        "identity": 4,
        "late_start": 1,
        "early_end": 0,
        "gap": 2,
        "leak": 1,
        "no_track": 3,
    }


@pytest.mark.parametrize("seed", range(5))
def test_every_frame_of_a_truth_has_one_fate(seed):
    data, predictions = random_scenes(seed)
    fates = count_fates(tracks_of(data, predictions))
    num_frames = sum(
        sum(mask is not None for mask in entry["segmentations"])
        for entry in data["annotations"]
        if not entry["iscrowd"]
    )
    assert sum(fates.values()) - fates["leak"] == num_frames
