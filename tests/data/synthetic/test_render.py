"""Hand-made scenes: flat colours, no noise, so that every pixel is known."""

from dataclasses import replace

import numpy as np
import pytest

from vistrials.data.synthetic.disturbance import Disturbance, sample_disturbance
from vistrials.data.synthetic.render import render_frame
from vistrials.data.synthetic.render import render_masks as render_both
from vistrials.data.synthetic.scene import Bar, Scene, Sprite, sample_scene
from vistrials.data.synthetic.shapes import CATEGORY_NAMES
from vistrials.data.synthetic.surfaces import (
    BACKDROP_CONTRAST,
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    Texture,
    colour_distance,
    sample_object_colours,
)

HALF_33_PX = 16.5 / 0.85  # radius of the square whose sides cover 33 pixels: centre - 16 to centre + 16
GREY, RED, BLUE, GREEN = (90, 90, 90), (200, 20, 20), (20, 20, 200), (20, 200, 20)


def _flat(colour: tuple[int, int, int]) -> Texture:
    return Texture(np.array([colour, colour]), np.zeros((1, 2)), np.zeros(1), 1.0)


def _sprite(
    name: str,
    colour: tuple[int, int, int],
    centre: tuple[float, float],
    radius: float,
    angle: float = 0.0,
    stretch: float = 1.0,
    bend: float = 0.0,
) -> Sprite:
    return Sprite(
        CATEGORY_NAMES.index(name),
        _flat(colour),
        centre=np.array([centre]),
        radius=np.array([radius]),
        angle=np.array([angle]),
        stretch=np.array([stretch]),
        bend=np.array([bend]),
    )


def _scene(*sprites: Sprite, bars: tuple[Bar, ...] = ()) -> Scene:
    canvas = np.full((CANVAS_HEIGHT, CANVAS_WIDTH, 3), GREY, np.uint8)
    return Scene(canvas, np.array([[0.0, 0.0, 1.0, 0.0]]), sprites, bars, 0.0, 0.0, np.ones(1))


def render_masks(scene: Scene, frame: int) -> np.ndarray:
    """The visible masks."""
    return render_both(scene, frame)[0]


