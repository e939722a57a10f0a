"""Run-length strings on a line: the same masks, and the same refusals, as the decoder that explains itself."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from vistrials.errors import DataError
from vistrials.geometry import rle
from vistrials.geometry.rle_line import FRAME_STEP, decode_line

MASKS = np_st.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def decode(masks, places=None):
    counts = [mask["counts"] for mask in masks]
    num_pixels = np.array([mask["size"][0] * mask["size"][1] for mask in masks])
    return decode_line(counts, num_pixels, np.arange(len(masks)) if places is None else np.array(places))


def non_empty(line):
    bounds = line.bounds.reshape(-1, 2)
    return bounds[bounds[:, 0] < bounds[:, 1]].tolist()


def test_hand_worked_masks():
    # Down the columns of 2 x 3 pixels: 1 off, 2 on, 3 off; then all on; then all off.
    masks = [rle.encode(np.array([[0, 1, 0], [1, 0, 0]])), rle.encode(np.ones((2, 3))), rle.encode(np.zeros((2, 3)))]
    line = decode(masks, places=[0, 2, 3])
    assert line.areas.tolist() == [2, 6, 0]
    assert non_empty(line) == [[1, 1 + 2], [2 * FRAME_STEP, 2 * FRAME_STEP + 6]]


@given(st.lists(st.tuples(MASKS, st.integers(1, 3)), min_size=1, max_size=6))
def test_intervals_are_those_of_the_careful_decoder(drawn):
    masks = [rle.encode(mask) for mask, _ in drawn]
    places = np.cumsum([gap for _, gap in drawn])
    line = decode(masks, places)
    careful = rle.foreground_intervals(rle.decode_runs(masks))
    origins = np.repeat(places * FRAME_STEP, np.diff(careful.offsets))
    assert non_empty(line) == np.stack([careful.starts + origins, careful.ends + origins], axis=1).tolist()
    assert line.areas.tolist() == [mask.sum() for mask, _ in drawn]
    for n, place in enumerate(places):
        own = line.bounds.reshape(-1, 2)[line.offsets[n] : line.offsets[n + 1]]
        assert ((own >= place * FRAME_STEP) & (own <= place * FRAME_STEP + 81)).all()


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
        line = decode(masks)
        starts = intervals.starts + np.repeat(np.arange(6) * FRAME_STEP, np.diff(intervals.offsets))
        assert [start for start, _ in non_empty(line)] == starts.tolist()
        assert line.areas.tolist() == intervals.areas().tolist()


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
    assert (decode(masks) is None) == is_refused(masks)


@given(st.lists(st.integers(-(1 << 29), (1 << 29) - 1), min_size=1, max_size=8), st.integers(1, 1 << 28))
def test_huge_numbers_never_pass_for_a_mask(values, num_pixels):
    text = "".join(_written(value) for value in values)
    masks = [{"size": [1, num_pixels], "counts": text}, {"size": [1, 3], "counts": "3"}]
    assert (decode(masks) is None) == is_refused(masks)


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
    assert (decode(masks) is None) == is_refused(masks)


def _written(value):
    """A number as in a run-length string."""
    text = ""
    while True:
        digit, value = value & 0x1F, value >> 5
        more = value != (-1 if digit & 0x10 else 0)
        text += chr(48 + digit + (0x20 if more else 0))
        if not more:
            return text
