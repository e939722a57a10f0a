"""What a file says about itself against its frames and masks: refused with both values and the cause."""

from typing import Any

import pytest

from vistrials.data.convert.agreement import Declared, Reach, check_declared_size, check_masks
from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError
from vistrials.formats.rle import to_rle

SIZE = (48, 64)  # height, width
MASK = to_rle([[4, 6, 20, 6, 20, 18, 4, 18]], *SIZE)  # x 4, y 6, 16 x 12 pixels


def told(box: Any = None, area: Any = None, mask: Any = MASK) -> str:
    """What the check of one mask says: the error, or the notes."""
    notes = Notes()
    try:
        check_masks([Declared("f.json: annotation 3", mask, box, area)], notes)
    except DataError as error:
        assert "\n" not in str(error)
        return str(error)
    return "; ".join(notes.lines())


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ([4, 6, 16, 12], 192),
        ([4, 6, 15, 11], 165),  # the last pixel not counted
        ([2, 4, 18, 14], 248),  # 2 pixels more
        (None, None),
        ([], 0),
        ([0, 0, 0, 0], 0),
    ],
)
def test_what_agrees_passes(box: Any, area: Any) -> None:
    assert told(box, area) == ""


@pytest.mark.parametrize(
    ("box", "cause"),
    [
        ([4, 6, 20, 18], "the box is x1, y1, x2, y2"),
        ([6.25, 12.5, 25, 25], "the box is in percent"),
        ([0.0625, 0.125, 0.25, 0.25], "the box is in fractions"),
        ([12, 12, 16, 12], "the box has its centre in place of its corner"),
        ([8, 12, 32, 24], "the mask is 0.5 times as large as the box"),
        ([30, 6, 16, 12], "mend one of them, or remove the boxes"),
        ([4, 6, 16, "12"], "expected [x, y, w, h] in pixels"),
        ([4, 6, 16, 15], "mend one of them"),  # 3 pixels more
    ],
)
def test_a_box_beside_its_mask_is_refused_with_both_values(box: Any, cause: str) -> None:
    found = told(box)
    assert found.startswith("f.json: annotation 3: the box is [") and cause in found
    if "expected" not in cause:
        assert "while its mask lies within [4, 6, 16, 12]" in found


def test_a_mask_of_y_x_beside_a_box_of_x_y() -> None:
    swapped = to_rle([[6, 14, 6, 40, 18, 40, 18, 14]], *SIZE)
    assert "the mask's coordinates are y, x" in told([14, 6, 26, 12], mask=swapped)


def test_a_mask_in_percent_beside_a_box_in_pixels() -> None:
    percent = to_rle([[6.25, 12.5, 31.25, 12.5, 31.25, 37.5, 6.25, 37.5]], *SIZE)
    assert "the mask's coordinates are in percent" in told([4, 6, 16, 12], mask=percent)


def test_a_box_that_reaches_out_is_clipped_and_its_area_not_compared() -> None:
    mask = to_rle([[54, 6, 84, 6, 84, 18, 54, 18]], *SIZE)  # 10 of 30 columns are in the frame
    assert told([54, 6, 30, 12], 360, mask) == ""
    assert "the area is 360 pixels, while its mask has 120" in told([54, 6, 10, 12], 360, mask)


def test_areas() -> None:
    assert told(area=192 + 56) == ""  # 2 * (16 + 12)
    assert "the area is 249 pixels, while its mask has 192" in told(area=249)
    thin = to_rle([[0, 0, 40, 0, 40, 30, 39, 30, 39, 1, 0, 1]], *SIZE)
    assert told([0, 0, 40, 30], 1200, thin).startswith("1 areas are those of boxes")
    assert "the area is 'big'" in told(area="big")


@pytest.mark.parametrize(
    ("declared", "cause"),
    [
        ((64, 48), "they are switched"),
        ((96, 128), "the frames were resized by 0.5 after they were annotated"),
        ((50, 90), "put the frames there that were annotated"),
        ((None, 90), "declared as ? x 90"),
        (("48", 64), "expected whole numbers of pixels"),
    ],
)
def test_another_size_than_the_frames_is_refused(declared: Any, cause: str) -> None:
    with pytest.raises(DataError, match="f.json: image 3: .*") as caught:
        check_declared_size(declared, SIZE, "f.json: image 3")
    assert cause in str(caught.value)


@pytest.mark.parametrize("declared", [(48, 64), (48.0, 64.0), (None, None), (0, 0)])
def test_a_size_that_agrees_or_is_not_declared(declared: Any) -> None:
    notes = Notes()
    check_declared_size(declared, SIZE, "f.json", notes)
    assert notes.lines() == []


def test_a_size_within_the_tolerance_is_counted() -> None:
    notes = Notes()
    check_declared_size((50, 64), SIZE, "f.json", notes)
    assert notes.lines() == ["1 declared sizes differ from their frames' by up to 2 pixels (first: f.json)"]


def reached(size: tuple[int, int], *polygons: list[float], has_box: bool = False) -> str:
    reach, notes = Reach(), Notes()
    for number, polygon in enumerate(polygons, 1):
        reach.add([polygon], f"shape {number}", has_box=has_box)
    try:
        reach.check(size, notes)
    except DataError as error:
        return str(error)
    return "; ".join(notes.lines())


INSIDE = [4, 6, 20, 6, 20, 18, 4, 18]


def test_polygons_inside_their_frame_say_nothing() -> None:
    assert reached(SIZE) == "" and reached(SIZE, INSIDE) == ""
    assert reached(SIZE, [-2, 0, 66, 0, 66, 50]) == ""  # 2 pixels beyond each edge


def test_polygons_in_another_unit_order_or_scale_are_refused() -> None:
    assert "these are fractions" in reached(SIZE, [0.1, 0.1, 0.4, 0.1, 0.4, 1])
    assert "lie within them as y, x" in reached(SIZE, INSIDE, [6, 4, 6, 60, 18, 60])
    assert "they were drawn on larger frames" in reached(SIZE, [80, 6, 120, 6, 120, 90], [50, 60, 128, 60, 128, 96])


def test_objects_outside_the_frame_are_counted() -> None:
    assert reached(SIZE, INSIDE, INSIDE, [100, 6, 120, 6, 120, 18]) == (
        "1 objects lie wholly outside their frame and were left out of it (first: shape 3)"
    )
    assert reached(SIZE, INSIDE, INSIDE, [50, 6, 67, 6, 67, 18]).startswith("1 objects reach out of their frame")


def test_percent_is_said_where_no_box_vouches() -> None:
    large = (360, 640)
    assert "if they are in percent" in reached(large, INSIDE, [90, 90, 100, 90, 100, 100])
    assert reached(large, INSIDE, has_box=True) == ""
    assert reached(large, INSIDE, [90, 90, 101, 90, 100, 100]) == ""
