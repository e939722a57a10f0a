from collections import Counter

import numpy as np
import pytest

from tests.data.builders import make_document, make_video, small_document
from vistrials.data.sampling import (
    KeyFrame,
    annotated_frames,
    choose_references,
    count_batches,
    group_key_frames,
    is_usable,
    match_instances,
    plan_batches,
)
from vistrials.formats.annotations import build_video_set
from vistrials.structures.video import AnnotatedTrack


def rng():
    return np.random.default_rng(0)


def one_frame(bbox=(1, 1, 4, 4), area=16, segmentation=((1, 1, 4, 1, 4, 4),), crowd=False):
    return AnnotatedTrack(1, 7, crowd, [None if bbox is None else list(bbox)], [area], [segmentation])


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        (one_frame(), True),
        (one_frame(bbox=(1, 1, 1, 1), area=1), True),
        (one_frame(bbox=None), False),
        (one_frame(area=None), False),
        (one_frame(area=0), False),
        (one_frame(area=-3), False),
        (one_frame(segmentation=None), False),
        (one_frame(segmentation=[]), False),
        (one_frame(bbox=(1, 1, 0.9, 4)), False),
        (one_frame(bbox=(1, 1, 4, 0.9)), False),
        (one_frame(crowd=True), False),
    ],
)
def test_usable_instances(track, expected):
    assert is_usable(track, 0) is expected


def test_frames_with_a_crowd_alone_are_not_annotated():
    videos = build_video_set(small_document(), "frames", "x").videos
    assert [annotated_frames(video) for video in videos] == [[0, 1, 3], [0, 1], [0, 1, 2]]


def test_random_reference_is_uniform_over_the_others():
    generator = rng()
    counts = Counter(choose_references([0, 2, 5, 9], 5, "random", 1, generator)[0] for _ in range(3000))
    assert set(counts) == {0, 2, 9}
    # 1000 each expected, standard deviation sqrt(3000 * 1/3 * 2/3) = 25.8: five of them.
    assert all(abs(count - 1000) < 130 for count in counts.values())


def test_ordered_reference_is_the_nearest_earlier():
    annotated = [1, 2, 5, 9]
    assert [choose_references(annotated, key, "ordered", 1, rng())[0] for key in annotated] == [2, 1, 2, 5]


def test_window_reference():
    generator = rng()
    annotated = [0, 2, 3, 5, 20]
    found = {
        key: {choose_references(annotated, key, "window:2", 1, generator)[0] for _ in range(60)} for key in annotated
    }
    assert found == {0: {2}, 2: {0, 3}, 3: {2, 5}, 5: {3}, 20: {5}}  # 20 has none near: the nearest


@pytest.mark.parametrize("sampling", ["random", "ordered", "window:3", "widening:3"])
def test_a_lone_frame_is_its_own_reference(sampling):
    assert choose_references([4], 4, sampling, 1, rng()) == [4]
    assert choose_references([4], 4, sampling, 3, rng()) == [4] * 3


def as_before(annotated, key, sampling, generator, progress=0.0):
    """The choice of a single reference frame, written down when there was no other."""
    others = [frame for frame in annotated if frame != key]
    if not others:
        return key
    if sampling == "ordered":
        return max((frame for frame in others if frame < key), default=others[0])
    kind, _, width = sampling.partition(":")
    if kind != "random":
        reach = int(width) if kind == "window" else 1 + min(int(progress * int(width)), int(width) - 1)
        nearest = min(others, key=lambda frame: abs(frame - key))
        others = [frame for frame in others if abs(frame - key) <= reach] or [nearest]
    return others[generator.integers(len(others))]


@pytest.mark.parametrize("sampling", ["random", "ordered", "window:2", "widening:3"])
def test_one_reference_is_drawn_as_ever(sampling):
    ours, theirs = rng(), rng()
    for number in range(300):
        annotated = np.flatnonzero(np.random.default_rng(number).random(12) < 0.5).tolist() or [3]
        key = annotated[number % len(annotated)]
        place = annotated, key, sampling
        assert choose_references(*place, 1, ours, number / 300) == [as_before(*place, theirs, number / 300)]
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_random_references_are_distinct_and_each_pair_of_others_is_as_likely():
    generator = rng()
    counts = Counter(tuple(choose_references([0, 2, 5, 9], 5, "random", 2, generator)) for _ in range(3000))
    # The farthest first: 0 is 5 frames away, 9 is 4, 2 is 3.
    assert set(counts) == {(0, 9), (0, 2), (9, 2)}
    assert all(abs(count - 1000) < 130 for count in counts.values())  # five standard deviations, as above


def test_references_repeat_evenly_where_the_video_has_too_few():
    for _ in range(20):
        counts = Counter(choose_references([1, 4, 6], 4, "random", 5, rng()))
        assert set(counts) == {1, 6} and sorted(counts.values()) == [2, 3]


