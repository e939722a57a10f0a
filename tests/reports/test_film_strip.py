import numpy as np
import pytest

from vistrials.reports.film_strip import StripRow, assign_colours, render_film_strip
from vistrials.reports.painting import PALETTE, DrawnObject

SIZE = HEIGHT, WIDTH = 96, 160
# Drawn twice as large, with a gap of 320 // 80 pixels and bands of round(1.6 * (320 // 22)) pixels.
SHOWN_HEIGHT, SHOWN_WIDTH, GAP, BAND = 192, 320, 4, 22


def box(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def thing(track: int, mask: np.ndarray, score: float | None = None, label: str = "disc") -> DrawnObject:
    return DrawnObject(track, label, score, mask)


def black(num_frames: int) -> list[np.ndarray]:
    return [np.zeros((*SIZE, 3), np.uint8) for _ in range(num_frames)]


def cell(strip: np.ndarray, row: int, column: int) -> np.ndarray:
    y, x = BAND + row * (BAND + SHOWN_HEIGHT) + BAND, column * (SHOWN_WIDTH + GAP)
    return strip[y : y + SHOWN_HEIGHT, x : x + SHOWN_WIDTH]


def where(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (pixels == np.array(colour, np.uint8)).all(axis=2)


LEFT, RIGHT = box(10, 40, 40, 40), box(90, 40, 40, 40)


# --- Pixels


def test_a_strip_has_a_column_for_each_frame_and_a_row_for_each_source() -> None:
    rows = [StripRow("ground truth", [[], [], []]), StripRow("baseline (seed 0)", [[], [], []])]
    strip = render_film_strip(black(3), rows, [0, 7, 15])
    assert strip.dtype == np.uint8
    assert strip.shape == (BAND + 2 * (BAND + SHOWN_HEIGHT), 3 * SHOWN_WIDTH + 2 * GAP, 3)
    for row in range(2):
        for column in range(3):
            assert not cell(strip, row, column).any()
    # Frame numbers, titles and white between them.
    above, title = strip[:BAND], strip[BAND : 2 * BAND]
    for column in range(3):
        part = above[:, column * (SHOWN_WIDTH + GAP) :][:, :SHOWN_WIDTH]
        assert part.min() < 50 and (part == 255).mean() > 0.8
    assert title[:, :100].min() < 50 and (title[:, -100:] == 255).all()


@pytest.mark.parametrize(
    ("width", "shown"), [(64, 320), (160, 320), (318, 636), (320, 320), (640, 640), (1280, 640), (1920, 640)]
)
def test_frames_become_legible_and_stay_handy(width: int, shown: int) -> None:
    frame = np.zeros((width // 2, width, 3), np.uint8)
    strip = render_film_strip([frame], [StripRow("x", [[]])], [0])
    assert strip.shape[1] == shown
    assert (strip == 0).all(axis=(1, 2)).sum() == shown // 2


def test_a_mask_is_a_translucent_fill_with_an_outline() -> None:
    frame = np.full((*SIZE, 3), 100, np.uint8)
    strip = render_film_strip([frame], [StripRow("x", [[thing(0, LEFT)]])], [0])
    pixels = cell(strip, 0, 0)
    # Twice the mask's columns 10..49 and rows 40..79; the outline is two pixels wide.
    inside = pixels[82:158, 22:98]
    assert (inside == np.round(100 + 0.4 * (np.array(PALETTE[0]) - 100))).all()
    assert where(pixels, PALETTE[0])[80:160, 20:100].sum() == 80**2 - 76**2
    assert (pixels[170:, 120:] == 100).all()


def test_input_is_left_as_it_is() -> None:
    frame, mask = np.full((*SIZE, 3), 100, np.uint8), LEFT.copy()
    render_film_strip([frame], [StripRow("x", [[thing(0, mask)]])], [0])
    assert (frame == 100).all() and (mask == LEFT).all()


def test_a_small_object_is_not_hidden_by_a_large_one() -> None:
    small = box(20, 50, 8, 8)
    for number in (0, 1):
        objects = [thing(number, LEFT), thing(1 - number, small)]
        pixels = cell(render_film_strip(black(1), [StripRow("x", [objects])], [0]), 0, 0)
        # Black under 40 % of the large one's colour, under 40 % of the small one's.
        expected = 0.6 * 0.4 * np.array(PALETTE[number]) + 0.4 * np.array(PALETTE[1 - number])
        assert np.abs(pixels[108, 48] - expected).max() <= 0.5


def label_box(pixels: np.ndarray, colour: tuple[int, int, int], below: int) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of what has a colour above a row."""
    rows, columns = np.nonzero(where(pixels[:below], colour))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_labels_of_one_place_do_not_cover_each_other_nor_the_objects() -> None:
    objects = [thing(track, box(60, 40, 40, 40), 0.5) for track in range(3)]
    pixels = cell(render_film_strip(black(1), [StripRow("x", [objects])], [0]), 0, 0)
    label = np.zeros(pixels.shape[:2], int)
    for track in range(3):
        chip = where(pixels, PALETTE[track])
        chip[80:160, 120:200] = False
        rows, columns = np.nonzero(chip)
        area = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        # Text covers less than half of its box; nothing else covers any of it.
        assert chip[area].mean() > 0.5 and rows.max() - rows.min() + 1 >= 16
        label[area] += 1
    assert label.max() == 1
    assert label[80:160, 120:200].sum() == 0


def test_a_label_at_the_border_stays_in_the_frame() -> None:
    for mask in (
        box(0, 0, 6, 6),
        box(154, 0, 6, 6),
        box(0, 90, 6, 6),
        box(154, 90, 6, 6),
        box(0, 0, 160, 96),
    ):
        plain = StripRow("x", [[thing(0, mask, label="")]])
        named = StripRow("x", [[thing(0, mask, 0.87, "hourglass")]])
        small, large = (
            where(cell(render_film_strip(black(1), [row], [0]), 0, 0), PALETTE[0]).sum() for row in (plain, named)
        )
        # "hourglass 0.87" at 13 pixels: a box of about 16 x 90, of which the text leaves more than half.
        assert large - small > 16 * 90 / 2


def test_the_score_is_part_of_the_label() -> None:
    boxes = [
        label_box(cell(render_film_strip(black(1), [row], [0]), 0, 0), PALETTE[0], below=78)
        for row in (StripRow("x", [[thing(0, LEFT, score)]]) for score in (None, 0.5))
    ]
    assert boxes[1][2] - boxes[1][0] > boxes[0][2] - boxes[0][0] + 20


def test_an_empty_mask_draws_nothing() -> None:
    strip = render_film_strip(black(1), [StripRow("x", [[thing(0, box(0, 0, 0, 0), 0.5)]])], [0])
    assert not cell(strip, 0, 0).any()


def test_a_row_that_lacks_a_frame_is_refused() -> None:
    with pytest.raises(ValueError):
        render_film_strip(black(2), [StripRow("x", [[]])], [0, 1])


# --- Colours


def test_a_track_keeps_its_colour_through_all_frames() -> None:
    objects = [[thing(4, LEFT), thing(2, RIGHT)], [thing(4, RIGHT)], [thing(2, LEFT)]]
    strip = render_film_strip(black(3), [StripRow("x", objects)], [0, 1, 2])
    # Colours go by the order of the numbers: 2 comes before 4.
    two, four = PALETTE[0], PALETTE[1]
    left, right = (slice(80, 160), slice(20, 100)), (slice(80, 160), slice(180, 260))
    assert where(cell(strip, 0, 0), four)[left].any() and where(cell(strip, 0, 0), two)[right].any()
    assert where(cell(strip, 0, 1), four)[right].any() and not where(cell(strip, 0, 1), two).any()
    assert where(cell(strip, 0, 2), two)[left].any() and not where(cell(strip, 0, 2), four).any()


def test_a_prediction_takes_the_colour_of_the_object_it_covers() -> None:
    truth = StripRow("truth", [[thing(0, LEFT), thing(1, RIGHT)]] * 2)
    found = StripRow("found", [[thing(0, box(90, 42, 40, 40)), thing(1, box(12, 40, 40, 40))]] * 2)
    true_colours, colours = assign_colours([truth, found])
    assert true_colours == {0: PALETTE[0], 1: PALETTE[1]}
    assert colours == {0: PALETTE[1], 1: PALETTE[0]}


def test_an_object_that_changes_its_track_changes_its_colour() -> None:
    truth = StripRow("truth", [[thing(0, LEFT)]] * 3)
    found = StripRow("found", [[thing(0, LEFT)], [thing(1, LEFT)], [thing(1, LEFT)]])
    # Track 1 covers the object in two frames, track 0 in one.
    assert assign_colours([truth, found])[1] == {1: PALETTE[0], 0: PALETTE[1]}


def test_false_alarms_get_colours_that_no_other_track_has() -> None:
    truth = StripRow("truth", [[thing(0, LEFT)]])
    touching = box(48, 40, 40, 40)  # 2 of 40 columns in common: IoU 2 / 78
    first = StripRow("first", [[thing(0, touching), thing(1, LEFT)]])
    second = StripRow("second", [[thing(5, touching)]])
    assert assign_colours([truth, first, second]) == [
        {0: PALETTE[0]},
        {0: PALETTE[1], 1: PALETTE[0]},
        {5: PALETTE[2]},
    ]


def test_more_tracks_than_colours_start_again() -> None:
    row = StripRow("x", [[thing(track, LEFT) for track in range(len(PALETTE) + 1)]])
    colours = assign_colours([row])[0]
    assert colours[len(PALETTE)] == colours[0] and len(set(colours.values())) == len(PALETTE)


# From linear RGB to the linear RGB that an eye without red, or without green, cones cannot tell from it.
# Source: Machado, Oliveira and Fernandes 2009, severity 1.
NORMAL = np.eye(3)
NO_RED = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
NO_GREEN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


def lab(colours: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB colours, as an eye sees them."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear @ np.array(eye).T, 0, 1) @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize(("eye", "least"), [(NORMAL, 25), (NO_RED, 15), (NO_GREEN, 15)])
def test_colours_can_be_told_apart(eye: np.ndarray, least: float) -> None:
    assert len(PALETTE) >= 20
    seen = lab(np.array(PALETTE, float), eye)
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)
    # A difference of 2.3 is just noticeable.
    assert distances[~np.eye(len(PALETTE), dtype=bool)].min() > least
