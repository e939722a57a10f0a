"""JSON on disk: plain or gzipped in, atomically replaced out."""

import gc
import gzip
import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

import msgspec

from vistrials.errors import DataError
from vistrials.formats.file_beginnings import NUM_BYTES, describe_beginning
from vistrials.formats.files import refuse_special, replacing

MAX_TEXT = 1 << 31
"""Bytes of JSON accepted, unzipped, where all of it is parsed: what that takes in memory is many times as much."""

MAX_PACKED_TEXT = 1 << 34
"""Bytes of JSON accepted where most of it stays packed, on disk until it is needed."""

_MAX_UNZIPPED_IN_MEMORY = 1 << 26
"""Bytes beyond which unzipped text goes to a file."""

_MAX_EXPLAINED = 1 << 26
"""Bytes of JSON that are read a second time, as text, to say where it is broken."""

_MAX_KEYS = 64
"""Keys of an object that an outline shows."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

T = TypeVar("T")


def load_json(path: str | os.PathLike[str]) -> Any:
    """Load a JSON file, gzipped or not (told apart by its first bytes, not by its name).

    Args:
        path: the file, of at most MAX_TEXT bytes unzipped. NaN and infinities, which JSON does not know, are
            numbers here, as in Python's own reader, in files of up to 64 MiB.

    Returns:
        The parsed value.

    Raises:
        DataError: the file is missing, unreadable, cut short, or no JSON; the message says where.
    """
    path = Path(path)
    text = _read(path, MAX_TEXT)
    with _without_garbage_collection():
        try:
            return msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:
            return _parse_slowly(text, path, error)


def load_json_as(path: str | os.PathLike[str], form: type[T], describe: Callable[[Any], str] | None = None) -> T | Any:
    """Load a JSON file into typed records, which may leave parts of it unparsed (`msgspec.Raw`).

    Args:
        path: as for `load_json`.
        form: a msgspec type.
        describe: says of the outline (see `load_outline`) of a file of another form what it is, empty if unknown.

    Returns:
        A value of that type; where the file has another form, the value that `load_json` returns, so that whoever
        asked can say what is wrong with it.

    Raises:
        DataError: as `load_json`, or the file has another form and more than 64 MiB: too much to load in full.
    """
    path = Path(path)
    text = _read(path, MAX_PACKED_TEXT)
    with _without_garbage_collection():
        try:
            return msgspec.json.decode(text, type=form)
        except (ValueError, RecursionError) as error:
            if len(text) <= _MAX_EXPLAINED:
                return load_json(path)
            kind = describe(load_outline(path)) if describe else ""
            raise DataError(f"{path}: {kind or _shown(error)}") from None


def load_outline(path: str | os.PathLike[str]) -> Any:
    """What a JSON file of any size is about: of the top-level value, and of the values in it, lists are cut after the
    first entry.

    Raises:
        DataError: the file is missing, unreadable or no JSON.
    """
    path = Path(path)
    text = _read(path, MAX_PACKED_TEXT)
    with _without_garbage_collection():
        try:
            return _first_entries(text, depth=2)
        except (ValueError, RecursionError) as error:
            _refuse_other_files(text, path)
            raise DataError(f"{path}: {_shown(error)}") from None


def _first_entries(text: Any, depth: int) -> Any:
    if depth == 0:
        return msgspec.json.decode(text)
    parts = msgspec.json.decode(text, type=dict[str, msgspec.Raw] | list[msgspec.Raw] | str | float | bool | None)
    if isinstance(parts, dict):
        return {key: _first_entries(value, depth - 1) for key, value in list(parts.items())[:_MAX_KEYS]}
    return [_first_entries(part, depth - 1) for part in parts[:1]] if isinstance(parts, list) else parts


def save_json_atomic(path: str | os.PathLike[str], obj: Any, *, indent: int | None = None) -> None:
    """Save a value as JSON so that a reader finds the old file or the new one, never a part.

    Args:
        path: the file; gzipped if its name ends in `.gz` (the bytes then depend on the value alone).
        obj: anything `json` can write.
        indent: spaces per level; None writes one line.

    Raises:
        DataError: the folder is missing or not writable.
        ValueError: the value holds NaN or an infinity, which JSON does not know.
        TypeError: the value holds something JSON cannot express.
    """
    path = Path(path)
    data = (json.dumps(obj, indent=indent, allow_nan=False) + "\n").encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """The collector would walk over millions of new objects time and again, and find none to free."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(path: Path, limit: int) -> Any:
    """The file's text, unzipped: a buffer, which for a plain file is the file itself."""
    refuse_special(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.peek(2)[:2] == _GZIP_MAGIC:
                text = _gunzip(gzip.GzipFile(fileobj=file), size, path, limit)
            elif size > 0:
                _check_size(size, path, limit)
                text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            else:
                # Empty, or a pipe.
                text = memoryview(file.read(limit + 1))
                _check_size(len(text), path, limit)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return text[len(_BYTE_ORDER_MARK) :] if text[:3] == _BYTE_ORDER_MARK else text


def _gunzip(file: gzip.GzipFile, size: int, path: Path, limit: int) -> memoryview:
    text = SpooledTemporaryFile(max_size=_MAX_UNZIPPED_IN_MEMORY)  # noqa: SIM115 - mapped longer than a block
    try:
        while part := file.read(1 << 24):
            text.write(part)
            _check_size(text.tell(), path, limit)
    except EOFError:
        raise DataError(
            f"{path}: gzip cut short after {size} bytes: the end of the stream is missing; copy it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file of {size} bytes ({error}); copy it again") from None
    if text.tell() <= _MAX_UNZIPPED_IN_MEMORY:
        text.seek(0)
        return memoryview(text.read())
    text.flush()
    return memoryview(mmap.mmap(text.fileno(), 0, access=mmap.ACCESS_READ))


def _check_size(size: int, path: Path, limit: int) -> None:
    if size > limit:
        raise DataError(f"{path}: more than {limit / (1 << 30):g} GiB of JSON; expected less, split it by videos")


def _parse_slowly(text: memoryview, path: Path, error: Exception) -> Any:
    """Parse with Python's own reader, which takes NaN and says where a file is broken."""
    _refuse_other_files(text, path)
    if len(text) > _MAX_EXPLAINED:
        raise DataError(f"{path}: {_shown(error)}") from None
    try:
        # A shell of Windows writes UTF-16 where its output goes to a file.
        characters = str(text, "utf-16" if text[:2] in _UTF_16_MARKS else "utf-8")
    except UnicodeDecodeError as fault:
        raise DataError(
            f"{path}: not JSON text: byte {fault.start} is not UTF-8; expected .json or .json.gz, saved as UTF-8"
        ) from None
    if not characters.strip():
        raise DataError(f"{path}: the file is empty; expected JSON")
    try:
        return json.loads(characters)
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno} column {fault.colno} (character {fault.pos} of {len(characters)})"
        if _is_cut_short(fault, characters):
            raise DataError(f"{path}: JSON cut short: it ends inside a value at {where}; copy it again") from None
        raise DataError(f"{path}: not valid JSON: {fault.msg} at {where}{_cure(fault, characters)}") from None
    except RecursionError:
        raise DataError(f"{path}: not usable JSON: nested too deeply") from None
    except ValueError as fault:
        # An integer of thousands of digits: Python refuses to convert it.
        raise DataError(f"{path}: not usable JSON: {str(fault).split(';')[0]}") from None


