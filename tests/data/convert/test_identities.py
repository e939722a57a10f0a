"""Which tracks look invented."""

from typing import Any

import pytest

from vistrials.data.convert.identities import Identities
from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError

Box = tuple[int, int, int, int]


def said(*tracks: list[Box | None], crowd: bool = False, trusted: bool = False, category: Any = 1) -> str:
    """The error, or the notes, of one video."""
    identities, notes = Identities(), Notes()
    identities.add("clip", [(category, {"bboxes": boxes, "iscrowd": int(crowd)}) for boxes in tracks])
    try:
        identities.check("set", notes, trusted=trusted)
    except DataError as error:
        return f"error: {error}"
    return "; ".join(notes.lines())


def single(*frames: int, of: int = 4) -> list[list[Box | None]]:
    return [[(4, 4, 9, 9) if frame == at else None for frame in range(of)] for at in frames]


LONG: list[Box | None] = [(30, 4, 9, 9)] * 4


def test_tracks_of_one_frame() -> None:
    assert said(LONG) == "" and said(*single(0), LONG) == ""
    assert said(*single(0, 1, 2)) == "3 tracks have one frame only (first: video clip, frame 0)"
    assert said(*single(0, 1, 2, 3)).startswith("error: set: 4 of 4 tracks have one frame only")
    assert said(*single(0, 1, 2, 3), LONG, LONG, LONG).startswith("error: set: 4 of 7 tracks")
    assert said(*single(0, 1, 2, 3), LONG, LONG, LONG, LONG).startswith("4 tracks have one frame only")
    assert said(*single(0, 1, 2, 3), trusted=True).startswith("4 tracks have one frame only")


def test_what_has_one_frame_cannot_be_tracked() -> None:
    assert said(*single(0, 0, 0, 0, 0)) == ""  # all in the same frame: nothing to join
    assert said(*single(0, 1, 2, 3), crowd=True) == ""


def exchanged(*places: str) -> list[list[Box | None]]:
    """Two tracks that are where the letters of a frame say: ab or ba; c is far from both."""
    where: dict[str, Box] = {"a": (0, 0, 10, 10), "b": (40, 0, 10, 10), "c": (0, 60, 10, 10), "d": (40, 60, 10, 10)}
    return [[where[frame[track]] for frame in places] for track in (0, 1)]


def test_tracks_that_change_places() -> None:
    assert said(*exchanged("ab", "ab", "ab", "ab")) == ""
    assert said(*exchanged("ab", "ba", "ab", "ba")).startswith("error: set: in 6 of 6 steps from frame to frame")
    assert said(*exchanged("ab", "ba", "ba", "ba", "ba")).startswith("2 times a track moved")
    assert said(*exchanged("ab", "ba", "ab", "ba"), trusted=True).startswith("6 times a track moved")
    assert said(*exchanged("ab", "cd", "ab", "cd")) == ""  # fast, but nobody is where the other was


def test_objects_that_overlap_do_not_change_places() -> None:
    one: list[Box | None] = [(4 * frame, 0, 20, 20) for frame in range(6)]
    other: list[Box | None] = [(4 * frame + 3, 2, 20, 20) for frame in range(6)]
    assert said(one, other) == ""


@pytest.mark.parametrize("other", [2, 1])
def test_only_objects_of_one_category_can_be_mixed_up(other: int) -> None:
    identities, notes = Identities(), Notes()
    one, two = exchanged("ab", "ba", "ab", "ba")
    identities.add("clip", [(1, {"bboxes": one, "iscrowd": 0}), (other, {"bboxes": two, "iscrowd": 0})])
    if other == 1:
        with pytest.raises(DataError, match="--trust-identities"):
            identities.check("set", notes)
    else:
        identities.check("set", notes)
        assert notes.lines() == []
