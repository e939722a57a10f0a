"""Hand-made scenes: flat colours, no noise, so that every pixel is known."""

import numpy as np
import pytest

from vistrials.data.synthetic.render import render_frame, render_masks
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


def _sprite(name: str, colour: tuple[int, int, int], centre: tuple[float, float], radius: float) -> Sprite:
    return Sprite(
        CATEGORY_NAMES.index(name),
        _flat(colour),
        centre=np.array([centre]),
        radius=np.array([radius]),
        angle=np.zeros(1),
        stretch=np.ones(1),
        bend=np.zeros(1),
    )


def _scene(*sprites: Sprite, bars: tuple[Bar, ...] = ()) -> Scene:
    canvas = np.full((CANVAS_HEIGHT, CANVAS_WIDTH, 3), GREY, np.uint8)
    return Scene(canvas, np.array([[0.0, 0.0, 1.0, 0.0]]), sprites, bars, 0.0, 0.0, np.ones(1))


def _render(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return render_frame(scene, 0, np.random.default_rng(0))


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
    assert masks[0][:, 64:75].any() and masks[0][:, 86:97].any()
    assert (image[:, 76:85] == GREEN).all()


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


def test_the_smear_of_the_shutter_leaves_the_masks_alone():
    scene = sample_scene(np.random.default_rng(4), 6, 0)
    sharp = Scene(**{**vars(scene), "shutter": 0.0, "noise": 0.0})
    smeared = Scene(**{**vars(scene), "shutter": 0.9, "noise": 0.0})
    (image, masks), (blurred, same) = (render_frame(s, 3, np.random.default_rng(0)) for s in (sharp, smeared))
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
