"""From the JSON text of a track's masks to intervals, compiled: the way of nearly every mask that is scored.

Only the common forms pass: a list of null and of {"size": [h, w], "counts": "run-length string" or [run, ..]}. Of
anything else, and of a faulty mask, `scan_tracks` says no more than that; `rle.decode_runs` takes all forms and says
what is wrong.

In a string each run is the difference to the run two before, except the first three. It takes one character for each
5 bits, lowest first: of the 6 bits of a character, 0x20 says that more follow, and 0x10 of the last is the sign.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vistrials.formats.rle import MAX_CHARS_PER_RUN, MAX_PIXELS

FRAME_STEP = 2 * MAX_PIXELS
"""From where a mask begins on the line to where the next may: even the largest does not touch it."""

_FIRST_CHAR = 48
_CONTINUES, _DIGIT, _SIGN_BIT = 0x20, 0x1F, 4
_MAX_DIGITS = 9
_FAULT = -1

_QUOTE, _COMMA, _COLON, _OPEN, _BACKSLASH, _CLOSE, _OPEN_OBJECT, _CLOSE_OBJECT = map(ord, '",:[\\]{}')
_NULL, _SIZE, _COUNTS = (np.frombuffer(word, dtype=np.uint8) for word in (b"null", b'"size"', b'"counts"'))

Bytes = NDArray[np.uint8]
Int64s = NDArray[np.int64]


def scan_tracks(texts: Sequence[Any]) -> list[tuple[Int64s, Int64s, Int64s] | None]:
    """Decode the masks of tracks that are given as JSON text.

    Args:
        texts: a buffer per track with a JSON list of F items, one per frame: null, or a run-length mask.

    Returns:
        For each track None if its list holds anything else, or a mask whose runs do not fill its size; otherwise
        sizes: int64 [F, 2], mask height and width in pixels; 0, 0 for null.
        areas: int64 [F], foreground pixels; 0 for null.
        line: int64 [2 * I], start and end of every foreground interval: f * FRAME_STEP + pixel number (column * height
            + row), and one past the last. An interval may be empty.
    """
    first = np.cumsum([0, *(len(memoryview(text)) for text in texts)])
    chars = np.frombuffer(b"".join(texts), dtype=np.uint8)
    # The shortest item is null with its comma, the shortest run one character. What is not written to costs nothing.
    sizes = np.empty((len(chars) // 4 + len(texts), 2), dtype=np.int64)
    areas = np.empty(len(sizes), dtype=np.int64)
    line = np.empty(len(chars), dtype=np.int64)
    ends = np.empty((len(texts), 2), dtype=np.int64)
    is_sound = _scan_lists(chars, first, sizes, areas, line, ends)
    begins = np.concatenate([[(0, 0)], ends[:-1]]).tolist() if len(texts) else []
    return [
        (sizes[frame:end_frame], areas[frame:end_frame], line[bound:end_bound]) if sound else None
        for (frame, bound), (end_frame, end_bound), sound in zip(begins, ends.tolist(), is_sound, strict=True)
    ]


@njit(nogil=True, cache=True)
def count_shared_by_pairs(lines: Int64s, ends: Int64s, others: Int64s, other_ends: Int64s) -> Int64s:
    """How much every two lists of ascending bounds, start and end of each interval, have in common.

    Args:
        lines: int64, D lists one after the other.
        ends: int64 [D], where in `lines` each ends.
        others: int64, G lists likewise.
        other_ends: int64 [G].

    Returns:
        int64 [D, G].
    """
    shared = np.empty((len(ends), len(other_ends)), dtype=np.int64)
    for d in range(len(ends)):
        line = lines[ends[d - 1] if d else 0 : ends[d]]
        for g in range(len(other_ends)):
            shared[d, g] = _count_shared(line, others[other_ends[g - 1] if g else 0 : other_ends[g]])
    return shared


@njit(nogil=True, cache=True)
def count_shared_by_frame(lines: Int64s, ends: Int64s, others: Int64s, other_ends: Int64s, num_frames: int) -> Int64s:
    """As `count_shared_by_pairs`, frame by frame: int64 [D, G, F]."""
    firsts, other_firsts = _first_of_frames(lines, ends, num_frames), _first_of_frames(others, other_ends, num_frames)
    shared = np.zeros((len(ends), len(other_ends), num_frames), dtype=np.int64)
    for d in range(len(ends)):
        for g in range(len(other_ends)):
            for f in range(num_frames):
                line = lines[firsts[d, f] : firsts[d, f + 1]]
                other = others[other_firsts[g, f] : other_firsts[g, f + 1]]
                # Most objects are not even in the same columns.
                if len(line) and len(other) and line[0] < other[-1] and other[0] < line[-1]:
                    shared[d, g, f] = _count_shared(line, other)
    return shared


@njit(nogil=True, cache=True)
def _first_of_frames(lines: Int64s, ends: Int64s, num_frames: int) -> Int64s:
    """Where in `lines` the intervals of each list and frame begin, int64 [D, F + 1]; last where the list ends."""
    firsts = np.empty((len(ends), num_frames + 1), dtype=np.int64)
    at = 0
    for d in range(len(ends)):
        for f in range(num_frames):
            while at < ends[d] and lines[at] < f * FRAME_STEP:
                at += 2
            firsts[d, f] = at
        at = ends[d]
        firsts[d, num_frames] = at
    return firsts


@njit(nogil=True, cache=True)
def _count_shared(line: Int64s, other: Int64s) -> int:
    shared = i = j = 0
    while i < len(line) and j < len(other):
        if line[i + 1] <= other[j]:
            i = _first_after(line, i + 2, other[j])
        elif other[j + 1] <= line[i]:
            j = _first_after(other, j + 2, line[i])
        else:
            end, other_end = line[i + 1], other[j + 1]
            shared += min(end, other_end) - max(line[i], other[j])
            # Without a branch, since which of the two ends first cannot be foreseen.
            i += 2 * (end <= other_end)
            j += 2 * (other_end <= end)
    return shared


@njit(nogil=True, cache=True)
def _first_after(line: Int64s, at: int, place: int) -> int:
    """Move on over intervals that end before a place, as long as four at once do: objects often lie apart."""
    while at + 8 <= len(line) and line[at + 7] <= place:
        at += 8
    return at


@njit(nogil=True, cache=True)
def _scan_lists(
    text: Bytes, first: Int64s, sizes: Int64s, areas: Int64s, line: Int64s, ends: Int64s
) -> NDArray[np.bool_]:
    """Fill sizes, areas and line track by track, and ends with how far; which tracks are sound."""
    is_sound = np.empty(len(ends), dtype=np.bool_)
    frame = bound = 0
    for n in range(len(ends)):
        num_frames, num_bounds = _scan_list(text[first[n] : first[n + 1]], sizes[frame:], areas[frame:], line[bound:])
        is_sound[n] = num_frames != _FAULT
        if is_sound[n]:
            frame += num_frames
            bound += num_bounds
        ends[n, 0], ends[n, 1] = frame, bound
    return is_sound


# The functions below read `text` from place `at` and return the place behind what they read, _FAULT where it is not
# there. A place that is _FAULT goes through all of them, so that a caller may look at the last one alone.


@njit(nogil=True, cache=True)
def _scan_list(text: Bytes, sizes: Int64s, areas: Int64s, line: Int64s) -> tuple[int, int]:
    """Fill sizes, areas and line; the number of frames and of bounds, or _FAULT and 0."""
    at = _skip_char(text, 0, _OPEN)
    frame = filled = 0
    end = _skip_char(text, at, _CLOSE)
    if end != _FAULT:
        return (0, 0) if _skip_space(text, end) == len(text) else (_FAULT, 0)
    while at != _FAULT:
        after_null = _skip_word(text, at, _NULL)
        if after_null != _FAULT:
            at, sizes[frame], areas[frame] = after_null, 0, 0
        else:
            at, filled, areas[frame] = _scan_mask(text, at, frame * FRAME_STEP, sizes[frame], line, filled)
        frame += 1
        end = _skip_char(text, at, _CLOSE)
        if end != _FAULT:
            return (frame, filled) if _skip_space(text, end) == len(text) else (_FAULT, 0)
        at = _skip_char(text, at, _COMMA)
    return _FAULT, 0


@njit(nogil=True, cache=True)
def _scan_mask(text: Bytes, at: int, origin: int, size: Int64s, line: Int64s, filled: int) -> tuple[int, int, int]:
    """Read one object with size and counts, in any order; also how far the line is filled, and the area."""
    area, num_pixels, has_size = 0, -1, False
    at = _skip_char(text, at, _OPEN_OBJECT)
    for key in range(2):
        if key == 1:
            at = _skip_char(text, at, _COMMA)
        after_size = _skip_word(text, at, _SIZE)
        if after_size != _FAULT and not has_size:
            has_size = True
            at = _skip_char(text, _skip_char(text, after_size, _COLON), _OPEN)
            at, size[0] = _read_number(text, at, False)
            at, size[1] = _read_number(text, _skip_char(text, at, _COMMA), False)
            at = _skip_char(text, at, _CLOSE)
        elif num_pixels < 0:
            at = _skip_char(text, _skip_word(text, at, _COUNTS), _COLON)
            in_list = _skip_char(text, at, _OPEN)
            if in_list != _FAULT:
                at, filled, area, num_pixels = _read_run_list(text, in_list, origin, line, filled)
            else:
                at = _skip_char(text, at, _QUOTE)
                at, filled, area, num_pixels = _read_runs(text, at, origin, line, filled)
        else:
            return _FAULT, filled, area
    at = _skip_char(text, at, _CLOSE_OBJECT)
    if not has_size or num_pixels < 1 or size[0] * size[1] != num_pixels:
        return _FAULT, filled, area
    return at, filled, area


@njit(nogil=True, cache=True)
def _read_runs(text: Bytes, at: int, origin: int, line: Int64s, filled: int) -> tuple[int, int, int, int]:
    """Read a run-length string behind its opening quote; also how far the line is filled, area and pixels in all."""
    before = run = index = area = 0
    place = origin
    while 0 <= at < len(text):
        value, shift, more = 0, 0, True
        while more:
            if at == len(text) or shift == 5 * MAX_CHARS_PER_RUN:
                return _FAULT, filled, area, 0
            char: Any = np.int64(text[at])
            at += 1
            if char == _BACKSLASH:
                # In JSON text it stands twice; no other escape is a run's character.
                if at == len(text) or text[at] != _BACKSLASH:
                    return _FAULT, filled, area, 0
                at += 1
            bits = char - _FIRST_CHAR
            if bits < 0 or bits > 63:
                if char != _QUOTE or shift > 0:
                    return _FAULT, filled, area, 0
                # Each run's end is a bound, but for a last one of background.
                return at, filled - (index & 1), area, place - origin
            value |= (bits & _DIGIT) << shift
            shift += 5
            more = bits & _CONTINUES != 0
        value -= (bits >> _SIGN_BIT & 1) << shift
        if index > 2:
            value += before
        if value < 0 or place + value > origin + MAX_PIXELS:
            return _FAULT, filled, area, 0
        place += value
        line[filled] = place
        filled += 1
        area += value & -(index & 1)
        before, run = run, value
        index += 1
    return _FAULT, filled, area, 0


@njit(nogil=True, cache=True)
def _read_run_list(text: Bytes, at: int, origin: int, line: Int64s, filled: int) -> tuple[int, int, int, int]:
    """Read runs in a list behind its opening bracket; as `_read_runs`."""
    index = area = 0
    place = origin
    while at != _FAULT:
        at, value = _read_number(text, at, True)
        if at == _FAULT or place + value > origin + MAX_PIXELS:
            return _FAULT, filled, area, 0
        place += value
        line[filled] = place
        filled += 1
        area += value & -(index & 1)
        index += 1
        end = _skip_char(text, at, _CLOSE)
        if end != _FAULT:
            return end, filled - (index & 1), area, place - origin
        at = _skip_char(text, at, _COMMA)
    return _FAULT, filled, area, 0


@njit(nogil=True, cache=True)
def _read_number(text: Bytes, at: int, may_be_zero: bool) -> tuple[int, int]:
    """Read digits; also their value."""
    at = first = _skip_space(text, at)
    value: Any = 0
    while 0 <= at < len(text) and 48 <= text[at] <= 57 and at - first < _MAX_DIGITS:
        value = 10 * value + np.int64(text[at]) - 48
        at += 1
    # No size is 0, nor does a longer number in JSON begin with one.
    if at == first or (text[first] == 48 and not (may_be_zero and at == first + 1)):
        return _FAULT, 0
    return at, value


@njit(nogil=True, cache=True)
def _skip_word(text: Bytes, at: int, word: Bytes) -> int:
    at = _skip_space(text, at)
    if at == _FAULT or at + len(word) > len(text):
        return _FAULT
    for place in range(len(word)):
        if text[at + place] != word[place]:
            return _FAULT
    return at + len(word)


@njit(nogil=True, cache=True)
def _skip_char(text: Bytes, at: int, char: int) -> int:
    at = _skip_space(text, at)
    return at + 1 if 0 <= at < len(text) and text[at] == char else _FAULT


@njit(nogil=True, cache=True)
def _skip_space(text: Bytes, at: int) -> int:
    while 0 <= at < len(text) and (text[at] == 32 or 9 <= text[at] <= 10 or text[at] == 13):
        at += 1
    return at
