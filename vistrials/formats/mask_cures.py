"""What a segmentation that is no mask was probably meant to be: looked for only where decoding it has failed."""

import ast
import base64
import binascii
import html
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from vistrials.formats.rle import is_mask

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+=*")
_NUMBERS = re.compile(r"[\d\s,.\[\]()-]+")
_MAX_LITERAL = 1 << 20
_IMAGES = {b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image"}


class _Guess(NamedTuple):
    """looks_like, and what to do; `meant` is the segmentation that this gives."""

    looks_like: str
    cure: str
    meant: Any


def likely_cure(segmentation: Any, height: int | None, width: int | None) -> str:
    """The end of a message about a segmentation that is no mask; empty where no guess makes a mask of it.

    Args:
        segmentation: of any encoding.
        height, width: of the image in pixels, where they are known.
    """
    for guess in _guesses(segmentation, height, width):
        if is_mask(guess.meant, height, width):
            return f"; looks like {guess.looks_like}: {guess.cure}"
    return _what_counts_hold(segmentation)


def _guesses(segmentation: Any, height: int | None, width: int | None) -> Iterator[_Guess]:
    if isinstance(segmentation, str):
        yield from _of_text(segmentation, height, width)
    elif isinstance(segmentation, list):
        yield from _of_list(segmentation)
    elif isinstance(segmentation, dict):
        yield from _of_object(segmentation, height, width)


def _of_text(text: str, height: int | None, width: int | None) -> Iterator[_Guess]:
    yield _Guess("JSON written as text", "write the value itself", _json(text))
    yield _Guess("a Python value written as text", "write the value itself", _literal(text))
    bare = {"size": [height, width], "counts": text}
    yield _Guess("a run-length string without its size", 'write {"size": [height, width], "counts": ..}', bare)


def _of_list(values: list[Any]) -> Iterator[_Guess]:
    if values and all(isinstance(value, dict) for value in values):
        if len(values) == 1:
            yield _Guess("a run-length mask inside a list", "write the object without the list", values[0])
        elif all("counts" in value for value in values):
            yield _Guess("several run-length masks of one object", "unite them with pycocotools.mask.merge", values[0])
        points = [_point(value) for value in values]
        yield _Guess("points with x and y", "write [[x0, y0, x1, y1, ..]]", [_flat(points)])
    if len(values) == 1 and isinstance(values[0], str):
        yield _Guess("a value inside a list", "write the value alone", values[0])
    yield _Guess("one polygon without the list around it", "write [[x0, y0, x1, y1, ..]]", [values])
    if values and all(isinstance(value, list) for value in values):
        if len(values) == 1:
            yield _Guess("one list too many", "write [[x0, y0, x1, y1, ..]]", values[0])
        yield _Guess("a polygon of points in pairs", "write [[x0, y0, x1, y1, ..]]", [_flat(values)])
        yield _Guess(
            "polygons of points in pairs", "write [x0, y0, x1, y1, ..] for each", [_flat(value) for value in values]
        )
        pairs = [_flat([_point(point) for point in value]) for value in values]
        yield _Guess("polygons of points with x and y", "write [x0, y0, x1, y1, ..] for each", pairs)
        numbers = [[_number(number) for number in value] for value in values]
        yield _Guess("numbers written as text", "write them without quotes", numbers)


def _of_object(mask: dict[str, Any], height: int | None, width: int | None) -> Iterator[_Guess]:
    if len(mask) == 1 and "counts" not in mask:
        (key,) = mask
        yield _Guess(f"a mask inside {key!r}", "write the mask alone", mask[key])
    counts, size = mask.get("counts"), mask.get("size")
    if size is None:
        there = {**mask, "size": [height, width]}
        yield _Guess("a run-length mask without its size", 'add "size": [height, width]', there)
    if isinstance(size, list):
        whole = [_number(side) for side in _flat(size)]
        yield _Guess("a size of numbers in text or lists", 'write "size": [height, width]', {**mask, "size": whole})
        if len(whole) == 3:
            for two in (whole[:2], whole[1:]):
                yield _Guess("a size with channels", 'write "size": [height, width]', {**mask, "size": two})
    if isinstance(counts, str):
        for looks_like, cure, meant in _of_counts_text(counts):
            yield _Guess(looks_like, cure, {**mask, "counts": meant})
    elif isinstance(counts, list):
        for looks_like, cure, meant in _of_counts_list(counts):
            yield _Guess(looks_like, cure, {**mask, "counts": meant})


def _of_counts_text(counts: str) -> Iterator[tuple[str, str, Any]]:
    if counts[:2] in ("b'", 'b"'):
        yield "Python bytes written as text", "write counts.decode()", _literal(counts)
        yield "Python bytes written as text", "write counts.decode()", counts[2:-1].replace("\\\\", "\\")
    if "\\\\" in counts:
        yield "doubled backslashes", "write each once (in JSON text twice)", counts.replace("\\\\", "\\")
    if counts != counts.strip():
        yield "blanks around the string", "write it without them", counts.strip()
    if "&" in counts:
        yield "characters escaped for HTML", "write html.unescape(counts)", html.unescape(counts)
    if _BASE64.fullmatch(counts) and (decoded := _from_base64(counts)):
        yield "base64", "write base64.b64decode(counts).decode()", decoded
        yield "zlib in base64", "write zlib.decompress(base64.b64decode(counts)).decode()", _inflated(decoded)
    if _NUMBERS.fullmatch(counts):
        numbers = [_number(number) for number in re.findall(r"[\d.]+", counts)]
        yield "a list of runs written as text", "write the list itself", numbers


def _of_counts_list(counts: list[Any]) -> Iterator[tuple[str, str, Any]]:
    if counts and all(isinstance(value, int) and 48 <= value < 112 for value in counts):
        yield "the characters of a run-length string as numbers", "write bytes(counts).decode()", bytes(counts)
    if len(counts) == 1 and isinstance(counts[0], str):
        yield "a run-length string inside a list", "write the string alone", counts[0]
    if any(isinstance(value, str) for value in counts):
        yield "numbers written as text", "write them without quotes", [_number(value) for value in counts]
    if any(isinstance(value, list) for value in counts):
        yield "runs in more than one list", "write them in one list", _flat(counts)


def _what_counts_hold(segmentation: Any) -> str:
    """What can be told of counts that no guess makes a mask of."""
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    if isinstance(counts, str):
        decoded = _from_base64(counts) if _BASE64.fullmatch(counts) else b""
        for content in (decoded, _inflated(decoded)):
            for beginning, name in _IMAGES.items():
                if content.startswith(beginning):
                    return f"; this is {name} in base64: decode it and write pycocotools.mask.encode of its pixels"
    return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    """The value of a Python literal; None of anything else."""
    try:
        return ast.literal_eval(text) if len(text) <= _MAX_LITERAL else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return b""


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None)
    except (binascii.Error, ValueError):
        return b""


def _number(value: Any) -> Any:
    """A number that is written as text; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        try:
            return float(value)
        except ValueError:
            return value


def _flat(values: list[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _point(value: Any) -> Any:
    return [value["x"], value["y"]] if isinstance(value, dict) and {"x", "y"} <= value.keys() else value
