import numpy as np
import pytest
import torch

from tests.data.builders import box_mask, small_document, write_set
from vistrials.data.augmentation import (
    LabelledFrame,
    augment,
    flip_clip,
    paste_instances,
    recolour,
    tight_boxes,
    zoom,
)
from vistrials.data.loading import FramePairDataset
from vistrials.formats.annotations import load_video_set
from vistrials.specs.data import AugmentationSpec, DataSpec

SIZE = (40, 60)


def frame(boxes, ids, colour=100, size=SIZE):
    """Filled boxes x, y, w, h of one colour each: track id + 1, on a background."""
    image = np.full((3, *size), colour, np.uint8)
    masks = np.array([box_mask(box, size) for box in boxes], np.uint8).reshape(-1, *size)
    for track_id, mask in zip(ids, masks, strict=True):
        image[:, mask > 0] = track_id + 1
    return LabelledFrame(image, masks, list(ids), [track_id % 3 + 1 for track_id in ids])


def pair(colour=100):
    return frame([(5, 10, 8, 20), (30, 10, 10, 12)], [1, 2], colour), frame([(7, 10, 8, 20)], [1], colour)


def assert_equal(frames, others):
    for one, other in zip(frames, others, strict=True):
        assert (one.image == other.image).all() and (one.masks == other.masks).all()
        assert (one.track_ids, one.labels) == (other.track_ids, other.labels)


def test_nothing_asked_for_changes_nothing():
    assert_equal(augment(pair(), None, AugmentationSpec(), np.random.default_rng(0)), pair())


def test_boxes_bound_their_masks_with_inclusive_corners():
    assert tight_boxes(frame([(5, 10, 8, 20), (0, 0, 1, 1)], [1, 2]).masks).tolist() == [[5, 10, 12, 29], [0, 0, 0, 0]]


def test_flipping_twice_is_no_flip():
    assert tight_boxes(flip_clip(pair())[0].masks)[0].tolist() == [60 - 1 - 12, 10, 60 - 1 - 5, 29]
    assert tight_boxes(flip_clip(pair())[1].masks)[0].tolist() == [60 - 1 - 14, 10, 60 - 1 - 7, 29]
    assert_equal(flip_clip(flip_clip(pair())), pair())


@pytest.mark.parametrize("seed", range(20))
def test_a_zoom_keeps_size_and_moves_pixels_with_their_masks(seed):
    factor = 0.5 if seed % 2 else 1.5
    frames = zoom(pair(), (factor, factor), np.random.default_rng(seed))
    for zoomed, original in zip(frames, pair(), strict=True):
        assert zoomed.image.shape == (3, *SIZE) and zoomed.masks.shape[1:] == SIZE
        for number, mask in enumerate(zoomed.masks):
            assert mask.sum() <= original.masks[number].sum() * factor**2 * 1.3
            inside = zoomed.image[0][mask > 0]
            # Bilinear pixels at the rim mix with the background; most are the object's own.
            assert inside.size == 0 or np.mean(np.abs(inside.astype(int) - original.track_ids[number] - 1) < 60) > 0.7
    # The same cut in both: an object of the same size and place would stay in the same place.
    width = [tight_boxes(f.masks[:1])[0] for f in frames if f.masks[0].any()]
    if len(width) == 2 and factor == 0.5:
        assert width[1][0] - width[0][0] == pytest.approx(2 * factor, abs=1)


def test_a_zoom_out_shows_everything():
    small = zoom(pair(), (0.5, 0.5), np.random.default_rng(0))[0]
    assert small.masks.sum(axis=(1, 2)).tolist() == [4 * 10, 5 * 6]


def test_twice_and_half_as_large_are_drawn_equally_often():
    shrunk = 0
    for seed in range(200):
        zoomed = zoom(pair(), (0.25, 4), np.random.default_rng(seed))[0]
        shrunk += (zoomed.image == 128).any()  # the grey around it, which the frame has nowhere
    # Drawn evenly from .25 to 4 it would be a fifth; a half is 100, standard deviation 7.
    assert abs(shrunk - 100) < 30


