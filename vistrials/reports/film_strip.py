"""Film strips: frames side by side, a row for the ground truth and for each run, a colour for each track."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

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

_NEAREST, _BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC
_FRAME_WIDTHS_PX = (320, 640)
_FILL_OPACITY = 0.4
_HALO_BRIGHTNESS = 0.3
_LEAST_IOU = 0.1  # below, two masks touch rather than show the same object
_LABEL_WEIGHT = 10  # how much worse it is to cover a label than to cover a mask


@dataclass(frozen=True, slots=True)
class StripObject:
    """One object in one frame.

    track: the same number in every frame of a row; colours follow the order of the numbers.
    score: None for ground truth.
    mask: bool (H, W), at the frame's resolution.
    """

    track: int
    label: str
    score: float | None
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StripRow:
    """What one source says about the frames: for each frame its objects."""

    title: str
    objects: Sequence[Sequence[StripObject]]


def render_film_strip(frames: Sequence[Pixels], rows: Sequence[StripRow], numbers: Sequence[int]) -> Pixels:
    """Draw frames side by side, once for each row, with the row's masks, labels and scores.

    Args:
        frames: T images uint8 RGB (H, W, 3) of one size; enlarged by a whole factor to 320 pixels of width at
            least, shrunk to 640 at most.
        rows: from top to bottom, with T lists of objects each. Colours are matched to the first row's.
        numbers: T frame numbers, to be written above the columns.

    Returns:
        uint8 RGB (height, width, 3).
    """
    width, height = size = _shown_size(frames[0])
    font = _font(width // 22)
    band, gap = round(1.6 * font.size), width // 80
    extent = ((width + gap) * len(frames) - gap, (band + height) * len(rows) + band)
    canvas = Image.new("RGB", extent, "white")
    draw = ImageDraw.Draw(canvas)
    for column, number in enumerate(numbers):
        centre = column * (width + gap) + width // 2
        draw.text((centre, band // 2), f"frame {number}", "black", font, anchor="mm")
    for position, (row, colours) in enumerate(zip(rows, assign_colours(rows), strict=True)):
        top = band + position * (band + height)
        draw.text((gap, top + band // 2), row.title, "black", font, anchor="lm")
        for column, (frame, objects) in enumerate(zip(frames, row.objects, strict=True)):
            image = _draw_frame(frame, objects, colours, size)
            canvas.paste(image, (column * (width + gap), top + band))
    return np.asarray(canvas)


def assign_colours(rows: Sequence[StripRow]) -> list[dict[int, Colour]]:
    """Choose a colour for every track of every row, the same for the same object.

    The first row's tracks take the palette in order. In a row below, the pair of tracks with the largest IoU,
    summed over the frames, shares its colour first, then the next pair, each colour given once: where an
    object changes its track, it changes its colour. The rest take further colours.

    Returns:
        For each row, track -> colour.
    """
    chosen: list[dict[int, int]] = []
    num_used = 0
    for row in rows:
        matches = _match_tracks(rows[0], row) if chosen else []
        own = {track: chosen[0][other] for track, other in matches}
        for track in sorted({item.track for objects in row.objects for item in objects} - own.keys()):
            own[track] = num_used
            num_used += 1
        chosen.append(own)
    return [{track: PALETTE[n % len(PALETTE)] for track, n in own.items()} for own in chosen]


def _match_tracks(reference: StripRow, row: StripRow) -> list[tuple[int, int]]:
    """Pairs (track of row, track of reference), one to one."""
    overlaps: dict[tuple[int, int], float] = {}
    for theirs, ours in zip(reference.objects, row.objects, strict=True):
        for a in ours:
            for b in theirs:
                iou = (a.mask & b.mask).sum() / max(1, (a.mask | b.mask).sum())
                if iou >= _LEAST_IOU:
                    overlaps[a.track, b.track] = overlaps.get((a.track, b.track), 0) + iou
    pairs: list[tuple[int, int]] = []
    for pair in sorted(overlaps, key=lambda pair: (-overlaps[pair], pair)):
        if all(pair[0] != a and pair[1] != b for a, b in pairs):
            pairs.append(pair)
    return pairs


def _shown_size(frame: Pixels) -> tuple[int, int]:
    """(width, height) at which text on a frame can be read and a strip can be handled."""
    height, width = frame.shape[:2]
    smallest, largest = _FRAME_WIDTHS_PX
    factor = ceil(smallest / width) if width < smallest else min(1, largest / width)
    return round(width * factor), max(1, round(height * factor))


def _draw_frame(
    frame: Pixels, objects: Sequence[StripObject], colours: dict[int, Colour], size: tuple[int, int]
) -> Image.Image:
    pixels = np.asarray(Image.fromarray(frame).resize(size, _BICUBIC), np.float32).copy()
    # Small objects last, so that none is hidden by a larger one.
    objects = sorted(objects, key=lambda item: -item.mask.sum())
    masks = [Image.fromarray(item.mask).convert("L").resize(size, _NEAREST) for item in objects]
    for item, mask in zip(objects, masks, strict=True):
        inside = np.asarray(mask) > 0
        pixels[inside] += _FILL_OPACITY * (np.asarray(colours[item.track]) - pixels[inside])
    for item, mask in zip(objects, masks, strict=True):
        inside, core, around = (
            np.asarray(image) > 0
            for image in (mask, mask.filter(ImageFilter.MinFilter(5)), mask.filter(ImageFilter.MaxFilter(3)))
        )
        # A dark line outside the bright one: one of the two stands out from any ground.
        pixels[around & ~inside] *= _HALO_BRIGHTNESS
        pixels[inside & ~core] = colours[item.track]
    image = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    _draw_labels(image, objects, masks, colours)
    return image


def _draw_labels(
    image: Image.Image,
    objects: Sequence[StripObject],
    masks: Sequence[Image.Image],
    colours: dict[int, Colour],
) -> None:
    """Write label and score beside each object, where they cover the least of masks and other labels."""
    draw, font = ImageDraw.Draw(image), _font(image.width // 24)
    cost = np.zeros((image.height, image.width), np.int64)
    for mask in masks:
        cost[np.asarray(mask) > 0] = 1
    for item, mask in zip(objects, masks, strict=True):
        if (box := mask.getbbox()) is None:
            continue
        left, top, right, bottom = box
        text = item.label if item.score is None else f"{item.label} {item.score:.2f}"
        width = min(image.width, ceil(draw.textlength(text, font)) + 8)
        height = min(image.height, round(1.4 * font.size))
        # Above, below, then beside: clipped to the frame, each of them stays next to its object.
        beside = [(x, y) for y in ((top + bottom - height) // 2, top) for x in (right + 1, left - width - 1)]
        columns = (left, right - width, (left + right - width) // 2)
        places = [(x, y) for y in (top - height - 1, bottom + 1) for x in columns] + beside
        limits = (image.width - width, image.height - height)
        corners = [np.clip(place, 0, limits).tolist() for place in places]
        x0, y0 = min(corners, key=lambda at: int(cost[at[1] : at[1] + height, at[0] : at[0] + width].sum()))
        cost[y0 : y0 + height, x0 : x0 + width] = _LABEL_WEIGHT
        colour = colours[item.track]
        ink = "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 120 else "white"
        draw.rectangle((x0, y0, x0 + width - 1, y0 + height - 1), colour, outline="black")
        draw.text((x0 + 4, y0 + height // 2), text, ink, font, anchor="lm")


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
