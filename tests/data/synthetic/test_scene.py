"""Random scenes: what holds in every draw, and the arithmetic of the paths."""

import numpy as np
import pytest

from vistrials.data.synthetic import scene as scenes
from vistrials.data.synthetic.scene import HEIGHT, WIDTH, sample_occlusion_scene, sample_scene
from vistrials.data.synthetic.shapes import CATEGORY_NAMES

GREY = [np.full((2, 3), 90.0)] * 3


def test_walls_reflect() -> None:
    values = np.array([2.0, 10, 11, 19, 21, -1, -12])
    assert scenes._fold(values, 0, 10).tolist() == [2, 10, 9, 1, 1, 1, 8]
    assert scenes._fold(np.array([3.0, 4, 9]), 4, 8).tolist() == [5, 4, 7]


def test_each_start_is_the_farthest_of_its_candidates() -> None:
    gaps = []
    for seed in range(50):
        points = scenes._sample_spread_points(np.random.default_rng(seed), 3)
        gaps += [np.hypot(*(points[a] - points[b])) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert np.mean(gaps) > 65  # measured 74; drawn without choice 56, the nearest of the candidates 32


def test_the_first_object_s_category_goes_round() -> None:
    for video in range(2 * len(CATEGORY_NAMES)):
        scene = sample_scene(np.random.default_rng(5), 6, video)
        assert video % len(CATEGORY_NAMES) in {sprite.category_index for sprite in scene.sprites}


@pytest.mark.parametrize("seed", range(10))
def test_scenes_hold_one_to_five_objects_whose_every_pose_is_given(seed: int) -> None:
    scene = sample_scene(np.random.default_rng(seed), 7, seed)
    assert 1 <= len(scene.sprites) <= 5 and len(scene.bars) <= 2
    for sprite in scene.sprites:
        assert sprite.centre.shape == (7, 2) and len(sprite.radius) == len(sprite.angle) == 7
        assert (sprite.radius >= 7).all() and (sprite.radius <= 28).all()
    assert scene.camera.shape == (7, 4) and len(scene.exposure) == 7
    hidden, hero = sample_occlusion_scene(np.random.default_rng(seed), 20, seed)
    assert hidden.sprites[hero].category_index == seed % len(CATEGORY_NAMES)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("gap", [5, 7])
def test_a_bar_is_as_wide_as_the_object_and_its_way_in_the_hidden_frames(seed: int, gap: int) -> None:
    frames = np.arange(21.0) - 10
    hero, bar = scenes._behind_bar(np.random.default_rng(seed), 0, GREY, GREY[0], frames, gap)
    # Where the object is across the bar, from the bar's middle line: 0 in the middle frame, then steady.
    across = (hero.centre - [WIDTH / 2, HEIGHT / 2]) @ bar.normal - bar.offset
    speed = across[11]
    assert across == pytest.approx(frames * speed, abs=1e-9) and 2 <= speed <= 3.4
    assert bar.half_width == pytest.approx(1.05 * hero.radius.mean() + speed * gap / 2)


@pytest.mark.parametrize("seed", range(10))
def test_an_object_leaves_and_returns_after_the_gap(seed: int) -> None:
    frames, gap = np.arange(21.0) - 10, 6
    hero = scenes._out_of_frame(np.random.default_rng(seed), 0, GREY[0], frames, gap)
    inside = np.minimum(hero.centre, [WIDTH, HEIGHT] - hero.centre).min(axis=1)  # distance to the nearest side
    # 1.05 radii outside at |frame| = 3, where the hidden time begins and ends; farther in between.
    radius = np.median(hero.radius)
    assert inside[[7, 13]] == pytest.approx([-1.05 * radius] * 2, rel=0.15)
    assert (inside[8:13] < inside[7]).all() and (inside[[4, 16]] > inside[7]).all()
