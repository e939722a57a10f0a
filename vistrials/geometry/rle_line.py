"""Run-length strings to intervals, compiled: the way of nearly every mask that is scored.

`rle.decode_runs` says what is wrong with a mask; here a fault is only noticed.

In a string each run is the difference to the run two before, except the first three. It takes one character for each
5 bits, lowest first: of the 6 bits of a character, 0x20 says that more follow, and 0x10 of the last is the sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vistrials.geometry.rle import MAX_CHARS_PER_RUN, MAX_PIXELS

FRAME_STEP = 2 * MAX_PIXELS
"""From where a mask begins on the line to where the next may: even the largest does not touch it."""

_FIRST_CHAR = 48
_CONTINUES, _DIGIT, _SIGN = 0x20, 0x1F, 0x10

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class LineIntervals:
    """The foreground of N masks on a line, where mask n begins at places[n] * FRAME_STEP.

    Attributes:
        bounds: int64 [2 * I], start and end of every foreground interval: where the mask begins + pixel
            number (column * height + row), and one past the last. An interval may be empty.
        offsets: int64 [N + 1]; mask n owns the intervals offsets[n]:offsets[n + 1].
        areas: int64 [N], foreground pixels.
    """

    bounds: Int64s
    offsets: Int64s
    areas: Int64s


def decode_line(counts: Sequence[str], num_pixels: Int64s, places: Int64s) -> LineIntervals | None:
    """Decode run-length strings to foreground intervals on a line.

    Args:
        counts: N strings, at least one.
        num_pixels: int64 [N], height * width, at most MAX_PIXELS.
        places: int64 [N], where each mask begins, in steps of FRAME_STEP.

    Returns:
        The intervals, or None if any string is not a mask of so many pixels (`rle.decode_runs` says which, and why).
    """
    text = "".join(counts)
    if not text.isascii():
        return None
    chars = np.frombuffer(text.encode(), dtype=np.uint8)
    first = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, counts), dtype=np.int64, count=len(counts)), out=first[1:])
    # Each interval takes two characters at least, but for a last one.
    bounds = np.empty(len(chars) + len(counts), dtype=np.int64)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    areas = np.empty(len(counts), dtype=np.int64)
    if not _decode(chars, first, places * FRAME_STEP, num_pixels, bounds, offsets, areas):
        return None
    return LineIntervals(bounds[: 2 * offsets[-1]], offsets, areas)


@njit(nogil=True, cache=True)
def count_shared(line: Int64s, other: Int64s) -> int:
    """How much two lists of ascending bounds, start and end of each interval, have in common."""
    shared = i = j = 0
    while i < len(line) and j < len(other):
        # Objects that lie apart are most: loops that go on as before cost a processor next to nothing.
        while i < len(line) and line[i + 1] <= other[j]:
            i += 2
        if i == len(line):
            break
        while j < len(other) and other[j + 1] <= line[i]:
            j += 2
        if j == len(other):
            break
        end, other_end = line[i + 1], other[j + 1]
        shared += max(0, min(end, other_end) - max(line[i], other[j]))
        # Without a branch, since which of the two ends first cannot be foreseen.
        i += 2 * (end <= other_end)
        j += 2 * (other_end <= end)
    return shared


@njit(nogil=True, cache=True)
def _decode(
    chars: NDArray[np.uint8],
    first: Int64s,
    origins: Int64s,
    num_pixels: Int64s,
    bounds: Int64s,
    offsets: Int64s,
    areas: Int64s,
) -> bool:
    """Fill bounds, offsets and areas; False if a string is none. The strings are chars[first[n]:first[n + 1]]."""
    filled = 0
    for n in range(len(areas)):
        place, position = origins[n], first[n]
        end = place + num_pixels[n]
        before = run = index = area = 0
        while position < first[n + 1]:
            value, shift, more = 0, 0, True
            while more:
                if position == first[n + 1] or shift == 5 * MAX_CHARS_PER_RUN:
                    return False
                bits: Any = np.int64(chars[position]) - _FIRST_CHAR
                if bits < 0 or bits > 63:
                    return False
                value |= (bits & _DIGIT) << shift
                shift += 5
                position += 1
                more = bits & _CONTINUES != 0
                if not more and bits & _SIGN:
                    value -= 1 << shift
            if index > 2:
                value += before
            if value < 0 or place + value > end:
                return False
            if index % 2:
                bounds[filled] = place
                bounds[filled + 1] = place + value
                filled += 2
                area += value
            place += value
            before, run = run, value
            index += 1
        if place != end:
            return False
        offsets[n + 1] = filled // 2
        areas[n] = area
    return True
