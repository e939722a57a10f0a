"""Objects drawn into a frame: a tint with an outline, and a label beside it; in film strips and in videos."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter, minimum_filter

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

# The first seven are Okabe and Ito's, black left out. Each of the others is the colour farthest in CIELAB
# from those before it for the worst of three eyes: normal, without red cones, without green cones.
PALETTE: tuple[Colour, ...] = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (86, 180, 233)),
    *((213, 94, 0), (0, 0, 255), (105, 105, 255), (225, 240, 180), (90, 75, 30), (0, 255, 255)),
    *((255, 0, 90), (150, 0, 105), (180, 240, 120), (120, 0, 180), (120, 150, 255), (195, 165, 75)),
    *((240, 165, 165), (135, 45, 75)),
)

LEAST_WIDTH_PX = 320
"""Of a frame in which labels can be read."""

_NEAREST, _BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
_FILL_OPACITY = 0.4
_HALO_BRIGHTNESS = 0.3
_LABEL_WEIGHT = 10  # how much worse it is to cover a label than to cover a mask
_OUTLINE_FRACTION = 1 / 480
_LEAST_OUTLINE_PX = 2
# How much of a label may lie on masks before it leaves the side where it was in the frame before.
_STEADINESS = 0.3


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One object in one frame.

    track: the same number in every frame; colours belong to it.
    score: None for ground truth.
    mask: bool (H, W), at the frame's resolution.
    """

    track: int
    label: str
    score: float | None
    mask: NDArray[np.bool_]


def colour_of(number: int) -> Colour:
    """The colour of the first (0), second, ... object."""
    return PALETTE[number % len(PALETTE)]


def legible_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which text on a frame can be read: narrow ones are enlarged by a whole factor."""
    factor = max(1, ceil(LEAST_WIDTH_PX / size[1]))
    return factor * size[0], factor * size[1]


def paint_objects(
    frame: Pixels,
    objects: Sequence[DrawnObject],
    colours: Mapping[int, Colour],
    size: tuple[int, int],
    places: MutableMapping[int, int] | None = None,
) -> Pixels:
    """Draw objects into a frame. Lines and text grow with its width.

    Args:
        frame: uint8 RGB (H, W, 3); left as it is.
        objects: with masks of the frame's size.
        colours: of the tracks.
        size: (height, width) of the picture to make.
        places: of a video, handed over from frame to frame and changed: on which side of its object each track's label
            is, so that labels stay there while there is room.

    Returns:
        uint8 RGB (height, width, 3).
    """
    shape = size[1], size[0]
    pixels = np.array(Image.fromarray(frame).resize(shape, _BICUBIC))
    # Small objects last, so that none is hidden by a larger one.
    objects = sorted(objects, key=lambda item: -item.mask.sum())
    shapes = [_shape_of(item.mask, shape) for item in objects]
    tinted = pixels.astype(np.float32) if objects else pixels
    for item, mask in zip(objects, shapes, strict=True):
        inside = tinted[mask.area][mask.inside]
        tinted[mask.area][mask.inside] = inside + _FILL_OPACITY * (np.asarray(colours[item.track]) - inside)
    width = max(_LEAST_OUTLINE_PX, round(size[1] * _OUTLINE_FRACTION))
    for item, mask in zip(objects, shapes, strict=True):
        inside = mask.inside
        core = minimum_filter(inside, 2 * width + 1, mode="nearest")
        around = maximum_filter(inside, 2 * (width // 2) + 1, mode="nearest")
        # A dark line outside the bright one: one of the two stands out from any ground.
        tinted[mask.area][around & ~inside] *= _HALO_BRIGHTNESS
        tinted[mask.area][inside & ~core] = colours[item.track]
    image = Image.fromarray(tinted.round().clip(0, 255).astype(np.uint8) if objects else pixels)
    _draw_labels(image, objects, shapes, colours, {} if places is None else places)
    return np.asarray(image)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a mask lies in the picture. box: left, top, right, bottom (both behind it) or None of an empty mask.

    area: the part of the picture around the mask; inside: bool, which of its pixels belong to the mask.
    """

    box: tuple[int, int, int, int] | None
    area: tuple[slice, slice]
    inside: NDArray[np.bool_]


def _shape_of(mask: NDArray[np.bool_], shape: tuple[int, int]) -> _Shape:
    image = Image.fromarray(mask).convert("L").resize(shape, _NEAREST)
    if (box := image.getbbox()) is None:
        return _Shape(None, (slice(0), slice(0)), np.zeros((0, 0), bool))
    left, top, right, bottom = box
    margin = 1 + max(_LEAST_OUTLINE_PX, round(shape[0] * _OUTLINE_FRACTION))
    area = (slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin))
    return _Shape(box, area, np.asarray(image)[area] > 0)


def _draw_labels(
    image: Image.Image,
    objects: Sequence[DrawnObject],
    shapes: Sequence[_Shape],
    colours: Mapping[int, Colour],
    chosen: MutableMapping[int, int],
) -> None:
    """Write label and score beside each object, where they cover the least of masks and other labels."""
    draw = ImageDraw.Draw(image)
    font = text_font(min(image.width // 24, max(26, min(image.size) // 36)))
    cost = np.zeros((image.height, image.width), np.int32)
    for shape in shapes:
        cost[shape.area][shape.inside] = 1
    for item, shape in zip(objects, shapes, strict=True):
        if shape.box is None:
            continue
        left, top, right, bottom = shape.box
        text = item.label if item.score is None else f"{item.label} {item.score:.2f}"
        width = min(image.width, ceil(draw.textlength(text, font)) + 8)
        height = min(image.height, round(1.4 * font.size))
        # Above, below, then beside: clipped to the frame, each of them stays next to its object.
        beside = [(x, y) for y in ((top + bottom - height) // 2, top) for x in (right + 1, left - width - 1)]
        columns = (left, right - width, (left + right - width) // 2)
        places = [(x, y) for y in (top - height - 1, bottom + 1) for x in columns] + beside
        limits = (image.width - width, image.height - height)
        corners = [np.clip(place, 0, limits).tolist() for place in places]
        covered = [float(cost[y : y + height, x : x + width].sum()) for x, y in corners]
        if item.track in chosen:
            covered[chosen[item.track]] -= _STEADINESS * width * height
        best = chosen[item.track] = covered.index(min(covered))
        x0, y0 = corners[best]
        cost[y0 : y0 + height, x0 : x0 + width] = _LABEL_WEIGHT
        colour = colours[item.track]
        ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 120 else "white"
        draw.rectangle((x0, y0, x0 + width - 1, y0 + height - 1), colour, outline="black")
        draw.text((x0 + 4, y0 + height // 2), text, ink, font, anchor="lm")


@lru_cache
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of labels and titles, `size` pixels high."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