def _render(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return render_frame(scene, 0, np.random.default_rng(0))[:2]


def test_a_square_fills_its_pixels():
    image, masks = _render(_scene(_sprite("square", RED, (80, 48), HALF_33_PX)))
    expected = np.zeros((96, 160), bool)
    expected[32:65, 64:97] = True
    assert (masks[0] == expected).all()
    assert (image[masks[0]] == RED).all()
    assert (image[~masks[0]] == GREY).all()


def test_a_disc_has_the_area_of_a_disc():
    _, masks = _render(_scene(_sprite("disc", RED, (80.3, 47.8), 20)))
    assert masks[0].sum() == pytest.approx(np.pi * (0.95 * 20) ** 2, rel=0.01)


def test_a_sprite_turns_clockwise_and_keeps_its_form():
    # The triangle points up; turned by a quarter its tip is at the right, 1.2 of the radius from the centre.
    (mask,) = render_masks(_scene(_sprite("triangle", RED, (80, 48), 20, angle=np.pi / 2)), 0)
    columns = np.flatnonzero(mask.any(0))
    assert columns[-1] == 80 + 24 - 1 and columns[0] == 80 - 12 + 1  # 1.2 and half of it
    # A square on its tip is as wide as its diagonal.
    (mask,) = render_masks(_scene(_sprite("square", RED, (80, 48), 20, angle=np.pi / 4)), 0)
    assert np.flatnonzero(mask.any(0))[[0, -1]] == pytest.approx([80 - 17 * 2**0.5, 80 + 17 * 2**0.5], abs=1)
    assert mask.sum() == 2 * 24 * 25 + 1  # the pixels up to 24 steps from the middle one; 17 * 2**0.5 = 24.04


def test_a_stretch_is_the_ratio_of_the_sides_and_keeps_the_area():
    # Half a side 0.85 * 20 = 17: stretched by 1.44 = 1.2² it is 17 * 1.2 = 20.4 across, 17 / 1.2 = 14.2 up and down.
    (mask,) = render_masks(_scene(_sprite("square", RED, (80, 48), 20, stretch=1.44)), 0)
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    assert columns[[0, -1]].tolist() == [80 - 20, 80 + 20] and rows[[0, -1]].tolist() == [48 - 14, 48 + 14]


def test_a_bend_moves_top_and_bottom_to_the_right():
    # At height y, in radii, by bend * (y² - 0.4): the ends of the square by 0.5 * (0.85² - 0.4) * 20 = 3, the middle
    # by -0.5 * 0.4 * 20 = -4.
    (mask,) = render_masks(_scene(_sprite("square", RED, (80, 48), 20, bend=0.5)), 0)
    ends = [np.flatnonzero(mask[row])[[0, -1]].mean() for row in (48 - 16, 48, 48 + 16)]
    assert ends == pytest.approx([83, 76, 83], abs=1)


def test_exposure_multiplies_and_grey_levels_are_rounded():
    scene = _scene()
    image, _ = _render(replace(scene, exposure=np.array([0.5])))
    assert (image == 45).all()
    image, _ = _render(replace(scene, exposure=np.array([0.73])))
    assert (image == 66).all()  # 65.7


def test_the_sprite_in_front_takes_the_pixels():
    back, front = _sprite("square", RED, (70, 48), HALF_33_PX), _sprite("square", BLUE, (85, 48), HALF_33_PX)
    image, masks = _render(_scene(back, front))
    alone = render_masks(_scene(back), 0)[0]
    assert (masks[1] == render_masks(_scene(front), 0)[0]).all()
    assert (masks[0] == alone & ~masks[1]).all() and 0 < masks[0].sum() < alone.sum()
    assert (image[masks[1]] == BLUE).all()


def test_a_bar_hides_all_sprites():
    bar = Bar(_flat(GREEN), np.array([1.0, 0.0]), np.array([0.5]), 5.0)  # columns 75..85 around x = 80
    image, masks = _render(_scene(_sprite("square", RED, (80, 48), HALF_33_PX), bars=(bar,)))
    assert not masks[0][:, 76:85].any()
    # Columns 75 and 85 are half covered, which hides nothing.
    assert masks[0][32:65, 64:76].all() and masks[0][32:65, 85:97].all()
    assert (image[:, 76:85] == GREEN).all()
    assert (image[:32, 75] == (55, 145, 55)).all()  # half of it grey


@pytest.mark.parametrize("centre", [(-60, 48), (230, 48), (80, -60), (80, 170), (-60, 170)])
def test_outside_the_frame_is_absent(centre):
    image, masks = _render(_scene(_sprite("disc", RED, centre, 20)))
    assert not masks.any() and (image == GREY).all()


def test_a_sliver_counts_as_absent_but_still_hides():
    # Of 33 columns one is in view: 33 of 33 * 33 pixels, below the least visible fraction.
    sliver = _sprite("square", RED, (-16, 48), HALF_33_PX)
    back = _sprite("square", BLUE, (2, 48), HALF_33_PX)
    image, masks = _render(_scene(back, sliver))
    assert not masks[1].any()
    assert not masks[0][32:65, 0].any() and masks[0][32:65, 1].all()
    assert (image[33:64, 0] == RED).all()


def test_the_camera_pans_the_backdrop():
    scene = _scene()
    scene.canvas[:, CANVAS_WIDTH // 2 :] = BLUE  # the middle column of an unpanned frame
    scene.camera[0, 0] = 30
    image, _ = _render(scene)
    assert (image[:, :49] == GREY).all() and (image[:, 51:] == BLUE).all()


def test_the_camera_zooms_in_and_rolls():
    scene = _scene()
    scene.canvas[:, CANVAS_WIDTH // 2 + 20 :] = BLUE  # 20 pixels right of the middle
    scene.camera[0, 2] = 2
    image, _ = _render(scene)
    assert (image[:, : 80 + 39] == GREY).all() and (image[:, 80 + 41 :] == BLUE).all()
    # Turned by a quarter, clockwise, what was right of the middle is below.
    scene.camera[0, 2:] = 1, np.pi / 2
    image, _ = _render(scene)
    assert (image[: 48 + 19] == GREY).all() and (image[48 + 21 :] == BLUE).all()
    # And what was below is at the left.
    scene.canvas[:] = GREY
    scene.canvas[CANVAS_HEIGHT // 2 + 20 :] = BLUE
    image, _ = _render(scene)
    assert (image[:, : 80 - 21] == BLUE).all() and (image[:, 80 - 19 :] == GREY).all()


def test_the_smear_of_the_shutter_leaves_the_masks_alone():
    scene = sample_scene(np.random.default_rng(4), 6, 0)
    sharp = Scene(**{**vars(scene), "shutter": 0.0, "noise": 0.0})
    smeared = Scene(**{**vars(scene), "shutter": 0.9, "noise": 0.0})
    (image, masks), (blurred, same) = (render_frame(s, 3, np.random.default_rng(0))[:2] for s in (sharp, smeared))
    assert (masks == same).all() and masks.any()
    assert (image != blurred).any()
    assert (render_masks(scene, 3) == masks).all()


def test_objects_stand_out_from_the_backdrop():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        first = rng.uniform(25, 230, 3)
        backdrop = np.stack([first, np.clip(first + rng.uniform(-45, 45, 3), 10, 245)])
        for pair in sample_object_colours(rng, 5, backdrop):
            assert colour_distance(pair[:, None], backdrop[None]).min() > 0.95 * BACKDROP_CONTRAST


def test_colour_distance_of_black_and_white():
    assert colour_distance(np.zeros(3), np.full(3, 255)) == pytest.approx(255)


def test_behind_a_bar_a_disc_is_whole_in_its_amodal_mask_alone():
    bar = Bar(_flat(BLUE), np.array([1.0, 0.0]), np.array([0.5]), 4.0)  # columns 77 to 83
    disc, small = _sprite("disc", RED, (80, 48), 20), _sprite("disc", GREEN, (80, 20), 4)
    free_visible, free_whole = render_both(_scene(disc, small), 0)
    visible, whole = render_both(_scene(disc, small, bars=(bar,)), 0)
    assert (free_visible == free_whole).all() and (whole == free_whole).all()
    hidden = whole[0] & ~visible[0]
    assert hidden.any() and (visible[0] <= whole[0]).all()
    assert set(np.flatnonzero(hidden.any(axis=0))) == set(range(77, 84))
    assert whole[1].any() and not visible[1].any()  # what is hidden from sight still has its amodal mask


def test_of_two_objects_the_one_behind_keeps_its_whole_amodal_mask():
    behind, front = _sprite("disc", RED, (70, 48), 20), _sprite("disc", BLUE, (85, 48), 20)
    visible, whole = render_both(_scene(behind, front), 0)
    alone, _ = render_both(_scene(behind), 0)
    assert (whole[0] == alone[0]).all() and (visible[0] == (alone[0] & ~whole[1])).all()
    assert (visible[1] == whole[1]).all()


def _disturbed(scene: Scene, opacity: float = 1.0, camouflage: float = 0.0, blur_px: float = 0.0) -> np.ndarray:
    shape = (1, len(scene.sprites))
    disturbance = Disturbance(np.full(shape, opacity), np.full(shape, camouflage), np.full(1, blur_px))
    return render_frame(replace(scene, disturbance=disturbance), 0, np.random.default_rng(0)).image.astype(int)


def test_disturbances_change_what_is_seen_and_no_mask():
    scene = _scene(_sprite("square", RED, (80, 48), HALF_33_PX))
    plain, masks = _render(scene)
    assert (_disturbed(scene) == plain).all()
    pale = _disturbed(scene, opacity=0.25)[48, 80]
    assert pale.tolist() == pytest.approx([g + 0.25 * (r - g) for r, g in zip(RED, GREY, strict=True)], abs=1)
    assert (_disturbed(scene, camouflage=1.0) == GREY).all()
    blurred = _disturbed(scene, blur_px=4.0)
    assert GREY[0] < blurred[48, 97, 0] < RED[0] and blurred[48, 63, 0] > GREY[0] + 5  # it runs over its edges
    faded = replace(scene, disturbance=Disturbance(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1)))
    assert (render_masks(faded, 0) == masks).all()


@pytest.mark.parametrize("num_frames", [11, 20])
def test_disturbances_leave_clear_frames_before_and_after(num_frames: int):
    kinds = set()
    for seed in range(60):
        made = sample_disturbance(np.random.default_rng(seed), num_frames, 2)
        disturbed = (made.opacity < 1) | (made.camouflage > 0) | (made.blur_px > 0)[:, None]
        assert disturbed.any() and not disturbed[:2].any() and not disturbed[-2:].any()
        kinds.add((bool((made.opacity < 1).any()), bool((made.camouflage > 0).any()), bool((made.blur_px > 0).any())))
    assert kinds == {(True, False, False), (False, True, False), (False, False, True)}
