"""Draws synthetic scenes: frames and the visible part of every object."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from vistrials.data.synthetic.scene import HEIGHT, WIDTH, Bar, Scene, Sprite
from vistrials.data.synthetic.shapes import CATEGORY_NAMES, OUTLINES
from vistrials.data.synthetic.surfaces import CANVAS_HEIGHT, CANVAS_WIDTH, texture_mix

# Below either of these an object counts as absent from the frame.
MIN_VISIBLE_PX = 12
MIN_VISIBLE_FRACTION = 0.08

_CAMOUFLAGE_SHIFT = (29, 37)  # rows and columns that what a camouflaged object shows of the backdrop lies off

_Y, _X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


@dataclass(frozen=True)
class _Layer:
    """One sprite in one frame, on a window that may reach beyond the frame."""

    left: int
    top: int
    x: np.ndarray  # [h, w] coordinates in the sprite's unit frame
    y: np.ndarray
    coverage: np.ndarray  # [h, w] share of the pixel that the sprite covers, 0..1
    body: np.ndarray  # [h, w] bool, the sprite at mid-exposure: its mask before anything hides it

    @property
    def inner(self) -> tuple[slice, slice]:
        """The window's rows and columns that lie in the frame."""
        height, width = self.body.shape
        return (
            slice(max(0, -self.top), max(0, min(height, HEIGHT - self.top))),
            slice(max(0, -self.left), max(0, min(width, WIDTH - self.left))),
        )

    @property
    def outer(self) -> tuple[slice, slice]:
        """The same rows and columns, counted in the frame."""
        rows, columns = self.inner
        return (
            slice(rows.start + self.top, max(rows.start, rows.stop) + self.top),
            slice(columns.start + self.left, max(columns.start, columns.stop) + self.left),
        )


class RenderedFrame(NamedTuple):
    """A frame and, in the scene's order, the masks of its N sprites; empty where one is absent."""

    image: np.ndarray  # [HEIGHT, WIDTH, 3] uint8 RGB
    visible: np.ndarray  # [N, HEIGHT, WIDTH] bool, what nothing hides; no two overlap
    whole: np.ndarray  # [N, HEIGHT, WIDTH] bool, the amodal masks: all that lies in the frame, hidden or not


def render_frame(scene: Scene, frame: int, rng: np.random.Generator) -> RenderedFrame:
    """Draws one frame.

    Args:
        scene: what to draw.
        frame: index 0..T-1.
        rng: draws the sensor noise.
    """
    layers = [_draw_layer(sprite, frame, scene.shutter) for sprite in scene.sprites]
    image = _draw_backdrop(scene, frame)
    backdrop = image.copy() if scene.disturbance else None
    for index, (sprite, layer) in enumerate(zip(scene.sprites, layers, strict=True)):
        mix = texture_mix(sprite.texture, layer.x[layer.inner], layer.y[layer.inner])
        coverage = layer.coverage[layer.inner]
        if scene.disturbance is not None and backdrop is not None:
            coverage = coverage * scene.disturbance.opacity[frame, index]
            paint = _paint(sprite.texture.colours, mix)
            elsewhere = np.roll(backdrop, _CAMOUFLAGE_SHIFT, axis=(0, 1))[layer.outer]
            paint += scene.disturbance.camouflage[frame, index] * (elsewhere - paint)
            _cover(image[layer.outer], paint, coverage)
        else:
            _cover(image[layer.outer], _paint(sprite.texture.colours, mix), coverage)
    for bar in scene.bars:
        coverage, mix = _draw_bar(bar, frame)
        _cover(image, _paint(bar.texture.colours, mix), coverage)
    if scene.disturbance is not None and scene.disturbance.blur_px[frame]:
        image = _blurred(image, float(scene.disturbance.blur_px[frame]))
    image *= scene.exposure[frame]
    image += scene.noise * rng.standard_normal(image.shape, np.float32)
    image += 0.5
    return RenderedFrame(np.clip(image, 0, 255).astype(np.uint8), *_object_masks(scene, layers, frame))


