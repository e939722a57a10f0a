"""Colours and surfaces of the synthetic scenes: what stands out from what, and how it is patterned."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

CANVAS_WIDTH, CANVAS_HEIGHT = 304, 224  # the frame plus room for pan, zoom and roll of the camera

# Distances between colours, weighted RGB on 0..255: from the backdrop, and from other objects and bars.
BACKDROP_CONTRAST = 75.0
OBJECT_CONTRAST = 45.0
BAR_CONTRAST = 40.0


@dataclass(frozen=True)
class Texture:
    """Two colours mixed by a sum of plane waves: flat waves give gradients, sharp ones stripes and checks."""

    colours: np.ndarray  # [2, 3] RGB 0..255
    waves: np.ndarray  # [K, 2] radians per unit
    phases: np.ndarray  # [K]
    sharpness: float


def colour_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Weighted RGB distance of colours 0..255 over the last axis, 0 (equal) to 255 (black and white)."""
    return np.sqrt(((np.asarray(a, float) - np.asarray(b, float)) ** 2 * (0.3, 0.5, 0.2)).sum(-1))


def _sample_colour(rng: np.random.Generator, keep_away: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Draws a colour at the given distances from others, or the best of 60 where none keeps them all."""
    candidates = rng.uniform(15, 240, (60, 3))
    slack = np.full(60, np.inf)
    for colour, distance in keep_away:
        slack = np.minimum(slack, colour_distance(candidates, colour) - distance)
    good = np.flatnonzero(slack >= 0)
    return candidates[good[0] if len(good) else int(slack.argmax())]


def sample_object_colours(rng: np.random.Generator, count: int, backdrop: np.ndarray) -> list[np.ndarray]:
    """Draws [2, 3] colour pairs that stand out from the backdrop and from one another."""
    away: list[tuple[np.ndarray, float]] = [(colour, BACKDROP_CONTRAST) for colour in backdrop]
    pairs = []
    for _ in range(count):
        first = _sample_colour(rng, away)
        tints = np.clip(first + rng.uniform(-60, 60, (12, 3)), 5, 250)
        contrast = colour_distance(tints[:, None], backdrop[None]).min(1)
        good = np.flatnonzero(contrast >= BACKDROP_CONTRAST)
        pairs.append(np.stack([first, tints[good[0] if len(good) else int(contrast.argmax())]]))
        away.append((first, OBJECT_CONTRAST))
    return pairs


def sample_texture(rng: np.random.Generator, colours: np.ndarray, wavelength: tuple[float, float]) -> Texture:
    """Draws a pattern of one to four waves with lengths in the given range."""
    num_waves = int(rng.integers(1, 5))
    turn = rng.uniform(0, 2 * np.pi, num_waves)
    low, high = np.log(wavelength).tolist()
    pace = 2 * np.pi / np.exp(rng.uniform(low, high, num_waves))
    waves = np.stack([np.cos(turn), np.sin(turn)], 1) * pace[:, None]
    return Texture(colours, waves, rng.uniform(0, 2 * np.pi, num_waves), float(rng.choice([0.7, 1.5, 6.0])))


def texture_mix(texture: Texture, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of the second colour at points (x, y) in the texture's units: floats 0..1 of the shape of x."""
    total = np.zeros(x.shape, np.float32)
    for (wave_x, wave_y), phase in zip(texture.waves.tolist(), texture.phases.tolist(), strict=True):
        total += np.sin(wave_x * x + wave_y * y + phase)
    return 0.5 + 0.5 * np.tanh(texture.sharpness / len(texture.phases) ** 0.5 * total)


def sample_backdrop(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws a backdrop of fractal noise, waves and straight edges.

    Returns:
        Its two main colours [2, 3], and the canvas [CANVAS_HEIGHT, CANVAS_WIDTH, 3] uint8.
    """
    first = rng.uniform(25, 230, 3)
    colours = np.stack([first, np.clip(first + rng.uniform(-45, 45, 3), 10, 245)])
    mix = 0.5 + 0.9 * _fractal_noise(rng)
    light = 40 * _fractal_noise(rng)
    y, x = np.mgrid[:CANVAS_HEIGHT, :CANVAS_WIDTH].astype(np.float32)
    if rng.random() < 0.5:
        waves = sample_texture(rng, colours, (12.0, 70.0))
        mix = 0.6 * mix + 0.4 * texture_mix(waves, x, y)
    for _ in range(int(rng.integers(0, 5))):  # straight edges, so that an edge alone does not mean an object
        turn = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(-0.5, 0.5) * CANVAS_WIDTH
        side = (x - CANVAS_WIDTH / 2) * np.cos(turn) + (y - CANVAS_HEIGHT / 2) * np.sin(turn) > reach
        light += side * rng.uniform(-22, 22)
    mix = np.clip(mix, 0, 1)[..., None]
    canvas = colours[0] * (1 - mix) + colours[1] * mix + np.clip(light, -35, 35)[..., None]
    return colours, np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def _fractal_noise(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise over the canvas, about -1..1."""
    total = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH), np.float32)
    roughness = rng.uniform(0.45, 0.8)
    for octave in range(5):
        shape = (4 * 2**octave, 5 * 2**octave)
        grid = Image.fromarray(rng.uniform(-1, 1, shape).astype(np.float32))
        total += roughness**octave * np.asarray(grid.resize((CANVAS_WIDTH, CANVAS_HEIGHT), Image.Resampling.BICUBIC))
    return total * (1 - roughness) / (1 - roughness**5) * 1.6


def sample_bar_texture(rng: np.random.Generator, objects: list[np.ndarray], backdrop: np.ndarray) -> Texture:
    """Draws the surface of a bar, away from the colours of the objects and of the backdrop."""
    away = [(pair[0], OBJECT_CONTRAST) for pair in objects] + [(colour, BAR_CONTRAST) for colour in backdrop]
    first = _sample_colour(rng, away)
    colours = np.stack([first, np.clip(first + rng.uniform(-25, 25, 3), 5, 250)])
    return sample_texture(rng, colours, (6.0, 60.0))
