"""Run-length masks: the three encodings of a segmentation, checked before anything is computed on them.

A mask of H rows and W columns is read column by column (pixel (row, column) has number column * H + row) and
stored as the lengths of its runs, background first. In files the runs are a list (uncompressed) or a string
(compressed: differences to the run two before, in base 32), or the segmentation is a list of polygons.

The C code of pycocotools trusts its input: a damaged string makes it read past its buffer, runs that do not
fill the image can make its merge loop for ever. So strings are decoded here, many masks at once, and only
checked values reach that library.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vistrials.errors import DataError, shortened
from vistrials.formats.values import as_whole

MAX_PIXELS = 1 << 28
"""Largest image accepted: far above any video, and small enough for 32-bit runs."""

MAX_COORDINATE = 1e5
"""Largest polygon coordinate accepted, in pixels: rasterising takes memory in proportion to it."""

MAX_CHARS_PER_RUN = 6
"""Characters of a run's number in a string, 5 bits each: enough for differences of MAX_PIXELS."""

_FIRST_CHAR = 48
_CONTINUES, _NEGATIVE, _DIGIT = 0x20, 0x10, 0x1F

MIN_POLYGON_NUMBERS = 6
"""x and y of three points; polygons of fewer hold no pixel."""

Rle = dict[str, Any]
Name = Callable[[int], str]