@pytest.mark.parametrize("seed", range(30))
def test_pasted_objects_bring_pixels_mask_label_and_a_track_of_their_own(seed):
    donor = frame([(20, 5, 9, 20), (40, 5, 9, 20)], [1, 7], 50), frame([(22, 5, 9, 20)], [7], 50)
    pasted = paste_instances(pair(), donor, (1, 1), np.random.default_rng(seed))
    for result, original, given in zip(pasted, pair(), donor, strict=True):
        new = [track_id for track_id in result.track_ids if track_id not in original.track_ids]
        assert result.track_ids[: len(original.track_ids)] == original.track_ids
        assert set(new) <= {3, 4} and len(set(result.track_ids)) == len(result.track_ids)
        assert (result.masks.sum(axis=0) <= 1).all(), "one pixel, one instance"
        for track_id, label, mask in zip(result.track_ids, result.labels, result.masks, strict=True):
            if track_id in new:
                values = np.unique(result.image[0][mask > 0])
                sources = {i + 1: label for i, label in zip(given.track_ids, given.labels, strict=True)}
                assert len(values) <= 1 and all(sources[value] == label for value in values)
        untouched = result.masks[len(original.track_ids) :].sum(axis=0) == 0
        assert (result.image[:, untouched] == original.image[:, untouched]).all()
    # Track 7 is in both frames of the donor: pasted, it is one new track in both.
    of_seven = [
        {f.track_ids[i] for i, m in enumerate(f.masks) if m.any() and f.image[0][m > 0][0] == 8} for f in pasted
    ]
    assert not (of_seven[0] and of_seven[1]) or of_seven[0] == of_seven[1]


def pasted_boxes(donor_box, scale):
    """Where one object of a donor's comes to lie, over many draws."""
    donor = frame([donor_box], [7]), frame([donor_box], [7])
    boxes = []
    for seed in range(60):
        result = paste_instances(pair(), donor, (scale, scale), np.random.default_rng(seed))[0]
        boxes.append(tight_boxes(result.masks[-1:])[0].tolist())
    return boxes


def test_a_pasted_object_moves_to_anywhere_but_at_most_an_eighth_of_the_height_up_or_down():
    boxes = pasted_boxes((50, 12, 5, 10), 1)
    assert {y1 for _, y1, _, _ in boxes} == set(range(12 - 5, 12 + 5 + 1))  # 40 / 8 = 5
    middles = [(x1 + x2) / 2 for x1, _, x2, _ in boxes]
    assert min(middles) < 10 and max(middles) > 50


def test_smaller_copies_stand_where_the_donor_stood():
    # Rows 20 to 39 of 40, halved: 10 rows that end at the last row, give or take 5.
    bottoms = {y2 for *_, y2 in pasted_boxes((20, 20, 6, 20), 0.5)}
    assert bottoms == {34, 35, 36, 37, 38, 39}


def test_new_ids_are_new_in_both_frames():
    # Track 2 is in the reference frame alone.
    pair_of_two = frame([(5, 5, 6, 6)], [1]), frame([(5, 5, 6, 6), (40, 5, 6, 6)], [1, 2])
    donor = frame([(30, 20, 9, 9)], [1]), frame([(30, 20, 9, 9)], [1])
    first, second = paste_instances(pair_of_two, donor, (1, 1), np.random.default_rng(0))
    assert (first.track_ids, second.track_ids) == ([1, 3], [1, 2, 3])


def test_what_a_pasted_object_hides_is_no_longer_annotated():
    below = frame([(0, 0, 60, 40)], [1])
    donor = frame([(20, 5, 9, 20)], [1]), frame([(20, 5, 9, 20)], [1])
    result = paste_instances((below, below), donor, (1, 1), np.random.default_rng(3))[0]
    assert result.masks.sum() == 60 * 40 and result.masks[1].sum() > 0


