"""The eight outlines of the synthetic categories, as signed distances.

Every outline lives in its own unit frame: centred near the origin, about as large as the disc of radius 1.
"""

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def disc_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to a disc of radius 0.95.

    Args:
        x, y: coordinates in the unit frame, any equal shape.
    Returns:
        Signed distance of the same shape, negative inside.
    """
    return np.hypot(x, y) - 0.95


def ring_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to a ring between the radii 0.5 and 1; arguments as for `disc_distance`."""
    return np.abs(np.hypot(x, y) - 0.75) - 0.25


def crescent_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to a disc with a bite out of its right side; arguments as for `disc_distance`."""
    body = np.hypot(x - 0.15, y) - 1.0
    bite = np.hypot(x - 0.75, y) - 0.9
    return np.maximum(body, -bite)


def polygon_distance(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance to a simple polygon.

    Args:
        corners: [N, 2] corners (x, y) in order.
        x, y: coordinates, any equal shape.
    Returns:
        Signed distance of the shape of x, negative inside (even-odd rule).
    """
    nearest = np.full(x.shape, np.inf, x.dtype)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True):
        edge_x, edge_y = bx - ax, by - ay
        from_x, from_y = x - ax, y - ay
        along = (from_x * edge_x + from_y * edge_y) / (edge_x**2 + edge_y**2)
        np.clip(along, 0, 1, out=along)
        np.minimum(nearest, (from_x - along * edge_x) ** 2 + (from_y - along * edge_y) ** 2, out=nearest)
        if edge_y != 0:
            crosses = (y >= ay) != (y >= by)
            inside ^= crosses & (from_x < from_y * (edge_x / edge_y))
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance)


def _polygon(corners: list[tuple[float, float]]) -> Distance:
    points = np.array(corners)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return polygon_distance(points, x, y)

    return distance


def _on_circle(radii: list[float], count: int) -> list[tuple[float, float]]:
    turns = np.arange(count) / count * 2 * np.pi
    return [(radii[i % len(radii)] * np.sin(a), -radii[i % len(radii)] * np.cos(a)) for i, a in enumerate(turns)]


_ARM = 0.34  # half the thickness of the cross' arms

OUTLINES: dict[str, Distance] = {
    "disc": disc_distance,
    "square": _polygon([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
    "triangle": _polygon(_on_circle([1.2], 3)),
    "star": _polygon(_on_circle([1.2, 0.5], 10)),
    "cross": _polygon(
        [
            *[(-_ARM, -1.1), (_ARM, -1.1), (_ARM, -_ARM)],
            *[(1.1, -_ARM), (1.1, _ARM), (_ARM, _ARM)],
            *[(_ARM, 1.1), (-_ARM, 1.1), (-_ARM, _ARM)],
            *[(-1.1, _ARM), (-1.1, -_ARM), (-_ARM, -_ARM)],
        ]
    ),
    "ring": ring_distance,
    "crescent": crescent_distance,
    "hourglass": _polygon([(-0.9, -1.0), (0.9, -1.0), (0.22, 0.0), (0.9, 1.0), (-0.9, 1.0), (-0.22, 0.0)]),
}
CATEGORY_NAMES = tuple(OUTLINES)
