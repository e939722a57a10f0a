"""What is drawn for a pseudo video before any pixel is touched: times, camera, colours, and what is pasted where."""

from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from vistrials.data.pseudo.clips import Clips, find_sight

SPEED = (0.5, 2.0)
"""Least and greatest speed, of a video and of what is pasted, in frames per frame; backwards as often as forwards."""

ZOOM = (1.0, 1.6)
"""How much smaller than the frame the camera's window is, at its beginning and at its end."""

NUM_PASTED = (1, 3)
SCALE = (0.7, 1.4)
"""Size of what is pasted, against what it had as a part of its frame's height."""

COLOR = 0.25
"""Brightness, contrast and saturation of a video, and of each thing pasted, change by factors within 1 ± this."""

_ON_AN_OBJECT = 0.75
_GROUND = (-0.05, 0.15)
_DRIFT = (0.05, 0.6)


class Window(NamedTuple):
    """A part of a frame that becomes the whole, in pixels of the frame; the first pixel reaches from 0 to 1."""

    top: float
    left: float
    height: float
    width: float


class Colors(NamedTuple):
    """Factors of brightness, contrast and saturation."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0


@dataclass(frozen=True, slots=True)
class Pasted:
    """A track over another video.

    Attributes:
        video, track: where it comes from, as in `Clips.donors`.
        times: its frame for every frame of the pseudo video; out of sight there, nothing is pasted.
        shifts: rows and columns from its place in its own, resized frame to that in the other.
        factor: by which its frame is resized.
        is_mirrored: whether its frame is mirrored left to right.
        colors: changes to it alone.
    """

    video: int
    track: int
    times: tuple[int, ...]
    shifts: tuple[tuple[int, int], ...]
    factor: float = 1.0
    is_mirrored: bool = False
    colors: Colors = Colors()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pseudo video.

    Attributes:
        video: the one below, an index of `Clips.videos`.
        times: its frame for every frame of the pseudo video.
        windows: what the camera shows of it, frame by frame; pasted tracks move with it.
        size: height and width of the pseudo video in pixels.
        is_mirrored: left to right, as a whole.
        colors: changes to the whole.
        pasted: in this order, each over those before.
    """

    video: int
    times: tuple[int, ...]
    windows: tuple[Window, ...]
    size: tuple[int, int]
    is_mirrored: bool = False
    colors: Colors = Colors()
    pasted: tuple[Pasted, ...] = ()


def draw_recipe(clips: Clips, num_frames: int, size: tuple[int, int] | None, rng: Generator) -> Recipe:
    """Draw a pseudo video; the longer a video, the more often it is the one below.

    Args:
        clips: what there is.
        num_frames: of the pseudo video.
        size: height and width in pixels; None for those of the video below.
        rng: every choice.
    """
    lengths = np.array([len(video) for _, video in clips.videos])
    base = int(rng.choice(len(lengths), p=lengths / lengths.sum()))
    video = clips.videos[base][1]
    size = size or (video.height, video.width)
    times = draw_times(0, len(video) - 1, num_frames, rng)
    windows = draw_windows((video.height, video.width), size, num_frames, rng)
    number = int(rng.integers(NUM_PASTED[0], NUM_PASTED[1] + 1))
    pasted = tuple(_draw_pasted(clips, base, times, rng) for _ in range(number))
    return Recipe(base, times, windows, size, bool(rng.random() < 0.5), _draw_colors(rng), pasted)


def draw_times(first: int, last: int, num_frames: int, rng: Generator) -> tuple[int, ...]:
    """Frames to show: from a random one on, at a random speed, backwards half of the time.

    At the first and at the last frame the direction turns, so that short videos serve as well.
    """
    speed = exp(rng.uniform(log(SPEED[0]), log(SPEED[1]))) * (1 if rng.random() < 0.5 else -1)
    begin = rng.uniform(0, last - first)
    return fold_times(begin + speed * np.arange(num_frames), first, last)


def fold_times(positions: np.ndarray, first: int, last: int) -> tuple[int, ...]:
    """Positions after the first frame, [T], reflected at both ends and rounded: 0 1 2 1 0 1 of three frames."""
    length = last - first
    if length == 0:
        return (first,) * len(positions)
    folded = length - np.abs(positions % (2 * length) - length)
    return tuple(int(first + position) for position in np.floor(folded + 0.5))


def draw_windows(frame: tuple[int, int], size: tuple[int, int], num_frames: int, rng: Generator) -> tuple[Window, ...]:
    """A camera that pans and zooms from one random window to another, slowly at both ends.

    Args:
        frame: height and width of the frames that it looks at.
        size: of the pictures that it takes; windows have its ratio.
    """
    scale = min(frame[0] / size[0], frame[1] / size[1])
    largest = size[0] * scale, size[1] * scale
    ends = []
    for _ in range(2):
        zoom = rng.uniform(*ZOOM)
        height, width = largest[0] / zoom, largest[1] / zoom
        ends.append((rng.uniform(0, frame[0] - height), rng.uniform(0, frame[1] - width), height, width))
    place = np.linspace(0, 1, num_frames)
    eased = place * place * (3 - 2 * place)
    begin, end = np.array(ends)
    return tuple(Window(*map(float, begin + part * (end - begin))) for part in eased)


def _draw_pasted(clips: Clips, base: int, times: tuple[int, ...], rng: Generator) -> Pasted:
    """Any track, so placed that it is near an object of the video below at one moment, and drifts by."""
    donor, index = clips.donors[int(rng.integers(len(clips.donors)))]
    below, video = clips.videos[base][1], clips.videos[donor][1]
    track = video.tracks[index]
    own_times = draw_times(*find_sight(track), len(times), rng)
    factor = exp(rng.uniform(log(SCALE[0]), log(SCALE[1]))) * below.height / video.height
    is_mirrored = bool(rng.random() < 0.5)

    moment = int(rng.integers(len(times)))
    box = track.bboxes[own_times[moment]] or track.bboxes[find_sight(track).first]
    assert box is not None  # of a frame in which it is in sight
    x = video.width - box[0] - box[2] if is_mirrored else box[0]
    own = factor * (box[1] + box[3]), factor * (x + box[2] / 2)
    boxes = [other.bboxes[times[moment]] for other in below.tracks if other.areas[times[moment]]]
    if boxes and rng.random() < _ON_AN_OBJECT:
        # Feet about where the other's are, since most objects keep to the ground.
        other = boxes[int(rng.integers(len(boxes)))]
        assert other is not None
        wanted = other[1] + other[3] + rng.uniform(*_GROUND) * below.height, other[0] + rng.uniform(0, other[2])
    else:
        wanted = own[0], rng.uniform(0, below.width)
    drift = (
        rng.uniform(-_DRIFT[0], _DRIFT[0]) * below.height / len(times),
        rng.uniform(-_DRIFT[1], _DRIFT[1]) * below.width / len(times),
    )
    shifts = tuple(
        (
            round(wanted[0] - own[0] + (number - moment) * drift[0]),
            round(wanted[1] - own[1] + (number - moment) * drift[1]),
        )
        for number in range(len(times))
    )
    return Pasted(donor, index, own_times, shifts, factor, is_mirrored, _draw_colors(rng))


def _draw_colors(rng: Generator) -> Colors:
    return Colors(*map(float, rng.uniform(1 - COLOR, 1 + COLOR, 3)))