class _NoMask(Exception):
    """Of several segmentations the first that is no mask, and why."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


@dataclass(frozen=True)
class Runs:
    """The runs of N masks, one after the other.

    Attributes:
        lengths: int64 [all masks' runs], in pixels; in each mask background and foreground take turns.
        offsets: int64 [N + 1]; mask n owns lengths[offsets[n]:offsets[n + 1]].
        sizes: int64 [N, 2], height and width in pixels.
    """

    lengths: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Intervals:
    """The non-empty foreground runs of N masks as half-open intervals of pixel numbers.

    Attributes:
        starts: int64 [I], pixel number (column * height + row) within the mask.
        ends: int64 [I], one past the last pixel.
        offsets: int64 [N + 1]; mask n owns the intervals offsets[n]:offsets[n + 1].
        sizes: int64 [N, 2], height and width in pixels.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def areas(self) -> NDArray[np.int64]:
        """Foreground pixels of every mask, int64 [N]."""
        total = np.concatenate([[0], np.cumsum(self.ends - self.starts)])
        return np.diff(total[self.offsets])


def to_rle(segmentation: Any, height: int, width: int) -> Rle:
    """Turn a segmentation of any encoding into a checked compressed RLE.

    Args:
        segmentation: {"size": [h, w], "counts": str, bytes or list of int}, or a list of polygons
            [x0, y0, x1, y1, ..] in pixels, of which those of fewer than 3 points are left out beside others (see
            `count_strays`). A run-length mask keeps its own size, whatever the video's.
        height: image height in pixels, for polygons.
        width: image width in pixels, for polygons.

    Returns:
        {"size": [h, w], "counts": str}

    Raises:
        DataError: the segmentation is none of the three, or its values do not describe a mask.
    """
    try:
        (rows, columns), counts = _size_and_counts(segmentation, height, width)
        _decode_runs([{"size": [rows, columns], "counts": counts}], None, None)
    except DataError as fault:
        raise DataError(f"{fault}{_cure(segmentation, height, width)}") from None
    except _NoMask as fault:
        raise DataError(f"mask: {fault}{_cure(segmentation, height, width)}") from None
    return _rle(rows, columns, counts)


def count_strays(segmentation: Any) -> int:
    """How many polygons of a segmentation have fewer than 3 points, as annotators leave them behind."""
    return sum(map(_is_stray, segmentation)) if isinstance(segmentation, list) else 0


def encode(mask: NDArray[Any]) -> Rle:
    """Encode one mask.

    Args:
        mask: bool or number [H, W]; non-zero is foreground.

    Returns:
        {"size": [h, w], "counts": str}

    Raises:
        DataError: the array is not two-dimensional or has no pixels.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0:
        raise DataError(f"mask: expected an array of height x width, found shape {list(mask.shape)}")
    rle = coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    rows, columns = mask.shape
    return _rle(rows, columns, rle["counts"])


def encode_labels(labels: NDArray[np.integer[Any]]) -> dict[int, Rle]:
    """Encode the mask of every value but 0 of a label image, in one pass over its pixels.

    Args:
        labels: [H, W]

    Returns:
        By value, ascending: {"size": [h, w], "counts": str}, as `encode` of `labels == value`.
    """
    height, width = labels.shape
    flat = np.ascontiguousarray(labels.T).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    return {
        int(value): _of_intervals(starts[values == value], ends[values == value], (height, width))
        for value in np.unique(values)
        if value
    }


def encode_crop(columns: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> Rle:
    """Encode one mask of which all foreground lies in a crop, in time of the crop's size.

    Args:
        columns: bool [w, h], the crop column by column.
        top, left: where the crop's first row and column lie in the mask.
        size: (height, width) of the mask; the crop lies within.

    Returns:
        {"size": [h, w], "counts": str}, as `encode` of the whole mask.
    """
    height, width = size
    num_columns, num_rows = columns.shape
    # With background above and below, no run of the crop goes on in its next column.
    lined = np.zeros((num_columns, num_rows + 2), dtype=np.bool_)
    lined[:, 1:-1] = columns
    flat = lined.ravel()
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), num_rows + 2)
    turns = (column + left) * height + row + top
    # In a mask it does, where the crop has its height: there both turns fall on one pixel and are none.
    twice = np.flatnonzero(turns[1:] == turns[:-1])
    turns = np.delete(turns, np.concatenate([twice, twice + 1]))
    return _of_turns(turns, size)


def unite(rles: Sequence[Rle]) -> Rle:
    """The union of compressed masks of one size, at least one; each as `to_rle` or `encode` made it."""
    if len(rles) == 1:
        return rles[0]
    (rows, columns), counts = rles[0]["size"], [{**rle, "counts": rle["counts"].encode("ascii")} for rle in rles]
    return _rle(rows, columns, coco_mask.merge(counts)["counts"])


def decode(rle: Rle) -> NDArray[np.uint8]:
    """Decode one run-length mask (compressed or not) to uint8 [H, W] of 0 and 1.

    Raises:
        DataError: the value is not a valid run-length mask.
    """
    runs = decode_runs([rle])
    height, width = runs.sizes[0]
    foreground = (np.arange(len(runs.lengths)) % 2).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(foreground, runs.lengths).reshape(width, height).T)


def decode_runs(
    segmentations: Sequence[Any],
    height: int | None = None,
    width: int | None = None,
    name: Name | None = None,
) -> Runs:
    """Decode and check many segmentations at once (one pass of array operations, no loop over masks or runs).

    Args:
        segmentations: N of them, in any of the three encodings (see `to_rle`).
        height: image height in pixels; needed for polygons only.
        width: image width in pixels; needed for polygons only.
        name: gives mask n its name in error messages; by default "mask n", or "mask" if there is one.

    Returns:
        The runs; every mask's are non-negative and sum to its height * width.

    Raises:
        DataError: names the first segmentation that is not a mask, and says why.
    """
    try:
        return _decode_runs(segmentations, height, width)
    except _NoMask as fault:
        name = name or (lambda index: f"mask {index}" if len(segmentations) > 1 else "mask")
        cure = _cure(segmentations[fault.index], height, width)
        raise DataError(f"{name(fault.index)}: {fault}{cure}") from None


def is_mask(segmentation: Any, height: int | None, width: int | None) -> bool:
    """Whether a segmentation can be decoded."""
    try:
        _decode_runs([segmentation], height, width)
    except _NoMask:
        return False
    return True


def _cure(segmentation: Any, height: int | None, width: int | None) -> str:
    from vistrials.formats.mask_cures import likely_cure  # tries what it thinks of with `is_mask`

    return likely_cure(segmentation, height, width)


def _decode_runs(segmentations: Sequence[Any], height: int | None, width: int | None) -> Runs:
    sizes = np.empty((len(segmentations), 2), dtype=np.int64)
    counts: list[bytes] = []
    for index, segmentation in enumerate(segmentations):
        try:
            sizes[index], encoded = _size_and_counts(segmentation, height, width)
        except DataError as error:
            raise _NoMask(index, str(error)) from None
        counts.append(encoded)
    if not counts:
        return Runs(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), sizes)

    def refuse_first(bad: NDArray[np.bool_], reason: str) -> None:
        if bad.any():
            raise _NoMask(int(np.argmax(bad)), reason)

    num_chars = np.array([len(text) for text in counts], dtype=np.int64)
    refuse_first(num_chars == 0, "empty counts; expected a run-length string")
    char_offsets = _offsets(num_chars)
    chars = np.frombuffer(b"".join(counts), dtype=np.uint8) - np.uint8(_FIRST_CHAR)
    refuse_first(_any_within(chars > 63, char_offsets), "counts hold a character that no run-length string has")
    is_last_char = (chars & _CONTINUES) == 0
    refuse_first(~is_last_char[char_offsets[1:] - 1], "counts end inside a number; the string is cut short")

    value_ends = np.flatnonzero(is_last_char)
    value_starts = np.concatenate([[0], value_ends[:-1] + 1])
    value_chars = value_ends - value_starts + 1
    offsets = np.searchsorted(value_ends, char_offsets)
    refuse_first(_any_within(value_chars > MAX_CHARS_PER_RUN, offsets), "counts hold a number beyond any image size")
    lengths = _undo_differences(_read_values(chars, value_starts, value_ends, value_chars), offsets)

    num_pixels = sizes[:, 0] * sizes[:, 1]
    out_of_range = (lengths < 0) | (lengths > np.repeat(num_pixels, np.diff(offsets)))
    refuse_first(_any_within(out_of_range, offsets), "counts hold a run that is negative or longer than the image")
    sums = np.add.reduceat(lengths, offsets[:-1])
    wrong = sums != num_pixels
    if wrong.any():
        index = int(np.argmax(wrong))
        raise _NoMask(index, _wrong_sum(sums[index], *sizes[index]))
    return Runs(lengths, offsets, sizes)


def foreground_intervals(runs: Runs) -> Intervals:
    """Turn runs into the foreground's intervals of pixel numbers, leaving out empty runs."""
    ends = np.cumsum(runs.lengths)
    starts = ends - runs.lengths
    num_runs = np.diff(runs.offsets)
    first = np.repeat(runs.offsets[:-1], num_runs)
    is_foreground = ((np.arange(len(ends)) - first) % 2 == 1) & (runs.lengths > 0)
    kept = np.flatnonzero(is_foreground)
    mask_origin = starts[first[kept]]
    offsets = np.searchsorted(kept, runs.offsets)
    return Intervals(starts[kept] - mask_origin, ends[kept] - mask_origin, offsets, runs.sizes)


def _size_and_counts(segmentation: Any, height: int | None, width: int | None) -> tuple[tuple[int, int], bytes]:
    """Size and run-length string of any encoding; a string is passed on unread: `decode_runs` checks it."""
    if isinstance(segmentation, list):
        rows, columns = _checked_size(height, width)
        polygons = [_checked_polygon(polygon) for polygon in segmentation if not _is_stray(polygon)]
        if not polygons:
            raise DataError("a segmentation without a polygon of 3 points or more; expected one, or null where absent")
        _refuse_other_arrays(polygons, rows, columns)
        return (rows, columns), coco_mask.merge(coco_mask.frPyObjects(polygons, rows, columns))["counts"]
    rows, columns = _size_of(segmentation)
    counts = segmentation.get("counts")
    if isinstance(counts, bytes):
        return (rows, columns), counts
    if isinstance(counts, str):
        # Characters outside ASCII become bytes that no run-length string has, so the check below finds them.
        return (rows, columns), counts.encode("utf-8", errors="surrogatepass")
    if isinstance(counts, list):
        uncompressed = {"size": [rows, columns], "counts": _checked_runs(counts, rows, columns)}
        return (rows, columns), coco_mask.frPyObjects(uncompressed, rows, columns)["counts"]
    raise DataError(f"counts are {type(counts).__name__}; expected a run-length string or a list of runs")


def _of_intervals(starts: NDArray[np.int64], ends: NDArray[np.int64], size: tuple[int, int]) -> Rle:
    return _of_turns(np.stack([starts, ends], axis=1).ravel(), size)


def _of_turns(turns: NDArray[np.int64], size: tuple[int, int]) -> Rle:
    """The mask whose foreground begins and ends, in turn, at these pixel numbers."""
    height, width = size
    counts = np.diff(turns, prepend=0, append=height * width)
    if counts[-1] == 0 and len(counts) > 1:
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return _rle(height, width, rle["counts"])


def _rle(rows: int, columns: int, counts: bytes) -> Rle:
    return {"size": [int(rows), int(columns)], "counts": counts.decode("ascii")}


def _size_of(segmentation: Any) -> tuple[int, int]:
    if not isinstance(segmentation, dict):
        found = type(segmentation).__name__
        raise DataError(f"a segmentation is {found}; expected a run-length mask or a list of polygons")
    size = segmentation.get("size")
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise DataError(f"size is {shortened(size)}; expected [height, width]")
    return _checked_size(size[0], size[1])


def _checked_size(height: Any, width: Any) -> tuple[int, int]:
    try:
        rows, columns = operator.index(as_whole(height)), operator.index(as_whole(width))
    except TypeError:
        raise DataError(f"size is {shortened([height, width])}; expected two whole numbers of pixels") from None
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise DataError(f"size is {shortened([rows, columns])}; expected positive sides, at most {MAX_PIXELS} pixels")
    return rows, columns


def _is_stray(polygon: Any) -> bool:
    """Whether a polygon is none, one or two points; half a point too few or too many is a damage."""
    if not isinstance(polygon, list) or len(polygon) >= MIN_POLYGON_NUMBERS or len(polygon) % 2:
        return False
    return all(isinstance(number, int | float) and not isinstance(number, bool) for number in polygon)


def _refuse_other_arrays(polygons: list[list[float]], rows: int, columns: int) -> None:
    """Refuse numbers that would pass for polygons but are a mask pixel by pixel, or fractions of the frame."""
    if len(polygons) == rows and len(polygons[0]) == columns and {*polygons[0], *polygons[-1]} <= {0.0, 1.0}:
        raise DataError(
            f"{rows} lists of {columns} zeros and ones, a mask pixel by pixel; expected polygons, or run lengths as "
            "pycocotools.mask.encode makes them"
        )
    within_one = max(rows, columns) > 1 and all(0 <= number <= 1 for polygon in polygons for number in polygon)
    if within_one and any(0 < number < 1 for polygon in polygons for number in polygon):
        raise DataError(
            "polygons with all coordinates within 0..1, fractions of the frame; expected pixels: "
            f"x times {columns}, y times {rows}"
        )


def _checked_polygon(polygon: Any) -> list[float]:
    try:
        points = np.asarray(polygon)
    except ValueError:
        points = np.empty((0, 0))
    if points.ndim != 1 or points.dtype.kind not in "iuf":
        raise DataError(f"a polygon is {shortened(polygon)}; expected a list of numbers [x0, y0, x1, y1, ..]")
    if len(points) < MIN_POLYGON_NUMBERS or len(points) % 2:
        raise DataError(f"a polygon has {len(points)} numbers; expected x, y pairs of at least 3 points")
    if not (np.abs(points) <= MAX_COORDINATE).all():
        raise DataError(f"a polygon has a coordinate that is not finite or beyond {MAX_COORDINATE:g} pixels")
    return points.astype(float).tolist()


def _checked_runs(counts: list[Any], rows: int, columns: int) -> list[int]:
    try:
        runs = np.asarray(counts)
    except ValueError:
        runs = np.empty((0, 0))
    if runs.ndim != 1 or (len(runs) and (runs.dtype.kind not in "iuf" or (runs != np.floor(runs)).any())):
        raise DataError("counts are a list of other things than whole numbers; expected run lengths in pixels")
    if (runs < 0).any() or (runs > rows * columns).any():
        raise DataError("counts hold a run that is negative or longer than the image")
    if int(runs.sum()) != rows * columns:
        raise DataError(_wrong_sum(int(runs.sum()), rows, columns))
    return counts if runs.dtype.kind in "iu" else runs.astype(np.int64).tolist()


def _wrong_sum(found: int, rows: int, columns: int) -> str:
    return f"the runs sum to {found} pixels; expected {rows} x {columns} = {rows * columns}"


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])


