import numpy as np
import pytest

from tests.data.pseudo.drawn import SIZE, one_clip
from vistrials.data.pseudo import recipes
from vistrials.data.pseudo.recipes import draw_recipe, draw_times, draw_windows, fold_times


@pytest.mark.parametrize(
    ("positions", "frames"),
    [
        ([0, 1, 2, 3, 4, 5], [10, 11, 12, 11, 10, 11]),
        ([2, 1, 0, -1, -2, -3], [12, 11, 10, 11, 12, 11]),  # backwards
        ([0.4, 0.5, 1.49], [10, 11, 11]),
        ([7, 8, 9], [11, 10, 11]),
    ],
)
def test_times_turn_at_both_ends(positions, frames):
    assert fold_times(np.array(positions), 10, 12) == tuple(frames)
    assert fold_times(np.array(positions), 5, 5) == (5,) * len(frames)


def test_times_run_at_all_speeds_in_both_directions():
    rng = np.random.default_rng(0)
    drawn = [np.array(draw_times(3, 1003, 11, rng)) for _ in range(400)]
    assert min(map(np.min, drawn)) >= 3 and max(map(np.max, drawn)) <= 1003
    steps = [np.diff(times) for times in drawn]
    speeds = [step.mean() for step in steps if (step >= 0).all() or (step <= 0).all()]  # that do not turn
    assert 0.4 < np.mean(np.array(speeds) > 0) < 0.6
    assert 0.45 < np.abs(speeds).min() < 0.6 and 1.8 < np.abs(speeds).max() < 2.05


@pytest.mark.parametrize("size", [(24, 40), (40, 40), (10, 100)])
def test_windows_lie_in_the_frame_and_have_the_pictures_ratio(size):
    rng = np.random.default_rng(0)
    for _ in range(50):
        windows = draw_windows(SIZE, size, 9, rng)
        for top, left, height, width in windows:
            assert width / height == pytest.approx(size[1] / size[0])
            assert top >= -1e-9 and top + height <= SIZE[0] + 1e-9
            assert left >= -1e-9 and left + width <= SIZE[1] + 1e-9
        # Slow at both ends, halfway in the middle.
        steps = np.abs(np.diff(np.array(windows), axis=0)).max(axis=1)
        assert steps[0] <= steps[4] and steps[-1] <= steps[4]
        assert np.array(windows[4]) == pytest.approx((np.array(windows[0]) + np.array(windows[8])) / 2)


def test_a_recipe_depends_on_its_numbers_alone(tmp_path):
    clips = one_clip(tmp_path / "a")
    one, same, other = (draw_recipe(clips, 6, None, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert one.size == SIZE and len(one.times) == len(one.windows) == 6
    assert draw_recipe(clips, 6, (30, 50), np.random.default_rng(1)).size == (30, 50)


def test_pasted_tracks_are_those_in_sight_and_drift(tmp_path):
    clips = one_clip(tmp_path / "a")
    drawn = [draw_recipe(clips, 6, None, np.random.default_rng(seed)) for seed in range(100)]
    pasted = [one for recipe in drawn for one in recipe.pasted]
    assert {len(recipe.pasted) for recipe in drawn} == {1, 2, 3}
    assert {one.track for one in pasted} == {0, 1} and {one.is_mirrored for one in pasted} == {False, True}
    assert all(recipes.SCALE[0] <= one.factor <= recipes.SCALE[1] for one in pasted)
    shifts = np.array([one.shifts for one in pasted])
    assert (np.abs(np.diff(shifts, axis=1)).max(axis=(0, 1)) <= np.array([1, 5])).all()
    assert np.abs(shifts[:, -1, 1] - shifts[:, 0, 1]).max() > 10
