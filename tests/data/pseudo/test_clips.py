import numpy as np
import pytest

from tests.data.builders import box_mask, frame_pixels
from tests.data.pseudo.drawn import LEFT, RIGHT, SIZE, change, write_clip
from vistrials.data.pseudo.clips import find_sight, load_clips
from vistrials.errors import DataError


def test_frames_masks_and_what_can_be_pasted(tmp_path):
    path = write_clip(tmp_path / "a")
    for given in (path, path.parent):
        clips = load_clips([given])
        assert clips.donors == [(0, 0), (0, 1)]  # the crowd is none
        assert (clips.image(0, 2) == frame_pixels(1, 2, SIZE).transpose(2, 0, 1)).all()
        assert (clips.mask(0, 0, 3) == box_mask(LEFT[3], SIZE)).all()
        assert clips.mask(0, 1, 2) is None
        assert [clips.category_id(0, track) for track in range(3)] == [3, 7, 300]
        assert find_sight(clips.videos[0][1].tracks[1]) == (0, 3)
    assert RIGHT[2] is None


def test_categories_of_several_clips_meet_by_name(tmp_path):
    paths = [write_clip(tmp_path / name) for name in "ab"]

    def rename(document):
        document["categories"] = [
            {"id": 7, "name": "dog"},  # 3 in the other
            {"id": 3, "name": "cat"},  # 7 in the other
            {"id": 300, "name": "ox"},  # taken there by newts
        ]

    change(paths[1], rename)
    clips = load_clips(paths)
    assert [(c.id, c.name) for c in clips.categories] == [(7, "cat"), (3, "dog"), (300, "newt"), (301, "ox")]
    assert [clips.category_id(1, track) for track in range(3)] == [7, 3, 301]
    assert clips.donors == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_clip_without_tracks_to_paste_is_refused(tmp_path):
    path = write_clip(tmp_path / "a")

    def crowd_and_glimpse(document):
        document["annotations"][0]["iscrowd"] = 1
        for key in ("bboxes", "areas", "segmentations"):
            document["annotations"][1][key][1:] = [None] * 3

    change(path, crowd_and_glimpse)
    sound = write_clip(tmp_path / "b")
    with pytest.raises(DataError, match=r"a/train.json: expected a track in sight in 2 frames or more, found none"):
        load_clips([sound, path])


def test_frames_that_cannot_be_found_are_said(tmp_path):
    path = write_clip(tmp_path / "a")
    (path.parent / "JPEGImages").rename(path.parent / "elsewhere")
    with pytest.raises(DataError, match="no folder of frames beside it holds 1/00000.png"):
        load_clips([path])


def test_frames_are_decoded_once(tmp_path):
    clips = load_clips([write_clip(tmp_path / "a")])
    assert clips.image(0, 1) is clips.image(0, 1)
    assert not np.array_equal(clips.image(0, 1), clips.image(0, 2))
