"""Hand-made scenes: flat colours, no noise, so that every pixel is known."""

from dataclasses import replace

import numpy as np
import pytest

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
