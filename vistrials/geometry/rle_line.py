"""Run-length strings to intervals as fast as arrays allow: the way of nearly every mask that is scored.

`rle.decode_runs` says what is wrong with a mask. Here a fault is only noticed, which takes a few checks of whole
arrays in place of a search, and three running sums work out the runs of all masks at once.

In a string each run is the difference to the run two before, except the first three. It takes one character for each
5 bits, lowest first: of the 6 bits of a character, 0x20 says that more follow, and 0x10 of the last is the sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.geometry.rle import MAX_CHARS_PER_RUN, MAX_PIXELS

FRAME_STEP = 2 * MAX_PIXELS
"""From where a mask begins on the line to where the next may: even the largest does not touch it."""

_FIRST_CHAR = 48
_CONTINUES, _DIGIT, _SIGN = 0x20, 0x1F, 0x10
_ZERO = "0"
"""The run-length string of 0."""

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class LineIntervals:
    """The foreground of N masks on a line, where mask n begins at places[n] * FRAME_STEP.

    Attributes:
        bounds: int64 [2 * I], start and end of every foreground interval, ascending: where the mask begins + pixel
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
        places: int64 [N], ascending and distinct.

    Returns:
        The intervals, or None if any string is not a mask of so many pixels (`rle.decode_runs` says which, and why).
    """
    # With one run more, of no pixels, all masks that end with background have as many runs of one kind as the other.
    split = _split(_ZERO.join(counts) + _ZERO, counts)
    if split is None:
        return None
    chars, ends, offsets = split
    is_odd = np.diff(offsets) % 2 == 1
    if is_odd.any():
        counts = [text + _ZERO if odd else text for text, odd in zip(counts, is_odd, strict=True)]
        split = _split(_ZERO.join(counts) + _ZERO, counts)
        assert split is not None
        chars, ends, offsets = split

    values = _short_values(chars).take(ends).astype("<i4")
    is_long = np.flatnonzero(values > 511)
    long_values = _long_values(chars, ends[is_long])
    if long_values is None:
        return None
    values[is_long] = long_values
    runs = _undo_differences(values.reshape(-1, 2), offsets // 2)
    runs[offsets[1:] // 2 - 1, 1] = 0
    runs[offsets[1:][is_odd] // 2 - 1, 0] = 0

    origins = places * FRAME_STEP
    first, steps = offsets[:-1], runs.ravel().astype(np.int64)
    steps[first] += origins
    steps[first[1:]] -= (origins + num_pixels)[:-1]
    bounds = np.cumsum(steps, out=steps)
    if runs.min() < 0 or (bounds[offsets[1:] - 1] != origins + num_pixels).any():
        return None
    return LineIntervals(bounds, offsets // 2, np.add.reduceat(runs[:, 1], first // 2, dtype=np.int64))


def _split(text: str, counts: Sequence[str]) -> tuple[NDArray[np.uint8], Int64s, Int64s] | None:
    """Find the numbers in strings, each followed by a zero.

    Returns:
        Characters as 6 bits uint8 [C], the place of each number's last character int64 [V], and the numbers that each
        string owns int64 [N + 1]; None if there are other characters, empty strings or unfinished numbers.
    """
    num_chars = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    if num_chars.min() == 0 or not text.isascii():
        return None
    chars = np.frombuffer(text.encode(), dtype=np.uint8) - np.uint8(_FIRST_CHAR)
    offsets = np.concatenate([[0], np.cumsum(num_chars + 1)])
    if chars.max() > 63 or (chars[offsets[1:] - 2] >= _CONTINUES).any():
        return None
    ends = np.flatnonzero(chars < _CONTINUES)
    return chars, ends, np.searchsorted(ends, offsets)


def _short_values(chars: NDArray[np.uint8]) -> NDArray[np.int16]:
    """At each last character the value of the one or two that end there; 512 and above if there are more than two."""
    # All in 16 bits: a ufunc on mixed types converts piece by piece, which takes longer than the sum itself.
    wide = chars.astype(np.int16)
    digits, continues = wide & _DIGIT, wide >> 5
    values = (digits ^ _SIGN) - _SIGN
    digits *= continues
    values[2:] += (continues[:-2] & continues[1:-1]) << 5
    values[1:] *= continues[:-1] * 31 + 1
    values[1:] += digits[:-1]
    return values


def _long_values(chars: NDArray[np.uint8], ends: Int64s) -> Int64s | None:
    """The values of three and more characters whose last are given; None if one has too many."""
    values = ((chars[ends] & _DIGIT).astype(np.int64) ^ _SIGN) - _SIGN
    values = (values << 10) + ((chars[ends - 1] & _DIGIT).astype(np.int64) << 5) + (chars[ends - 2] & _DIGIT)
    longer, before = np.arange(len(ends)), ends - 3
    for _ in range(MAX_CHARS_PER_RUN - 2):
        # Before the first character comes index -1, the very last character, which never continues.
        more = chars[before] >= _CONTINUES
        longer, before = longer[more], before[more]
        if len(longer) == 0:
            return values
        values[longer] = (values[longer] << 5) + (chars[before] & _DIGIT)
        before -= 1
    return None


def _undo_differences(differences: NDArray[np.int32], offsets: Int64s) -> NDArray[np.int32]:
    """Runs int32 [I, 2] from their differences, background and foreground side by side in one 64-bit number.

    One running sum then adds up both, several times as fast as two of every other element. It is exact as long as no
    background run is negative, and one that is stays visible as such: a difference is below 2**30.
    """
    first = offsets[:-1]
    # A mask's third value stands for itself; written as a difference to the first it is one like those after it.
    longer = first[np.diff(offsets) > 1]
    differences[longer + 1, 0] -= differences[longer, 0]
    # A negative lower half reads as 2**32 more, which the upper half has to give back.
    differences[:, 1] -= differences[:, 0] < 0
    pairs = differences.reshape(-1).view("<i8")
    pairs[first[1:]] -= np.add.reduceat(pairs, first)[:-1]
    return np.cumsum(pairs).view("<i4").reshape(-1, 2)
