import numpy as np
import pytest
from numpy.typing import NDArray

from tests.data.builders import box_mask, frame_pixels
from tests.data.pseudo.drawn import LEFT, RIGHT, SIZE, one_clip
from vistrials.data.augmentation import LabelledFrame
from vistrials.data.pseudo.clips import Clips
from vistrials.data.pseudo.composing import compose, take_window
from vistrials.data.pseudo.recipes import Colors, Pasted, Recipe, Window

WHOLE = Window(0, 0, *SIZE)


@pytest.fixture
def clips(tmp_path) -> Clips:
    return one_clip(tmp_path / "clip")


def make(clips: Clips, *times: int, **changes: object) -> list[LabelledFrame]:
    recipe = Recipe(**{"video": 0, "times": times, "windows": (WHOLE,) * len(times), "size": SIZE, **changes})
    return list(compose(clips, recipe))


def pixels(frame: int) -> NDArray[np.uint8]:
    return frame_pixels(1, frame, SIZE).transpose(2, 0, 1)


def truth(*boxes) -> NDArray[np.uint8]:
    return np.array([np.zeros(SIZE, np.uint8) if box is None else box_mask(box, SIZE) for box in boxes])


CROWD = (0, 0, 40, 2)


def test_without_changes_a_video_is_itself(clips):
    frames = make(clips, 0, 1, 2, 3)
    for number, frame in enumerate(frames):
        assert (frame.image == pixels(number)).all()
        assert (frame.masks == truth(LEFT[number], RIGHT[number], CROWD)).all()
        assert frame.track_ids == [1, 2, 3] and frame.labels == [3, 7, 300]


def test_times_may_run_backwards_and_repeat(clips):
    frames = make(clips, 3, 2, 2, 0)
    for frame, number in zip(frames, (3, 2, 2, 0), strict=True):
        assert (frame.image == pixels(number)).all()
        assert (frame.masks == truth(LEFT[number], RIGHT[number], CROWD)).all()
        assert frame.track_ids == [1, 2, 3]


def test_a_pasted_track_shows_its_own_pixels_and_hides_what_lies_below(clips):
    # LEFT of frame 3 over frames 0 and 1: 20 to the right and 3 down, then a step further.
    pasted = Pasted(0, 0, (3, 3), ((3, 20), (3, 21)))
    frames = make(clips, 0, 1, pasted=(pasted,))
    x, y, w, h = LEFT[3]
    for number, frame in enumerate(frames):
        place = (x + 20 + number, y + 3, w, h)
        over = box_mask(place, SIZE)
        expected = truth(LEFT[number], RIGHT[number], CROWD)
        hidden = expected[1] & over
        assert hidden.any() and not (expected[0] & over).any()
        assert (frame.masks[:3] == expected & (1 - over)).all()
        assert (frame.masks[3] == over).all() and frame.labels == [3, 7, 300, 3] and frame.track_ids == [1, 2, 3, 4]
        assert (frame.image[:, over == 0] == pixels(number)[:, over == 0]).all()
        cut = frame.image[:, place[1] : place[1] + h, place[0] : place[0] + w]
        assert (cut == pixels(3)[:, y : y + h, x : x + w]).all()


def test_pasted_tracks_keep_their_own_motion_and_absence(clips):
    # RIGHT moves a pixel to the left from frame 0 to 1, and is out of sight in frame 2.
    frames = make(clips, 0, 0, 0, pasted=(Pasted(0, 1, (0, 1, 2), ((5, -14),) * 3),))
    assert (frames[0].masks[3] == box_mask((14, 11, 8, 9), SIZE)).all()
    assert (frames[1].masks[3] == box_mask((13, 11, 8, 9), SIZE)).all()
    assert not frames[2].masks[3].any() and (frames[2].image == pixels(0)).all()
    assert [frame.track_ids for frame in frames] == [[1, 2, 3, 4]] * 3


def test_later_ones_hide_earlier_ones_down_to_nothing(clips):
    same = Pasted(0, 0, (0,), ((0, 10),))
    (frame,) = make(clips, 0, pasted=(same, Pasted(0, 0, (1,), ((0, 9),))))
    assert not frame.masks[3].any() and (frame.masks[4] == box_mask((12, 4, 6, 10), SIZE)).all()


