"""Random scenes of the synthetic data: what is in a video and how it moves, before any pixel is drawn."""

from dataclasses import dataclass, replace

import numpy as np

from vistrials.data.synthetic.disturbance import Disturbance, sample_disturbance
from vistrials.data.synthetic.shapes import CATEGORY_NAMES
from vistrials.data.synthetic.surfaces import (
    Texture,
    sample_backdrop,
    sample_bar_texture,
    sample_object_colours,
    sample_texture,
)

WIDTH, HEIGHT = 160, 96
RADIUS_RANGE_PX = (8.0, 21.0)
MAX_PAN_PX = 36.0
MIN_RETURN_FRAMES = 12  # shorter videos leave no time to go and come back


@dataclass(frozen=True)
class Sprite:
    """One object: its outline, its surface and its pose in each of T frames."""

    category_index: int  # position in CATEGORY_NAMES
    texture: Texture
    centre: np.ndarray  # [T, 2] px, (x, y) in the frame
    radius: np.ndarray  # [T] px
    angle: np.ndarray  # [T] radians
    stretch: np.ndarray  # [T] ratio of the two axes, 1 = none
    bend: np.ndarray  # [T] sideways shift of the outline at unit height, in radii


@dataclass(frozen=True)
class Bar:
    """A foreground strip that crosses the whole frame and hides what is behind it."""

    texture: Texture
    normal: np.ndarray  # [2] unit vector across the strip
    offset: np.ndarray  # [T] px, distance of the middle line from the frame's centre along the normal
    half_width: float  # px


@dataclass(frozen=True)
class Scene:
    """Everything that is in one video of T frames."""

    canvas: np.ndarray  # [CANVAS_HEIGHT, CANVAS_WIDTH, 3] uint8 backdrop
    camera: np.ndarray  # [T, 4]: pan x, pan y (px), zoom, roll (radians)
    sprites: tuple[Sprite, ...]  # back to front
    bars: tuple[Bar, ...]  # in front of all sprites
    shutter: float  # fraction of the frame interval over which moving things smear
    noise: float  # standard deviation in grey levels
    exposure: np.ndarray  # [T] brightness factor
    disturbance: Disturbance | None = None


def sample_scene(rng: np.random.Generator, num_frames: int, video_index: int) -> Scene:
    """Draws an ordinary scene: one to five objects, sometimes twins, sometimes bars in front.

    Args:
        rng: the generator of this video.
        num_frames: T.
        video_index: the first object's category goes round with it, so that every category occurs.
    """
    backdrop, canvas = sample_backdrop(rng)
    camera = _sample_camera(rng, num_frames)
    num_objects = int(rng.choice([1, 2, 3, 4, 5], p=[0.12, 0.28, 0.28, 0.20, 0.12]))
    categories = _sample_categories(rng, num_objects, video_index)
    colours = sample_object_colours(rng, num_objects, backdrop)
    start = _sample_spread_points(rng, num_objects)
    order = rng.permutation(num_objects)
    sprites = tuple(
        _sample_sprite(rng, categories[i], colours[i], _sample_path(rng, start[i], num_frames, i == 0)) for i in order
    )
    num_bars = int(rng.choice([0, 1, 2], p=[0.62, 0.26, 0.12]))
    bars = tuple(_sample_bar(rng, camera, colours, backdrop) for _ in range(num_bars))
    return Scene(canvas, camera, sprites, bars, *_sample_imaging(rng, num_frames))