def test_ordered_references_lie_on_one_side_the_nearest_last():
    annotated = [1, 2, 5, 9]
    found = {key: choose_references(annotated, key, "ordered", 2, rng()) for key in annotated}
    assert found == {1: [5, 2], 2: [1, 1], 5: [1, 2], 9: [2, 5]}


@pytest.mark.parametrize("sampling", ["window:2", "widening:2"])
def test_all_references_lie_within_the_window(sampling):
    generator, found = rng(), set()
    for _ in range(60):
        found.add(tuple(choose_references([0, 2, 3, 4, 9], 3, sampling, 2, generator, progress=1.0)))
    assert found == {(2, 4), (4, 2)}
    # Nearer than two lies one frame alone, which is taken twice.
    assert choose_references([0, 2, 3, 9], 3, "window:1", 2, generator) == [2, 2]


def test_what_is_drawn_first_does_not_depend_on_the_number():
    for seed in range(30):
        one, more = (choose_references(range(10), 4, "random", num, np.random.default_rng(seed)) for num in (1, 3))
        assert one[0] in more


def test_instance_match_is_one_based_with_zero_for_absent():
    assert match_instances([11, 12, 13], [13, 40, 11]) == [3, 0, 1]
    assert match_instances([0], [0]) == [1]  # an id of 0 is an id like any other
    assert match_instances([], [3]) == []


def test_groups_by_orientation_and_by_video():
    videos = build_video_set(small_document(), "frames", "x").videos
    annotated = [annotated_frames(video) for video in videos]
    keys, groups = group_key_frames(videos, annotated, "orientation")
    assert keys == [KeyFrame(0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    assert sorted(group.tolist() for group in groups) == [[0, 1, 2, 3, 4], [5, 6, 7]]
    _, groups = group_key_frames(videos, annotated, "video_chunks")
    assert [group.tolist() for group in groups] == [[0, 1, 2], [3, 4], [5, 6, 7]]
    _, groups = group_key_frames(videos, [[], [1], []], "video_chunks")
    assert [group.tolist() for group in groups] == [[0]]
    assert group_key_frames(videos, [[], [], []], "orientation") == ([], [])


def test_orientation_batches_fill_up_each_group_and_never_mix_them():
    groups = [np.arange(10), np.arange(10, 13)]
    plan = plan_batches(groups, 4, "orientation", rng())
    assert plan.shape == (3 + 1, 4) == (count_batches(groups, 4), 4)
    assert all(len({index >= 10 for index in batch}) == 1 for batch in plan.tolist())
    counts = Counter(plan.flatten().tolist())
    assert set(counts) == set(range(13))
    assert sorted(counts.values()) == [1] * 10 + [2] * 3  # 12 - 10 repeats of the wide, 4 - 3 of the high


def test_a_group_far_below_the_batch_is_repeated_as_often_as_needed():
    plan = plan_batches([np.array([5, 6])], 7, "orientation", rng())
    assert sorted(Counter(plan[0].tolist()).values()) == [3, 4]


def test_video_chunks_are_consecutive_and_only_their_order_is_shuffled():
    groups = [np.arange(8), np.arange(8, 14)]
    chunks = {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 8, 9)}
    orders = set()
    generator = rng()
    for _ in range(20):
        plan = [tuple(batch) for batch in plan_batches(groups, 4, "video_chunks", generator).tolist()]
        assert set(plan) == chunks
        orders.add(tuple(plan))
    assert len(orders) > 5


def test_orientation_shuffles_within_the_group():
    first, second = (plan_batches([np.arange(40)], 4, "orientation", np.random.default_rng(s)) for s in (0, 1))
    assert not np.array_equal(first, second)
    chunks = {tuple(range(start, start + 4)) for start in range(0, 40, 4)}
    assert not any(tuple(batch) in chunks for batch in [*first.tolist(), *second.tolist()])
    assert sorted(first.flatten()) == sorted(second.flatten()) == list(range(40))


def test_a_square_video_is_not_wide():
    videos = build_video_set(
        make_document([make_video(i, 1, (8, w)) for i, w in enumerate((8, 9))], []), "f", "x", False
    )
    _, groups = group_key_frames(videos.videos, [[0], [0]], "orientation")
    assert [group.tolist() for group in groups] == [[0], [1]]


@pytest.mark.parametrize(("progress", "reach"), [(0.0, 1), (0.32, 1), (0.34, 2), (0.67, 3), (1.0, 3)])
def test_a_widening_window_grows_over_the_training(progress, reach):
    generator = rng()
    drawn = {choose_references(range(20), 10, "widening:3", 1, generator, progress)[0] for _ in range(200)}
    assert drawn == {frame for frame in range(10 - reach, 11 + reach) if frame != 10}