def _refuse_other_files(text: memoryview, path: Path) -> None:
    """Refuse what is no JSON by its first bytes, if it is known what it is."""
    if not len(text):
        return
    kind = describe_beginning(bytes(text[:NUM_BYTES]))
    if kind and kind != "JSON text":
        raise DataError(f"{path}: not JSON but {kind}")


def _cure(fault: json.JSONDecodeError, text: str) -> str:
    """The end of a message about text that is almost JSON."""
    if fault.msg == "Extra data" and text[fault.pos : fault.pos + 1] in ("{", "["):
        return "; it holds several values one after the other (JSON Lines?): `jq -s . FILE` makes one list of them"
    if text[fault.pos : fault.pos + 1] == "'":
        return "; it looks like a value as Python prints it: write it with json.dump"
    if text[: fault.pos].rstrip().endswith(",") and text[fault.pos : fault.pos + 1] in ("}", "]"):
        return "; take out the comma before it"
    return ""


def _is_cut_short(error: json.JSONDecodeError, text: str) -> bool:
    at_the_end = error.pos >= len(text.rstrip())
    return at_the_end or error.msg.startswith("Unterminated string")


def _shown(error: Exception) -> str:
    """What the fast reader says of a file, in words of ours where its own are about itself."""
    if isinstance(error, RecursionError):
        return "not usable JSON: nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return f"not of the expected form: {str(error).replace('`', '')}"
    if "truncated" in str(error):
        return "JSON cut short: it ends inside a value; copy it again"
    return f"not valid JSON: {error}"
