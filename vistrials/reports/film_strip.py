"""Film strips: frames side by side, a row for the ground truth and for each run, a colour for each track."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from vistrials.reports.painting import (
    LEAST_WIDTH_PX,
    Colour,
    DrawnObject,
    Pixels,
    colour_of,
    legible_size,
    paint_objects,
    text_font,
)

_WIDEST_PX = 640
_LEAST_IOU = 0.1  # below, two masks touch rather than show the same object


@dataclass(frozen=True, slots=True)
class StripRow:
    """What one source says about the frames: for each frame its objects."""

    title: str
    objects: Sequence[Sequence[DrawnObject]]


def render_film_strip(
    frames: Sequence[Pixels],
    rows: Sequence[StripRow],
    numbers: Sequence[int],
    colours: Sequence[dict[int, Colour]] | None = None,
) -> Pixels:
    """Draw frames side by side, once for each row, with the row's masks, labels and scores.

    Args:
        frames: T images uint8 RGB (H, W, 3) of one size; enlarged by a whole factor to 320 pixels of width at
            least, shrunk to 640 at most.
        rows: from top to bottom, with T lists of objects each. Colours are matched to the first row's.
        numbers: T frame numbers, to be written above the columns.
        colours: for each row track -> colour; by default those of `assign_colours`.

    Returns:
        uint8 RGB (height, width, 3).
    """
    height, width = size = _shown_size(frames[0])
    font = text_font(width // 22)
    band, gap = round(1.6 * font.size), width // 80
    extent = ((width + gap) * len(frames) - gap, (band + height) * len(rows) + band)
    canvas = Image.new("RGB", extent, "white")
    draw = ImageDraw.Draw(canvas)
    for column, number in enumerate(numbers):
        centre = column * (width + gap) + width // 2
        draw.text((centre, band // 2), f"frame {number}", "black", font, anchor="mm")
    for position, (row, of_row) in enumerate(zip(rows, colours or assign_colours(rows), strict=True)):
        top = band + position * (band + height)
        draw.text((gap, top + band // 2), row.title, "black", font, anchor="lm")
        for column, (frame, objects) in enumerate(zip(frames, row.objects, strict=True)):
            image = paint_objects(frame, objects, of_row, size)
            canvas.paste(Image.fromarray(image), (column * (width + gap), top + band))
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
    return [{track: colour_of(n) for track, n in own.items()} for own in chosen]


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
    """(height, width) at which text on a frame can be read and a strip can be handled."""
    height, width = frame.shape[:2]
    if width < LEAST_WIDTH_PX:
        return legible_size((height, width))
    factor = min(1, _WIDEST_PX / width)
    return max(1, round(height * factor)), round(width * factor)
