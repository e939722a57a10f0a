"""IoU frame by frame."""

import numpy as np
import pytest

from tests.evaluation.building import WIDTH, strip
from vistrials.evaluation.frame_overlap import frame_iou
from vistrials.evaluation.track_iou import decode_tracks
from vistrials.formats import rle


def decoded(tracks):
    return decode_tracks(tracks, 1, WIDTH)


def test_by_hand():
    truths = decoded([[strip(0, 10), None, strip(90, 100)]])
    predictions = decoded([[strip(5, 15), strip(0, 9), strip(90, 95)], [strip(0, 10), None, None]])
    ious = frame_iou(truths, predictions)
    assert ious[:, 0].tolist() == [[5 / 15, 1], [0, 0], [5 / 10, 0]]


def test_frames_do_not_run_into_each_other():
    # The last pixels of one frame and the first of the next are neighbours on the line.
    truths = decoded([[strip(90, 100), strip(50, 60)]])
    predictions = decoded([[strip(50, 60), strip(0, 10)]])
    assert not frame_iou(truths, predictions).any()


def test_other_sizes_and_empty_masks_overlap_nothing():
    truths = decoded([[strip(0, 10), strip(0, 0), strip(0, 10)]])
    predictions = decoded([[strip(0, 10, WIDTH + 1), strip(0, 0), strip(0, 10)]])
    assert frame_iou(truths, predictions)[:, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("num_truths", "num_predictions"), [(0, 2), (2, 0)])
def test_no_tracks_on_one_side(num_truths, num_predictions):
    tracks = [decoded([[strip(0, 10)] * 3] * n) for n in (num_truths, num_predictions)]
    assert frame_iou(*tracks).shape == (3, num_truths, num_predictions)


@pytest.mark.parametrize("seed", range(20))
def test_random_masks_equal_counting_pixels(seed):
    rng = np.random.default_rng(seed)
    sizes = [(7, 5), (7, 5), (4, 9)]
    tracks = []
    for count in (3, 4):
        masks = [[rng.random(sizes[rng.integers(0, 3)]) < rng.random() for _ in range(6)] for _ in range(count)]
        tracks.append([[mask if rng.random() < 0.8 else None for mask in track] for track in masks])
    ious = frame_iou(
        *(decode_tracks([[None if m is None else rle.encode(m) for m in t] for t in side], 7, 5) for side in tracks)
    )
    for g, truth in enumerate(tracks[0]):
        for d, predicted in enumerate(tracks[1]):
            for frame, (a, b) in enumerate(zip(truth, predicted, strict=True)):
                comparable = a is not None and b is not None and a.shape == b.shape and (a | b).any()
                assert ious[frame, g, d] == ((a & b).sum() / (a | b).sum() if comparable else 0)