def sample_occlusion_scene(rng: np.random.Generator, num_frames: int, video_index: int) -> tuple[Scene, int]:
    """Draws a scene in which one object goes behind a bar, another object or the frame's edge, and returns.

    Args:
        rng, num_frames, video_index: as for `sample_scene`.
    Returns:
        The scene and that object's position among its sprites. Whether the object is really hidden for a
        while depends on the others and on the outline: the caller looks at the masks and draws again if not.
    """
    backdrop, canvas = sample_backdrop(rng)
    camera = _sample_camera(rng, num_frames)
    kind = ("bar", "object", "exit")[int(rng.choice(3, p=[0.45, 0.30, 0.25]))]
    num_others = int(rng.choice([0, 1, 2], p=[0.15, 0.5, 0.35]))
    num_objects = 1 + num_others + (kind == "object")
    categories = _sample_categories(rng, num_objects, video_index)
    colours = sample_object_colours(rng, num_objects, backdrop)
    gap = int(rng.integers(5, 8))
    lead = max(3, num_frames // 4)
    hide_from = int(rng.integers(lead, max(lead + 1, num_frames - lead - gap + 1)))
    middle = hide_from + (gap - 1) / 2
    frames = np.arange(num_frames) - middle

    others = [
        _sample_sprite(rng, categories[i], colours[i], _sample_path(rng, point, num_frames, i == num_objects - 1))
        for i, point in enumerate(_sample_spread_points(rng, num_objects))
        if i > int(kind == "object")
    ]
    bars: tuple[Bar, ...] = ()
    if kind == "bar":
        hero, bar = _behind_bar(rng, categories[0], colours, backdrop, frames, gap)
        sprites, bars = _insert(rng, others, [hero]), (bar,)
    elif kind == "object":
        hero, front = _behind_object(rng, categories[0], colours, frames, gap)
        sprites = _insert(rng, others, [hero, front])
    else:
        hero = _out_of_frame(rng, categories[0], colours[0], frames, gap)
        sprites = [*others, hero]
    hero_index = next(i for i, sprite in enumerate(sprites) if sprite is hero)
    scene = Scene(canvas, camera, tuple(sprites), bars, *_sample_imaging(rng, num_frames))
    return scene, hero_index


def sample_gaps_scene(rng: np.random.Generator, num_frames: int, video_index: int) -> Scene:
    """Draws a scene of one to three objects that stay in the frame while something keeps a detector from them.

    Args and what the caller looks at: as for `sample_occlusion_scene`.
    """
    backdrop, canvas = sample_backdrop(rng)
    camera = _sample_camera(rng, num_frames)
    num_objects = int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25]))
    categories = _sample_categories(rng, num_objects, video_index)
    colours = sample_object_colours(rng, num_objects, backdrop)
    sprites = tuple(
        _sample_sprite(rng, categories[i], colours[i], _sample_path(rng, point, num_frames, stays=True))
        for i, point in enumerate(_sample_spread_points(rng, num_objects))
    )
    imaging = _sample_imaging(rng, num_frames)
    return Scene(canvas, camera, sprites, (), *imaging, sample_disturbance(rng, num_frames, num_objects))


def sample_crossing_scene(rng: np.random.Generator, num_frames: int, video_index: int) -> tuple[Scene, tuple[int, int]]:
    """Draws a scene in which two objects of one category cross, half of such pairs in the same colours.

    Args: as for `sample_scene`.
    Returns:
        The scene and the positions of the two among its sprites. Whether both are well seen before and after depends
        on the others: the caller looks at the masks and draws again if not.
    """
    backdrop, canvas = sample_backdrop(rng)
    camera = _sample_camera(rng, num_frames)
    num_others = int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))
    category = video_index % len(CATEGORY_NAMES)
    colours = sample_object_colours(rng, 2 + num_others, backdrop)
    if rng.random() < 0.5:
        colours[1] = colours[0]
    frames = np.arange(num_frames) - (num_frames - 1) / 2 - rng.uniform(-1.5, 1.5)
    meeting = np.array([WIDTH, HEIGHT]) * rng.uniform(0.35, 0.65, 2)
    turn = rng.normal(0, 0.35) + np.pi * (rng.random() < 0.5)
    pair = [
        _sample_sprite(rng, category, colours[i], path, (8.5, 13.0), steady=True)
        for i, path in enumerate(_crossing_paths(rng, meeting, turn, frames))
    ]
    points = _sample_spread_points(rng, num_others)
    others = [
        _sample_sprite(
            rng,
            int(rng.integers(len(CATEGORY_NAMES))),
            colours[2 + i],
            _sample_path(rng, point, num_frames, stays=False),
        )
        for i, point in enumerate(points)
    ]
    sprites = _insert(rng, others, pair)
    at = next(i for i, sprite in enumerate(sprites) if sprite is pair[0])
    return Scene(canvas, camera, tuple(sprites), (), *_sample_imaging(rng, num_frames)), (at, at + 1)


def _crossing_paths(rng: np.random.Generator, meeting: np.ndarray, turn: float, frames: np.ndarray) -> list[np.ndarray]:
    """Two paths [T, 2] through about one point in frame 0, the second about against the first."""
    paths = []
    for heading in (turn, turn + np.pi + rng.normal(0, 0.4)):
        forward, aside = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
        paths.append(meeting + frames[:, None] * rng.uniform(2.5, 4.5) * forward + rng.uniform(-4, 4) * aside)
    return paths


def _sample_categories(rng: np.random.Generator, num_objects: int, video_index: int) -> list[int]:
    """Draws category indices: the first goes round with the video, later ones may repeat an earlier one."""
    categories = [video_index % len(CATEGORY_NAMES)]
    for _ in range(num_objects - 1):
        twin = rng.random() < 0.3
        fresh = int(rng.integers(len(CATEGORY_NAMES)))
        categories.append(int(rng.choice(categories)) if twin else fresh)
    return categories


