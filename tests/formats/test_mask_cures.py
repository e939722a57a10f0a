"""Masks as other programs write them: the right value, or one line that names the cause and what to write."""

import base64
import copy
import json
import zlib
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import box_mask, small_document
from tests.formats.test_annotation_doors import doors
from vistrials.errors import DataError
from vistrials.formats.annotations import build_video_set, decode_mask
from vistrials.formats.rle import encode

HEIGHT, WIDTH = 40, 64
# Two boxes, whose run-length string has a backslash and a "<".
PIXELS = box_mask((4, 12, 10, 20), (HEIGHT, WIDTH)) | box_mask((30, 2, 7, 32), (HEIGHT, WIDTH))
RLE = encode(PIXELS)
COUNTS: str = RLE["counts"]
RUNS = [len(list(run)) for _, run in groupby(PIXELS.T.ravel().tolist())]  # begins with background
SQUARE = [4, 6, 14, 6, 14, 26, 4, 26]
POINTS = [[4, 6], [14, 6], [14, 26], [4, 26]]


def of_counts(counts: Any) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


REFUSED: dict[str, tuple[Any, str]] = {
    "bytes as text": (of_counts(str(COUNTS.encode())), "write counts.decode()"),
    "bytes in double quotes": (of_counts(f'b"{COUNTS}"'), "write counts.decode()"),
    "bytes as text, backslashes once": (of_counts(f"b'{COUNTS}'"), "write counts.decode()"),
    "doubled backslashes": (of_counts(COUNTS.replace("\\", "\\\\")), "doubled backslashes"),
    "base64": (of_counts(in_base64(COUNTS.encode())), "write base64.b64decode(counts).decode()"),
    "base64 without padding": (of_counts(in_base64(COUNTS.encode()).rstrip("=")), "base64.b64decode"),
    "zlib in base64": (of_counts(in_base64(zlib.compress(COUNTS.encode()))), "zlib.decompress"),
    "PNG in base64": (of_counts(in_base64(b"\x89PNG\r\n\x1a\n" + bytes(40))), "a PNG image in base64"),
    "line break behind": (of_counts(COUNTS + "\n"), "blanks around"),
    "escaped for HTML": (of_counts(COUNTS.replace("<", "&lt;").replace(">", "&gt;")), "html.unescape"),
    "runs as text": (of_counts(str(RUNS)), "write the list itself"),
    "runs as text with blanks": (of_counts(" ".join(map(str, RUNS))), "write the list itself"),
    "runs in text": (of_counts([str(run) for run in RUNS]), "write them without quotes"),
    "runs in a list of lists": (of_counts([RUNS]), "write them in one list"),
    "characters as numbers": (of_counts(list(COUNTS.encode())), "write bytes(counts).decode()"),
    "string in a list": (of_counts([COUNTS]), "write the string alone"),
    "size in text": ({"size": [str(HEIGHT), str(WIDTH)], "counts": COUNTS}, 'write "size": [height, width]'),
    "size in a list": ({"size": [[HEIGHT, WIDTH]], "counts": COUNTS}, 'write "size": [height, width]'),
    "size with channels": ({"size": [HEIGHT, WIDTH, 1], "counts": COUNTS}, "a size with channels"),
    "channels before the size": ({"size": [1, HEIGHT, WIDTH], "counts": COUNTS}, "a size with channels"),
    "no size": ({"counts": COUNTS}, 'add "size"'),
    "string alone": (COUNTS, 'write {"size": [height, width], "counts": ..}'),
    "JSON as text": (json.dumps(RLE), "JSON written as text"),
    "Python as text": (str(RLE), "a Python value written as text"),
    "mask in a list": ([RLE], "write the object without the list"),
    "masks in a list": ([RLE, RLE], "pycocotools.mask.merge"),
    "mask in a key": ({"rle": RLE}, "a mask inside 'rle'"),
    "flat polygon": (SQUARE, "one polygon without the list around it"),
    "polygon in lists": ([[SQUARE]], "write [[x0, y0, x1, y1, ..]]"),
    "points in pairs": (POINTS, "points in pairs"),
    "polygon of pairs": ([POINTS], "points in pairs"),
    "points with x and y": ([{"x": x, "y": y} for x, y in POINTS], "points with x and y"),
    "polygons with x and y": ([[{"x": x, "y": y} for x, y in POINTS]], "points with x and y"),
    "coordinates in text": ([[str(number) for number in SQUARE]], "write them without quotes"),
    "fractions": ([[number / 64 for number in SQUARE]], "fractions of the frame"),
    "pixel by pixel": (PIXELS.tolist(), "a mask pixel by pixel"),
    "two points": ([[4, 6, 14, 26]], "without a polygon of 3 points"),
    "odd number": ([[*SQUARE, 3]], "a polygon has 9 numbers"),
    "null in a polygon": ([[4, 6, None, 6, 14, 26]], "expected a list of numbers"),
    "switched size": (encode(PIXELS.T), "they look switched"),
}

TAKEN: dict[str, Any] = {
    "compressed": RLE,
    "uncompressed": of_counts(RUNS),
    "whole floats": {"size": [float(HEIGHT), float(WIDTH)], "counts": [float(run) for run in RUNS]},
    "other keys": {**RLE, "area": 3, "id": "x"},
    "one polygon": [SQUARE],
    "floats": [[float(number) for number in SQUARE]],
    "beside two points": [[1, 1, 2, 2], SQUARE],
    "beside one point": [SQUARE, [1, 1]],
    "beside nothing": [[], SQUARE],
}


def with_mask(segmentation: Any) -> dict[str, Any]:
    """The small set with one mask of video 5 replaced; boxes and areas follow from the masks."""
    document = copy.deepcopy(small_document())
    track = document["annotations"][3]
    del track["bboxes"], track["areas"]
    track["segmentations"][0] = segmentation
    return document


def test_the_mask_of_these_cases_has_backslashes() -> None:
    assert "\\" in COUNTS and "<" in COUNTS and sum(RUNS) == HEIGHT * WIDTH


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_mask_is_refused_with_its_cure(tmp_path: Path, case: str) -> None:
    segmentation, cure = REFUSED[case]
    said = doors(with_mask(segmentation), tmp_path)
    # The official program takes masks of another size, which overlap nothing.
    expected = {"loading", "check"} if case == "switched size" else set(said)
    for door in expected:
        text = said[door]
        assert text and cure in text and "\n" not in text and "frame 0" in text.replace("[0]", "frame 0"), (door, text)


@pytest.mark.parametrize("case", TAKEN)
def test_a_mask_of_a_known_form_is_taken_at_every_door(tmp_path: Path, case: str) -> None:
    document = with_mask(TAKEN[case])
    assert set(doors(document, tmp_path).values()) == {None}
    track = build_video_set(document, tmp_path, "x.json").videos[1].tracks[0]
    expected = PIXELS if isinstance(TAKEN[case], dict) else decode_mask([SQUARE], HEIGHT, WIDTH)
    assert (decode_mask(track.segmentations[0], HEIGHT, WIDTH) == expected).all()
    assert track.areas[0] == expected.sum()


@pytest.mark.parametrize("junk", [{"size": [4, 4]}, {}, [None], [[None]], [["a"]], [{}], {"a": {"b": 1}}, "[[[[", "b'"])
def test_what_nothing_is_known_of_is_refused_without_a_guess(junk: Any) -> None:
    with pytest.raises(DataError) as error:
        decode_mask(junk, 4, 4)
    assert "looks like" not in str(error.value)
