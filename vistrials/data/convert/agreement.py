"""What a file says about itself, held against its frames and masks: sizes, boxes, areas, and how far polygons reach.

For every reader. Whatever a file declares beside its masks is a cross-check: where the two disagree, one of them is
wrong, and nothing says which, so the file is refused with both values and, where they say so, with what happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError, shortened
from vistrials.formats.rle import Rle, decode_runs, foreground_intervals
from vistrials.formats.track_masks import tight_boxes
from vistrials.formats.values import is_bbox, is_finite_number

TOLERANCE_PX = 2.0
"""Programs differ in whether a box ends on its last pixel or after it, and polygons are rasterised."""

AREA_TOLERANCE_FRACTION = 0.05

_PERCENT = 100.0
_MUCH_LARGER = 1.5
_SMALLEST_FOR_PERCENT_PX = 200

Size = tuple[int, int]  # height, width in pixels
Box = tuple[float, float, float, float]  # x, y, w, h in pixels
Polygon = Sequence[float]  # x0, y0, x1, y1, .. in pixels


@dataclass(frozen=True, slots=True)
class Declared:
    """A mask, and what its file says of it.

    Attributes:
        where: file, video, frame and entry, for messages.
        rle: the mask, as `to_rle` or `encode` made it.
        box: x, y, w, h; None where the file has none.
        area: in pixels; None where the file has none.
    """

    where: str
    rle: Rle
    box: Any = None
    area: Any = None


def check_declared_size(declared: tuple[Any, Any], size: Size, where: str, notes: Notes | None = None) -> None:
    """Hold a declared height and width against the frame's.

    Args:
        declared: height and width as the file has them; None (or 0) where it does not say.
        size: (height, width) of the frame.
        where: file, video, frame and entry, for messages.
        notes: counts differences within the tolerance.

    Raises:
        DataError: they differ by more than `TOLERANCE_PX`, or are no numbers.
    """
    sides = [side or None for side in declared]
    if not all(side is None or is_finite_number(side) for side in sides):
        raise DataError(f"{where}: height and width are {shortened(declared)}; expected whole numbers of pixels")
    differences = [abs(side - found) for side, found in zip(sides, size, strict=True) if side is not None]
    if not any(differences):
        return
    if max(differences) <= TOLERANCE_PX:
        if notes is not None:
            notes.add(f"declared sizes differ from their frames' by up to {TOLERANCE_PX:g} pixels", where)
        return
    told = " x ".join("?" if side is None else f"{side:g}" for side in sides)
    raise DataError(
        f"{where}: height x width are declared as {told} pixels, while the frame has {size[0]} x {size[1]}; "
        f"{_cause_of_size(sides, size)}"
    )


def check_masks(declared: Iterable[Declared], notes: Notes | None = None) -> None:
    """Hold declared boxes and areas against those of the masks.

    Boxes are clipped to the frame first; where one reaches out of it, the area is not compared, as it may count what
    lies outside. A box of no size or an area of 0 beside a mask is taken for none. An area of the box is no measure of
    a mask: it is counted.

    Args:
        declared: masks of frames; they may have different sizes.
        notes: counts what is said rather than refused.

    Raises:
        DataError: a box lies more than `TOLERANCE_PX` beside that of its mask, or an area differs by more than a
            rim of one pixel on every side and by more than 5 %; names both values and what happened, where they tell.
    """
    claims = [claim for claim in declared if claim.box is not None or claim.area is not None]
    if not claims:
        return
    intervals = foreground_intervals(decode_runs([claim.rle for claim in claims]))
    boxes, areas = tight_boxes(intervals).tolist(), intervals.areas().tolist()
    for claim, (x, y, w, h), area in zip(claims, boxes, areas, strict=True):
        height, width = claim.rle["size"]
        box = _given_box(claim)
        if box is not None:
            _check_box(box, (x, y, w, h), (height, width), claim.where)
        reaches_out = box is not None and _clipped(box, (height, width)) != box
        if claim.area is not None and not reaches_out:
            _check_area(claim.area, area, box, (x, y, w, h), claim.where, notes)


@dataclass(slots=True)
class Reach:
    """How far the polygons of one video reach, to be held against its frames once all have been added."""

    _extents: list[tuple[float, float, float, float]] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)
    _num_boxed: int = 0

    def add(self, polygons: Iterable[Polygon], where: str, *, has_box: bool = False) -> None:
        """Note the polygons of an object in a frame; `has_box` where a declared box vouches for them."""
        points = [np.asarray(polygon, dtype=float).reshape(-1, 2) for polygon in polygons]
        if points:
            all_points = np.concatenate(points)
            (left, top), (right, bottom) = all_points.min(axis=0).tolist(), all_points.max(axis=0).tolist()
            self._extents.append((left, top, right, bottom))
            self._names.append(where)
            self._num_boxed += has_box

    def check(self, size: Size, notes: Notes) -> None:
        """Refuse what is in another unit, order or scale than pixels of the frames; count what lies outside.

        Raises:
            DataError: coordinates are fractions, y and x are swapped, or belong to much larger frames.
        """
        if not self._extents:
            return
        height, width = size
        extents = np.array(self._extents)
        left, top = extents[:, :2].min(axis=0).tolist()
        right, bottom = extents[:, 2:].max(axis=0).tolist()
        frame = f"frames of {width} x {height} pixels (width x height)"
        if left >= 0 and top >= 0 and right <= 1 and bottom <= 1 and min(size) > TOLERANCE_PX + 1:
            raise DataError(
                f"{self._names[0]}: all polygons of this video lie within 0 to 1 in {frame}; these are fractions: "
                "multiply x by the width and y by the height"
            )
        out = self._beyond(extents, width, height)
        if not out.any():
            self._note_percent(right, bottom, size, notes)
            return
        first, reached = self._names[int(np.argmax(out))], f"polygons reach to x {right:g}, y {bottom:g} in {frame}"
        if not self._beyond(extents[:, [1, 0, 3, 2]], width, height).any():
            raise DataError(f"{first}: {reached}, but lie within them as y, x; write x before y")
        if 2 * out.sum() > len(out) and max(right / width, bottom / height) >= _MUCH_LARGER:
            raise DataError(
                f"{first}: {reached}, {int(out.sum())} of {len(out)} objects of the video beyond the edge; they were "
                "drawn on larger frames: put those there, or scale the polygons"
            )
        gone = (extents[:, 0] >= width) | (extents[:, 1] >= height) | (extents[:, 2] <= 0) | (extents[:, 3] <= 0)
        if gone.any():
            notes.add(
                "objects lie wholly outside their frame and were left out of it",
                self._names[int(np.argmax(gone))],
                int(gone.sum()),
            )
        cut = out & ~gone
        if cut.any():
            notes.add(
                "objects reach out of their frame by more than 2 pixels and were cut at its edge",
                self._names[int(np.argmax(cut))],
                int(cut.sum()),
            )

    @staticmethod
    def _beyond(extents: Any, width: int, height: int) -> Any:
        low, high = extents[:, :2], extents[:, 2:] - np.array([width, height])
        return (low < -TOLERANCE_PX).any(axis=1) | (high > TOLERANCE_PX).any(axis=1)

    def _note_percent(self, right: float, bottom: float, size: Size, notes: Notes) -> None:
        within = max(right, bottom) <= _PERCENT and min(size) > _SMALLEST_FOR_PERCENT_PX
        if within and not self._num_boxed:
            notes.add(
                f"polygons, all of their video, lie within 100 x 100 of {size[1]} x {size[0]} pixels: if they are in "
                "percent, multiply x by width / 100 and y by height / 100",
                self._names[0],
                len(self._names),
            )


def _given_box(claim: Declared) -> Box | None:
    if claim.box is None or claim.box == []:
        return None
    if not is_bbox(claim.box):
        raise DataError(f"{claim.where}: the box is {shortened(claim.box)}; expected [x, y, w, h] in pixels")
    x, y, w, h = claim.box
    return (x, y, w, h) if w or h else None


def _check_box(box: Box, of_mask: Box, size: Size, where: str) -> None:
    clipped = _clipped(box, size)
    if min(clipped[2:]) <= 0 and of_mask[2:] == (0, 0):
        return  # both outside the frame
    if _distance(clipped, of_mask) <= TOLERANCE_PX:
        return
    raise DataError(
        f"{where}: the box is {_shown(box)} (x, y, w, h), while its mask lies within {_shown(of_mask)}; "
        f"{_cause_of_box(box, of_mask, size)}"
    )


def _check_area(area: Any, of_mask: int, box: Box | None, box_of_mask: Box, where: str, notes: Notes | None) -> None:
    if not is_finite_number(area):
        raise DataError(f"{where}: the area is {shortened(area)}; expected a number of pixels")
    _, _, w, h = box_of_mask
    # Tools that shift a side by up to 2 pixels change as much as this.
    allowed = max(TOLERANCE_PX * (w + h), AREA_TOLERANCE_FRACTION * of_mask)
    if not area or abs(area - of_mask) <= allowed:
        return
    side_w, side_h = (box or box_of_mask)[2:]
    if abs(area - side_w * side_h) <= max(1.0, 0.01 * area):
        if notes is not None:
            notes.add("areas are those of boxes; those of the masks were written", where)
        return
    raise DataError(
        f"{where}: the area is {area:g} pixels, while its mask has {of_mask}; the masks may be of another scale or "
        "order of coordinates than the areas: mend one of them, or remove the areas"
    )


def _cause_of_size(declared: Sequence[Any], size: Size) -> str:
    height, width = declared
    if (height, width) == (size[1], size[0]):
        return "they are switched: write the width as width and the height as height"
    if height and width and abs(height / size[0] - width / size[1]) < 0.02 * width / size[1]:
        scale = size[1] / width
        return f"the frames were resized by {scale:.3g} after they were annotated: put the annotated ones there"
    return "put the frames there that were annotated, or mend the size"


def _cause_of_box(box: Box, of_mask: Box, size: Size) -> str:
    """What happened, if box and mask would then agree far better than they do."""
    height, width = size
    x, y, w, h = of_mask
    readings: list[tuple[str, Sequence[float], Sequence[float], float]] = [
        (
            "the box is x1, y1, x2, y2: write x, y, width, height",
            (*box[:2], box[2] - box[0], box[3] - box[1]),
            of_mask,
            1,
        ),
        ("the mask's coordinates are y, x: write x before y", box, (y, x, h, w), 1),
        (
            "the box has its centre in place of its corner: write x, y of the corner",
            (box[0] - box[2] / 2, box[1] - box[3] / 2, *box[2:]),
            of_mask,
            1,
        ),
    ]
    for (sx, sy), unit in (((width / _PERCENT, height / _PERCENT), "percent"), ((width, height), "fractions")):
        scale = (sx, sy, sx, sy)
        readings.append((f"the box is in {unit}: write pixels", np.multiply(box, scale).tolist(), of_mask, 1))
        what = f"the mask's coordinates are in {unit}: write pixels"
        # What was rasterised before it is scaled is off by the scale.
        readings.append((what, box, np.multiply(of_mask, scale).tolist(), max(1, sx, sy)))
    if box[2] > 0 and w > 0 and (scaled := w / box[2]) != 1:
        what = f"the mask is {scaled:.3g} times as large as the box: scale one of them"
        readings.append((what, np.multiply(box, scaled).tolist(), of_mask, max(1, scaled)))
    distance = _distance(box, of_mask)
    for what, one, other, blur in readings:
        if _distance(one, other) <= min(TOLERANCE_PX * blur, distance / 2):
            return what
    return "mend one of them, or remove the boxes, which follow from the masks"


def _clipped(box: Box, size: Size) -> Box:
    height, width = size
    x, y, w, h = box
    left, top = min(max(x, 0), width), min(max(y, 0), height)
    right, bottom = min(max(x + w, 0), width), min(max(y + h, 0), height)
    return left, top, right - left, bottom - top


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Largest shift of a side between two x, y, w, h boxes, in pixels."""
    sides_a, sides_b = ((x, y, x + w, y + h) for x, y, w, h in (a, b))
    return max(abs(p - q) for p, q in zip(sides_a, sides_b, strict=True))


def _shown(box: Sequence[float]) -> str:
    return f"[{', '.join(f'{side:.6g}' for side in box)}]"
