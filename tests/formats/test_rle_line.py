"""JSON text of masks to a line: the same masks, and the same refusals, as the decoder that explains itself."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from vistrials.errors import DataError
from vistrials.formats import rle
from vistrials.formats.rle_line import FRAME_STEP, count_shared_by_pairs, scan_tracks

MASKS = np_st.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def scan(*items):
    """Sizes, areas and line of one track, or None."""
    (track,) = scan_tracks([json.dumps(items).encode()])
    return track


def non_empty(line):
    bounds = line.reshape(-1, 2)
    return bounds[bounds[:, 0] < bounds[:, 1]].tolist()


def test_hand_worked_masks():
    # Down the columns of 2 x 3 pixels: 1 off, 2 on, 3 off; then all on; then all off.
    masks = [rle.encode(np.array([[0, 1, 0], [1, 0, 0]])), rle.encode(np.ones((2, 3))), rle.encode(np.zeros((2, 3)))]
    sizes, areas, line = scan(masks[0], None, *masks[1:])
    assert sizes.tolist() == [[2, 3], [0, 0], [2, 3], [2, 3]]
    assert areas.tolist() == [2, 0, 6, 0]
    assert non_empty(line) == [[1, 1 + 2], [2 * FRAME_STEP, 2 * FRAME_STEP + 6]]


def as_list(mask):
    """An uncompressed run-length mask; an empty one begins with runs of 0 and ends with some, too."""
    encoded = rle.encode(mask)
    runs = rle.decode_runs([encoded]).lengths.tolist()
    return encoded | {"counts": runs if mask.any() else [0, 0, *runs, 0]}


@given(st.lists(st.none() | MASKS, max_size=8), st.sampled_from([rle.encode, as_list]))
def test_intervals_are_those_of_the_careful_decoder(drawn, encode):
    masks = [None if mask is None else encode(mask) for mask in drawn]
    sizes, areas, line = scan(*masks)
    present = [frame for frame, mask in enumerate(masks) if mask is not None]
    careful = rle.foreground_intervals(rle.decode_runs([masks[frame] for frame in present]))
    origins = np.repeat(np.array(present, dtype=np.int64) * FRAME_STEP, np.diff(careful.offsets))
    assert non_empty(line) == np.stack([careful.starts + origins, careful.ends + origins], axis=1).tolist()
    assert areas.tolist() == [0 if mask is None else mask.sum() for mask in drawn]
    assert sizes.tolist() == [[0, 0] if mask is None else list(mask.shape) for mask in drawn]
    assert (np.diff(line) >= 0).all()


# --- The JSON around the strings

MASK = '{"size": [2, 3], "counts": "123"}'  # runs of 1, 2 and 3


@pytest.mark.parametrize(
    "text",
    [
        f"[{MASK}]",
        f" [\t{MASK}\r\n] ",
        '[{"counts":"123","size":[2,3]}]',
        '[ { "size" : [ 2 , 3 ] , "counts" : "123" } ]',
        '[{"size": [2, 3], "counts": [1, 2, 3]}]',
        '[{"counts" : [ 1 , 2,3 ] , "size": [2, 3]}]',
    ],
)
def test_space_and_the_order_of_keys_do_not_matter(text):
    ((sizes, areas, line),) = scan_tracks([text.encode()])
    assert (sizes.tolist(), areas.tolist(), line.tolist()) == ([[2, 3]], [2], [1, 3])


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[null]", "[ null , null ]"])
def test_tracks_without_masks(text):
    ((sizes, areas, line),) = scan_tracks([text.encode()])
    assert len(sizes) == text.count("null") and not areas.any() and len(line) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[",
        "[null",
        "[null,",
        "[null,]",
        "[,null]",
        "[null null]",
        "[nul]",
        "[]]",
        "[null]]",
        "[null] null",
        "null",
        "[{}]",
        "[[]]",
        "[[[0, 0, 1, 0, 1, 1]]]",
        MASK,
        f"[{MASK}",
        f"[{MASK} {MASK}]",
        '[{"size": [2, 3]}]',
        '[{"counts": "123"}]',
        '[{"size": [2, 3], "size": [2, 3]}]',
        '[{"counts": "123", "counts": "123"}]',
        '[{"size": [2, 3], "counts": "123", "id": 1}]',
        '[{"size": [2, 3], "counts": []}]',
        '[{"size": [2, 3], "counts": [1, 2]}]',
        '[{"size": [2, 3], "counts": [1, 2, 3, 1]}]',
        '[{"size": [2, 3], "counts": [1, 2, -1, 4]}]',
        '[{"size": [2, 3], "counts": [1, 2.0, 3]}]',
        '[{"size": [2, 3], "counts": [01, 2, 3]}]',
        '[{"size": [2, 3], "counts": [1, 2, 3,]}]',
        '[{"size": [2, 3], "counts": [1, 2, 3}]',
        '[{"size": [2, 3], "counts": [6, null]}]',
        '[{"size": [2, 3], "counts": [999999999, 9]}]',
        '[{"size": [2, 3], "counts": "12"}]',
        '[{"size": [2, 3], "counts": ""}]',
        '[{"size": [0, 3], "counts": "123"}]',
        '[{"size": [02, 3], "counts": "123"}]',
        '[{"size": [-2, -3], "counts": "123"}]',
        '[{"size": [2.0, 3], "counts": "123"}]',
        '[{"size": [2, 3, 1], "counts": "123"}]',
        '[{"size": [2, 99999999999999999999], "counts": "123"}]',
        '[{"size": [2, 3], "counts": "123}]',
        '[{"size": [2, 3], "counts": "12\\u0033"}]',
        '[{"size": [2, 3], "counts": "123\\',
    ],
)
def test_anything_else_is_left_to_the_careful_decoder(text):
    before, track, after = scan_tracks([f"[{MASK}]".encode(), text.encode(), f"[{MASK}, null]".encode()])
    assert track is None
    # Its neighbours are none the worse.
    assert (before[1].tolist(), before[2].tolist()) == ([2], [1, 3])
    assert (after[1].tolist(), after[2].tolist()) == ([2, 0], [1, 3])


def test_a_backslash_is_a_character_of_runs_and_stands_twice_in_json():
    # It says that more follow and holds 12: with "2" that is 12 + 2 * 32 = 76.
    assert json.dumps("\\2") == '"\\\\2"'
    sizes, areas, line = scan({"size": [1, 80], "counts": "\\24"})
    assert (areas.tolist(), line.tolist()) == ([4], [76, 80])


@given(st.binary(max_size=60) | st.text('[]{}",:0123 nulsizecoPo\\', max_size=60).map(str.encode))
def test_no_text_breaks_the_scanner(text):
    for track in scan_tracks([text, b"[null]"])[1:]:
        assert track is not None and track[0].tolist() == [[0, 0]]


# --- Shared pixels


def bounds(pixels):
    """Ascending bounds of the stretches of a bool array."""
    return np.flatnonzero(np.diff(np.concatenate([[0], pixels.astype(np.int8), [0]])))


def test_shared_pixels_by_hand():
    # 2..5 and 8..10 against 4..9 share 4 and 8; nothing lies in an empty interval.
    line, other = np.array([2, 5, 6, 6, 8, 10]), np.array([4, 9])
    shared = count_shared_by_pairs(line, np.array([6]), np.concatenate([other, [20, 30]]), np.array([2, 4]))
    assert shared.tolist() == [[1 + 1, 0]]


LINES = st.lists(np_st.arrays(bool, 40), min_size=1, max_size=3)


@given(LINES, LINES)
def test_shared_pixels_of_every_pair(lines, others):
    def joined(side):
        each = [bounds(pixels) for pixels in side]
        return np.concatenate(each), np.cumsum([len(one) for one in each])

    shared = count_shared_by_pairs(*joined(lines), *joined(others))
    assert shared.tolist() == [[int((line & other).sum()) for other in others] for line in lines]


# --- Strings


def test_runs_of_many_characters():
    rng = np.random.default_rng(0)
    for height, width in [(720, 1280), (2000, 3000)]:
        masks = []
        for _ in range(6):
            mask = np.zeros((height, width), dtype=bool)
            for _ in range(4):
                x, y = rng.integers(0, width - 10), rng.integers(0, height - 10)
                mask[y : y + rng.integers(1, height), x : x + rng.integers(1, width)] ^= True
            masks.append(rle.encode(mask))
        intervals = rle.foreground_intervals(rle.decode_runs(masks))
        _, areas, line = scan(*masks)
        starts = intervals.starts + np.repeat(np.arange(6) * FRAME_STEP, np.diff(intervals.offsets))
        assert [start for start, _ in non_empty(line)] == starts.tolist()
        assert areas.tolist() == intervals.areas().tolist()


def is_refused(masks):
    try:
        rle.decode_runs(masks)
    except DataError:
        return True
    return False


GOOD = rle.encode(np.eye(4))["counts"]
ALPHABET = "".join(map(chr, range(48, 112)))


@st.composite
def damaged(draw):
    """A sound string with a few characters changed, or any few characters."""
    text = draw(st.sampled_from([GOOD, rle.encode(np.ones((4, 4)))["counts"], rle.encode(np.zeros((4, 4)))["counts"]]))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(ALPHABET, max_size=2)) + text[at + draw(st.integers(0, 2)) :]
    return draw(st.just(text) | st.text(ALPHABET + "/pé", max_size=12))


@given(damaged(), st.lists(st.sampled_from([GOOD]), max_size=2), st.lists(st.sampled_from([GOOD]), max_size=2))
@example("", [], [GOOD])
@example(GOOD + "P", [], [GOOD])
@example("O0", [GOOD], [])
@example("ooooooooo0", [GOOD], [])
@example("P" * 40 + "0", [], [])
def test_a_string_is_refused_if_and_only_if_the_careful_decoder_refuses_it(text, before, after):
    masks = [{"size": [4, 4], "counts": counts} for counts in [*before, text, *after]]
    assert (scan(*masks) is None) == is_refused(masks)


@given(st.lists(st.integers(-(1 << 29), (1 << 29) - 1), min_size=1, max_size=8), st.integers(1, 1 << 28))
def test_huge_numbers_never_pass_for_a_mask(values, num_pixels):
    text = "".join(_written(value) for value in values)
    masks = [{"size": [1, num_pixels], "counts": text}, {"size": [1, 3], "counts": "3"}]
    assert (scan(*masks) is None) == is_refused(masks)


@given(st.lists(st.lists(st.integers(-9, 30), max_size=7), min_size=1, max_size=3))
@example([[10, -3]])
@example([[4, 10, -3]])
def test_a_negative_run_is_refused_although_the_runs_fill_the_mask(all_runs):
    masks = []
    for runs in all_runs:
        runs = [*runs, 16 - sum(runs)]
        # From the fourth on, a string holds the difference to the run two before.
        values = [run - runs[place - 2] if place > 2 else run for place, run in enumerate(runs)]
        masks.append({"size": [4, 4], "counts": "".join(_written(value) for value in values)})
        assert is_refused(masks[-1:]) == (min(runs) < 0)
    assert (scan(*masks) is None) == is_refused(masks)


def _written(value):
    """A number as in a run-length string."""
    text = ""
    while True:
        digit, value = value & 0x1F, value >> 5
        more = value != (-1 if digit & 0x10 else 0)
        text += chr(48 + digit + (0x20 if more else 0))
        if not more:
            return text