def test_what_is_pasted_may_lie_partly_or_wholly_outside(clips):
    (frame,) = make(clips, 0, pasted=(Pasted(0, 0, (0,), ((-6, -5),)), Pasted(0, 0, (0,), ((0, 100),))))
    assert (frame.masks[3] == box_mask((0, 0, 3, 8), SIZE)).all() and not frame.masks[4].any()


def test_pasted_tracks_are_resized_and_mirrored_about_their_own_frame(clips):
    (frame,) = make(clips, 0, pasted=(Pasted(0, 0, (0,), ((-4, 0),), factor=2.0),))
    assert (frame.masks[3] == box_mask((4, 4, 12, 20), SIZE)).all()
    (frame,) = make(clips, 0, pasted=(Pasted(0, 0, (0,), ((8, 0),), is_mirrored=True),))
    assert (frame.masks[3] == box_mask((40 - 2 - 6, 12, 6, 10), SIZE)).all()
    assert (frame.image[:, 12:22, 32:38] == pixels(0)[:, 4:14, 2:8][..., ::-1]).all()


def test_the_camera_moves_pixels_and_masks_alike(clips):
    windows = (Window(2, 4, 12, 20), Window(6, 10, 12, 20))
    near = make(clips, 0, 0, windows=windows, size=(12, 20), pasted=(Pasted(0, 0, (0, 0), ((0, 20),) * 2),))
    assert (near[0].masks[0] == box_mask((0, 2, 4, 10), (12, 20))).all()
    assert (near[0].masks[3] == box_mask((18, 2, 2, 10), (12, 20))).all()
    assert (near[1].masks[3] == box_mask((12, 0, 6, 8), (12, 20))).all()
    assert (near[1].image[:, :, :12] == pixels(0)[:, 6:18, 10:22]).all()


def test_zoomed_masks_take_the_pixel_below_the_middle():
    masks = np.arange(8, dtype=np.uint8).reshape(1, 1, 8).repeat(4, axis=1)
    frame = LabelledFrame(np.zeros((3, 4, 8), np.uint8), masks, [1], [1])
    assert take_window(frame, Window(0, 2, 4, 4), (4, 8)).masks[0, 0].tolist() == [2, 2, 3, 3, 4, 4, 5, 5]
    assert take_window(frame, Window(0, 0.5, 4, 6), (4, 3)).masks[0, 0].tolist() == [1, 3, 5]
    assert take_window(frame, Window(0, 0, 4, 8), (4, 2)).masks[0, 0].tolist() == [2, 6]


def test_zoomed_pixels_and_masks_stay_together():
    image = np.zeros((3, 20, 20), np.uint8)
    image[:, 5:15, 8:12] = 255
    frame = LabelledFrame(image, (image[:1] > 0).astype(np.uint8), [1], [1])
    for window in (Window(0, 0, 20, 20), Window(3.3, 5.9, 12.5, 12.5), Window(7.5, 0, 12.5, 12.5)):
        taken = take_window(frame, window, (50, 50))
        # Of bilinear pixels those above the middle value are inside, but for corners; 100 px would move with half a px.
        assert ((taken.image[0] > 127) ^ (taken.masks[0] > 0)).sum() <= 12


def test_mirrored_as_a_whole_and_coloured(clips):
    (frame,) = make(clips, 0, is_mirrored=True, pasted=(Pasted(0, 0, (0,), ((0, 20),)),))
    assert (frame.masks[0] == box_mask((40 - 8, 4, 6, 10), SIZE)).all()
    assert (frame.masks[3] == box_mask((40 - 28, 4, 6, 10), SIZE)).all()
    assert (frame.image[:, :, -20:] == pixels(0)[..., :20][..., ::-1]).all()
    (dark,) = make(clips, 0, colors=Colors(brightness=0.5))
    assert np.abs(dark.image.astype(int) - pixels(0) / 2).max() <= 0.5
    (partly,) = make(clips, 0, pasted=(Pasted(0, 0, (0,), ((0, 20),), colors=Colors(brightness=0.5)),))
    over = partly.masks[3] > 0
    assert (partly.image[:, ~over] == pixels(0)[:, ~over]).all()
    assert np.abs(partly.image[:, 4:14, 22:28].astype(int) - pixels(0)[:, 4:14, 2:8] / 2).max() <= 0.5