def _any_within(flags: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any flag is set in each (non-empty) stretch offsets[n]:offsets[n + 1]."""
    return np.logical_or.reduceat(flags, offsets[:-1])


def _read_values(
    chars: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], num_chars: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Base-32 numbers, lowest digit first, sign-extended from the last digit's top bit."""
    values = (chars[starts] & _DIGIT).astype(np.int64)
    for digit in range(1, int(num_chars.max())):
        longer = np.flatnonzero(num_chars > digit)
        values[longer] |= (chars[starts[longer] + digit] & _DIGIT).astype(np.int64) << (5 * digit)
    is_negative = (chars[ends] & _NEGATIVE) != 0
    values[is_negative] -= np.int64(1) << (5 * num_chars[is_negative])
    return values


def _undo_differences(values: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs from their differences: from a mask's fourth on, each value is relative to the run two before.

    Two running sums, over the even and over the odd places of the whole array, do it for all masks at once;
    what they held when a mask began is taken off again. A mask's first value belongs to no chain.
    """
    first = offsets[:-1]
    running = np.empty_like(values)
    np.cumsum(values[0::2], out=running[0::2])
    np.cumsum(values[1::2], out=running[1::2])
    before_third = running[first]
    before_second = np.where(first > 0, running[first - 1], 0)
    starts_even = first % 2 == 0
    num_values = np.diff(offsets)
    before_even = np.repeat(np.where(starts_even, before_third, before_second), num_values)
    before_odd = np.repeat(np.where(starts_even, before_second, before_third), num_values)
    running[0::2] -= before_even[0::2]
    running[1::2] -= before_odd[1::2]
    running[first] = values[first]
    return running
