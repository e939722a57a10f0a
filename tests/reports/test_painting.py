"""Objects drawn into frames of any size, and from frame to frame."""

import numpy as np
import pytest

from vistrials.reports.painting import DrawnObject, colour_of, legible_size, paint_objects


def box(size: tuple[int, int], y: int, x: int, h: int, w: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def paint(size: tuple[int, int], objects: list[DrawnObject], places: dict[int, int] | None = None) -> np.ndarray:
    colours = {o.track: colour_of(o.track) for o in objects}
    return paint_objects(np.full((*size, 3), 100, np.uint8), objects, colours, size, places)


@pytest.mark.parametrize(("size", "legible"), [((64, 96), (256, 384)), ((240, 320), (240, 320)), ((720, 1280),) * 2])
def test_narrow_frames_are_enlarged_by_a_whole_factor(size: tuple[int, int], legible: tuple[int, int]) -> None:
    assert legible_size(size) == legible


@pytest.mark.parametrize(("size", "outline"), [((240, 320), 2), ((720, 1280), 3), ((1080, 1920), 4)])
def test_outlines_grow_with_the_frame(size: tuple[int, int], outline: int) -> None:
    pixels = paint(size, [DrawnObject(0, "", None, box(size, 100, 100, 80, 80))])
    column = (pixels[100:180, 140] == colour_of(0)).all(axis=1)
    assert column[:outline].all() and not column[outline : 80 - outline].any() and column[80 - outline :].all()
    halo = pixels[100 - outline // 2 : 100, 140]
    assert (halo == 30).all() and (pixels[100 - outline // 2 - 1, 140] == 100).all()


def test_a_frame_without_objects_is_left_alone() -> None:
    assert (paint((240, 320), []) == 100).all()


def test_a_label_stays_on_its_side_while_there_is_room() -> None:
    size = (240, 320)
    person = DrawnObject(0, "person", 0.9, box(size, 100, 100, 60, 60))
    # A strip of another object reaches a little into the place above.
    other = DrawnObject(1, "", None, box(size, 96, 0, 4, 320))
    apart: dict[int, int] = {}
    paint(size, [person, other], apart)
    assert apart[0] != 0
    places: dict[int, int] = {}
    paint(size, [person], places)
    assert places[0] == 0
    paint(size, [person, other], places)
    assert places[0] == 0
    # But it leaves where all of the place is taken.
    paint(size, [person, DrawnObject(1, "", None, box(size, 60, 0, 40, 320))], places)
    assert places[0] != 0