def render_masks(scene: Scene, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """The visible and the whole masks of `render_frame` alone."""
    return _object_masks(scene, [_draw_layer(sprite, frame, 0.0) for sprite in scene.sprites], frame)


def _draw_layer(sprite: Sprite, frame: int, shutter: float) -> _Layer:
    centre_x, centre_y = sprite.centre[frame].tolist()
    before, after = sprite.centre[max(0, frame - 1)], sprite.centre[min(len(sprite.centre) - 1, frame + 1)]
    smear_x, smear_y = (shutter * (after - before) / 2).tolist()
    smear_px = float(np.hypot(smear_x, smear_y))
    reach = 1.5 * float(sprite.radius[frame]) + 1 + smear_px / 2
    left, top = int(np.floor(centre_x - reach)), int(np.floor(centre_y - reach))
    size = int(np.ceil(2 * reach)) + 1
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x += left - centre_x
    y += top - centre_y
    unit_x, unit_y = _to_unit_frame(sprite, frame, x, y)
    outline = OUTLINES[CATEGORY_NAMES[sprite.category_index]]
    radius = float(sprite.radius[frame])
    distance = outline(unit_x, unit_y) * radius
    coverage = np.clip(0.5 - distance, 0, 1)
    if smear_px > 0.7:
        for part in (-0.5, 0.5):
            shifted = outline(*_to_unit_frame(sprite, frame, x - part * smear_x, y - part * smear_y)) * radius
            coverage += np.clip(0.5 - shifted, 0, 1)
        coverage /= 3
    return _Layer(left, top, unit_x, unit_y, coverage, distance < 0)


def _to_unit_frame(sprite: Sprite, frame: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps pixel offsets from the centre into the outline's unit frame, undoing turn, stretch and bend."""
    radius, stretch = float(sprite.radius[frame]), float(sprite.stretch[frame]) ** 0.5
    cos, sin = float(np.cos(sprite.angle[frame])), float(np.sin(sprite.angle[frame]))
    unit_x = (cos * x + sin * y) * (1 / (radius * stretch))
    unit_y = (cos * y - sin * x) * (stretch / radius)
    bend = float(sprite.bend[frame])
    return unit_x - bend * (unit_y**2 - 0.4), unit_y


def _draw_backdrop(scene: Scene, frame: int) -> np.ndarray:
    """The canvas through the camera: [HEIGHT, WIDTH, 3] float32."""
    pan_x, pan_y, zoom, roll = scene.camera[frame].tolist()
    cos, sin = np.cos(roll) / zoom, np.sin(roll) / zoom
    middle_x, middle_y = CANVAS_WIDTH / 2 + pan_x, CANVAS_HEIGHT / 2 + pan_y
    half_x, half_y = WIDTH / 2, HEIGHT / 2
    transform = (
        *(cos, sin, middle_x - cos * half_x - sin * half_y),
        *(-sin, cos, middle_y + sin * half_x - cos * half_y),
    )
    view = Image.fromarray(scene.canvas).transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR
    )
    return np.asarray(view).astype(np.float32)


def _draw_bar(bar: Bar, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and texture mix of a bar, each [HEIGHT, WIDTH]."""
    across, along = _across_and_along(bar, frame)
    return _bar_coverage(bar, across), texture_mix(bar.texture, across, along)


def _across_and_along(bar: Bar, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every pixel the distance from a bar's middle line and the place along it, each [HEIGHT, WIDTH]."""
    x, y = _X - (WIDTH - 1) / 2, _Y - (HEIGHT - 1) / 2
    across = float(bar.normal[0]) * x + float(bar.normal[1]) * y - float(bar.offset[frame])
    return across, float(bar.normal[0]) * y - float(bar.normal[1]) * x


def _bar_coverage(bar: Bar, across: np.ndarray) -> np.ndarray:
    coverage: np.ndarray = np.clip(0.5 + bar.half_width - np.abs(across), 0, 1)
    return coverage


def _paint(colours: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Two colours mixed: [h, w, 3] float32."""
    first, second = colours.astype(np.float32)
    paint: np.ndarray = first + mix[..., None] * (second - first)
    return paint


def _cover(image: np.ndarray, paint: np.ndarray, coverage: np.ndarray) -> None:
    """Paints over an image, in place."""
    image += coverage[..., None] * (paint - image)


def _blurred(image: np.ndarray, sigma_px: float) -> np.ndarray:
    levels = Image.fromarray(np.clip(image + 0.5, 0, 255).astype(np.uint8))
    return np.asarray(levels.filter(ImageFilter.GaussianBlur(sigma_px))).astype(np.float32)


def _object_masks(scene: Scene, layers: list[_Layer], frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Each sprite's mask without and with what bars and sprites in front of it hide: visible, whole.

    One rule says which masks are too small to count, so that a visible mask is always part of a whole one.
    """
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    for bar in scene.bars:
        hidden |= _bar_coverage(bar, _across_and_along(bar, frame)[0]) > 0.5
    visible, whole = np.zeros((2, len(layers), HEIGHT, WIDTH), bool)
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        body = layer.body[layer.inner]
        left = body & ~hidden[layer.outer]
        hidden[layer.outer] |= body
        least = max(MIN_VISIBLE_PX, MIN_VISIBLE_FRACTION * int(layer.body.sum()))
        for masks, mask in ((visible, left), (whole, body)):
            if int(mask.sum()) >= least:
                masks[index][layer.outer] = mask
    return visible, whole
