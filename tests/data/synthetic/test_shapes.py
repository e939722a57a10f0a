import itertools

import numpy as np
import pytest

from vistrials.data.synthetic.shapes import OUTLINES, polygon_distance

SIDE = 0.85  # half the side of the square


@pytest.mark.parametrize(
    ("name", "point", "distance"),
    [
        ("disc", (0, 0), -0.95),
        ("disc", (3, 4), 5 - 0.95),
        ("ring", (0, 0), 0.5),
        ("ring", (0.75, 0), -0.25),
        ("ring", (0, -3), 2.0),
        ("square", (0, 0), -SIDE),
        ("square", (SIDE + 1, 0), 1.0),
        ("square", (SIDE + 3, SIDE + 4), 5.0),
        ("cross", (0, 0), -np.hypot(0.34, 0.34)),
        ("cross", (0.34 + 0.2, 0.34 + 0.5), 0.2),
        ("crescent", (0.75, 0), 0.9),
    ],
)
def test_distances_known_by_hand(name, point, distance):
    x, y = np.array([point[0]], float), np.array([point[1]], float)
    assert OUTLINES[name](x, y)[0] == pytest.approx(distance)


def test_polygon_distance_of_a_notched_outline():
    # A 4 x 2 box with its upper right quarter cut away.
    corners = np.array([(0, 0), (2, 0), (2, 1), (4, 1), (4, 2), (0, 2)], float)
    x = np.array([3.0, 3.0, 1.0, -3.0])
    y = np.array([0.5, 1.5, 0.75, -4.0])
    assert polygon_distance(corners, x, y) == pytest.approx([0.5, -0.5, -0.75, 5.0])


def test_outlines_stay_apart_under_every_rotation():
    """Masks of equal area and centre overlap by less than 0.85 IoU however one of them is turned."""
    y, x = (np.mgrid[:80, :80] + 0.5) / 80 * 3.2 - 1.6

    def turned(name: str, angle: float) -> np.ndarray:
        mask = OUTLINES[name](x, y) < 0
        scale = np.sqrt(mask.mean() * 3.2**2 / 2.2)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return OUTLINES[name](cos * x + sin * y + x[mask].mean(), cos * y - sin * x + y[mask].mean()) < 0

    for one, other in itertools.combinations(OUTLINES, 2):
        still = turned(one, 0)
        for angle in np.linspace(0, 2 * np.pi, 36, endpoint=False):
            moving = turned(other, angle)
            assert (still & moving).sum() < 0.85 * (still | moving).sum(), (one, other)