def _sample_imaging(rng: np.random.Generator, num_frames: int) -> tuple[float, float, np.ndarray]:
    """Draws shutter, noise and exposure of a video."""
    shutter = float(rng.uniform(0.3, 0.9)) if rng.random() < 0.4 else 0.0
    noise = float(rng.uniform(1.5, 9.0))
    exposure = 1 + _sway(rng, num_frames, 0.08)
    return shutter, noise, exposure


# --- Motion


def _sway(rng: np.random.Generator, num_frames: int, amplitude: float) -> np.ndarray:
    """A slow sine of random amplitude, period (8 to 30 frames) and phase: [T]."""
    period = rng.uniform(8, 30)
    return rng.uniform(0, amplitude) * np.sin(2 * np.pi * np.arange(num_frames) / period + rng.uniform(0, 2 * np.pi))


def _sample_camera(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Draws pan, zoom and roll: [T, 4]."""
    frames = np.arange(num_frames) - (num_frames - 1) / 2
    speed = rng.normal(0, 1.6, 2) * (rng.random() < 0.8)
    pan = frames[:, None] * speed + np.stack([_sway(rng, num_frames, 8), _sway(rng, num_frames, 6)], 1)
    zoom = 1 + _sway(rng, num_frames, 0.08)
    roll = _sway(rng, num_frames, 0.06)
    return np.column_stack([np.clip(pan, -MAX_PAN_PX, MAX_PAN_PX), zoom, roll])


def _sample_spread_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws points [count, 2] in the frame, each the farthest from the earlier ones of a few candidates."""
    points: list[np.ndarray] = []
    for _ in range(count):
        candidates = rng.uniform((12, 12), (WIDTH - 12, HEIGHT - 12), (4, 2))
        gaps = [min((np.hypot(*(c - p)) for p in points), default=0.0) for c in candidates]
        points.append(candidates[int(np.argmax(gaps))])
    return np.array(points)


def _fold(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Reflects values at two walls."""
    span = high - low
    return low + span - np.abs((values - low) % (2 * span) - span)


def _sample_path(rng: np.random.Generator, middle: np.ndarray, num_frames: int, stays: bool) -> np.ndarray:
    """Draws a path [T, 2] that bounces inside the frame, or else one that leads over a side of it."""
    frames = np.arange(num_frames) - (num_frames - 1) / 2
    manner = "stay" if stays else str(rng.choice(["stay", "pass", "return"], p=[0.6, 0.25, 0.15]))
    if manner == "stay":
        turn = rng.uniform(0, 2 * np.pi)
        speed = min(5.0, float(rng.lognormal(0.5, 0.6)))
        path = middle + frames[:, None] * speed * np.array([np.cos(turn), np.sin(turn)])
        path = path + np.stack([_sway(rng, num_frames, 5), _sway(rng, num_frames, 5)], 1)
        return np.stack([_fold(path[:, 0], 4, WIDTH - 4), _fold(path[:, 1], 4, HEIGHT - 4)], 1)
    speed = rng.uniform(2.5, 6.0)
    since = frames - rng.uniform(-0.4, 0.4) * num_frames
    if manner == "pass" or num_frames < MIN_RETURN_FRAMES:
        return _path_over_side(rng, frames, since * speed * rng.choice([-1, 1]))
    return _path_over_side(rng, frames, -14 + speed * (np.abs(since) - rng.uniform(0.5, 2.5)))


def _path_over_side(rng: np.random.Generator, frames: np.ndarray, inward: np.ndarray) -> np.ndarray:
    """A path [T, 2] at the given distances [T] inside one side of the frame, drifting along it."""
    size = (WIDTH, HEIGHT)
    axis = int(rng.random() < 0.35)
    path = np.empty((len(frames), 2))
    path[:, axis] = inward if rng.random() < 0.5 else size[axis] - inward
    path[:, 1 - axis] = size[1 - axis] * rng.uniform(0.25, 0.75) + frames * rng.uniform(-1.2, 1.2)
    return path


def _sample_sprite(
    rng: np.random.Generator,
    category_index: int,
    colours: np.ndarray,
    centre: np.ndarray,
    radius_px: tuple[float, float] = RADIUS_RANGE_PX,
    steady: bool = False,
) -> Sprite:
    """Draws an object on a given path; a steady one hardly changes in size and form."""
    num_frames = len(centre)
    calm = 0.3 if steady else 1.0
    radius = np.exp(rng.uniform(*np.log(radius_px))) * np.exp(_sway(rng, num_frames, 0.25 * calm))
    spin = rng.normal(0, 0.08) * (rng.random() < 0.8)
    return Sprite(
        category_index=category_index,
        texture=sample_texture(rng, colours, (0.5, 4.0)),
        centre=centre,
        radius=np.clip(radius, 7.0, 28.0),
        angle=rng.uniform(0, 2 * np.pi) + spin * np.arange(num_frames) + _sway(rng, num_frames, 0.3),
        stretch=np.exp(_sway(rng, num_frames, 0.15 * calm)),
        bend=_sway(rng, num_frames, 0.18 * calm),
    )


def _sample_bar(rng: np.random.Generator, camera: np.ndarray, objects: list[np.ndarray], backdrop: np.ndarray) -> Bar:
    """Draws a strip that stands still or moves with the camera."""
    normal = _sample_normal(rng)
    parallax = rng.uniform(0.5, 1.5) * (rng.random() < 0.6)
    span = 0.4 * (abs(normal[0]) * WIDTH + abs(normal[1]) * HEIGHT)
    offset = rng.uniform(-span, span) - parallax * (camera[:, :2] @ normal)
    return Bar(sample_bar_texture(rng, objects, backdrop), normal, offset, float(rng.uniform(2.5, 12)))


def _sample_normal(rng: np.random.Generator) -> np.ndarray:
    """Draws a unit vector, mostly near the x axis (an upright bar), else near the y axis."""
    turn = rng.normal(0, 0.2) + (np.pi / 2) * (rng.random() < 0.25)
    return np.array([np.cos(turn), np.sin(turn)])


# --- Long occlusions. `frames` counts from the middle of the hidden time: hidden means |frames| < gap / 2.


def _behind_bar(
    rng: np.random.Generator,
    category_index: int,
    colours: list[np.ndarray],
    backdrop: np.ndarray,
    frames: np.ndarray,
    gap: int,
) -> tuple[Sprite, Bar]:
    """An object and a bar just wide enough to hide it for `gap` frames at their relative speed."""
    normal = _sample_normal(rng) * rng.choice([-1, 1])
    along = np.array([-normal[1], normal[0]])
    speed = rng.uniform(2.0, 3.4)
    share = rng.uniform(0.4, 1.0)  # of the relative speed that is the object's; the bar has the rest
    half = np.array([WIDTH / 2, HEIGHT / 2])
    meeting = rng.uniform(-0.25, 0.25, 2) * half
    drift = along * rng.uniform(-0.6, 0.6)
    path = half + meeting + frames[:, None] * (normal * speed * share + drift)
    hero = _sample_sprite(rng, category_index, colours[0], path, (8.0, 11.5), steady=True)
    offset = meeting @ normal - frames * speed * (1 - share)
    reach = 1.05 * float(hero.radius.mean())
    return hero, Bar(sample_bar_texture(rng, colours, backdrop), normal, offset, reach + speed * gap / 2)


_SOLID = (CATEGORY_NAMES.index("disc"), CATEGORY_NAMES.index("square"))


def _behind_object(
    rng: np.random.Generator, category_index: int, colours: list[np.ndarray], frames: np.ndarray, gap: int
) -> tuple[Sprite, Sprite]:
    """A small object and, in front of it, a large solid one that takes `gap` frames to pass over it."""
    normal = _sample_normal(rng) * rng.choice([-1, 1])
    share = rng.uniform(0.2, 0.5)
    middle = np.array([WIDTH, HEIGHT]) * rng.uniform(0.35, 0.65, 2)
    cover, hidden = rng.uniform(24, 27), rng.uniform(7.5, 9.0)
    step = frames[:, None] * normal * 2 * (0.92 * cover - hidden) / gap
    hero = _sample_sprite(rng, category_index, colours[0], middle + step * share, (hidden, hidden), steady=True)
    front = _sample_sprite(
        rng, int(rng.choice(_SOLID)), colours[1], middle - step * (1 - share), (cover, cover), steady=True
    )
    return hero, replace(front, bend=0 * front.bend)


def _out_of_frame(
    rng: np.random.Generator, category_index: int, colours: np.ndarray, frames: np.ndarray, gap: int
) -> Sprite:
    """An object that leaves over one side and comes back after `gap` frames."""
    radius = rng.uniform(8.0, 13.0)
    inward = -1.05 * radius + rng.uniform(2.2, 4.0) * (np.abs(frames) - gap / 2)
    path = _path_over_side(rng, frames, inward)
    return _sample_sprite(rng, category_index, colours, path, (radius, radius), steady=True)


def _insert(rng: np.random.Generator, others: list[Sprite], group: list[Sprite]) -> list[Sprite]:
    """Puts a group of sprites, order kept, at a random depth among the others."""
    at = int(rng.integers(len(others) + 1))
    return [*others[:at], *group, *others[at:]]