def test_colours_change_alike_in_both_frames_and_grey_stays_grey():
    first, second = recolour(pair(), 0.5, np.random.default_rng(1))
    assert (first.image[0] == first.image[1]).all() and (first.image[1] == first.image[2]).all()
    assert (first.masks == pair()[0].masks).all()
    assert first.image[0, 0, 0] != 100
    same = recolour((pair()[0], pair()[0]), 0.5, np.random.default_rng(1))
    assert (same[0].image == same[1].image).all()
    assert second.image.dtype == np.uint8


def test_colours_by_hand():
    # Two halves of one colour each: brightness for all, saturation from the grey of a pixel, contrast from that of all.
    colours = np.array([[100, 60, 40], [50, 80, 120]], np.float32)
    image = np.repeat(colours.T[:, None, :], 2, axis=1).repeat(3, axis=2).astype(np.uint8)  # (3, 2, 6)
    still = LabelledFrame(image, np.zeros((0, 2, 6), np.uint8), [], [])
    changed = recolour((still, still), 0.25, np.random.default_rng(4))[0].image
    brightness, contrast, saturation = np.random.default_rng(4).uniform(0.75, 1.25, 3)
    bright = colours * brightness
    grey = bright @ [0.299, 0.587, 0.114]
    saturated = grey[:, None] + (bright - grey[:, None]) * saturation
    expected = grey.mean() + (saturated - grey.mean()) * contrast
    assert np.abs(changed[:, 0, [0, 5]].T - expected).max() <= 0.5 + 1e-3
    assert np.ptp([brightness, contrast, saturation]) > 0.1


def test_sixteen_pixels_are_in_sight_and_fifteen_are_not():
    small = frame([(0, 0, 4, 4), (20, 0, 3, 5)], [1, 2])
    first, _ = augment((small, small), None, AugmentationSpec(), np.random.default_rng(0))
    assert first.track_ids == [1]


def test_objects_out_of_sight_are_dropped_and_some_object_always_stays():
    spec = AugmentationSpec(scale=(3, 3))
    lengths = set()
    for seed in range(40):
        frames = augment(pair(), None, spec, np.random.default_rng(seed))
        assert all(f.track_ids and (f.masks.sum(axis=(1, 2)) >= 16).all() for f in frames)
        lengths.add(len(frames[0].track_ids))
    assert lengths == {1, 2}


def test_the_loader_gives_augmented_pairs_that_depend_on_their_place_only(tmp_path):
    video_set = load_video_set(*write_set(tmp_path, small_document()))
    spec = AugmentationSpec(scale=(0.7, 1.4), color=0.3, copy_paste=1)
    data = DataSpec(image_size_px=(64, 48), augmentation=spec)
    one, other = (FramePairDataset(video_set, data, seed=0, cache_frames=cached) for cached in (False, True))
    for index in range(len(one)):
        for _ in range(2):  # the second time from the cache, which must be as it was
            first, second = one.clip(index, 1, index)[0], other.clip(index, 1, index)[0]
            assert torch.equal(first.key_image, second.key_image) and torch.equal(first.masks, second.masks)
        assert first.key_image.shape[1:] == one.size(index) and first.masks.shape[1:] == one.size(index)
        assert len(first.boxes) == len(first.labels) == len(first.masks) == len(first.instance_match) > 0
        boxes = first.boxes
        assert (boxes[:, 2:] >= boxes[:, :2]).all()
        for box, mask in zip(boxes.long().tolist(), first.masks, strict=True):
            assert mask[box[1] : box[3] + 1, box[0] : box[2] + 1].sum() == mask.sum() > 0
        assert first.instance_match.max() <= len(first.reference_boxes) == len(first.reference_labels)
        matched = first.instance_match > 0
        assert torch.equal(first.reference_labels[first.instance_match[matched] - 1], first.labels[matched])


def test_scale_names_the_least_first():
    with pytest.raises(ValueError, match="found least 2.0 above greatest 1.0"):
        AugmentationSpec(scale=(2, 1))
