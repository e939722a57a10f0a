"""JSON on disk: plain or gzipped in, atomically replaced out."""

import gzip
import json
import os
import uuid
import zlib
from pathlib import Path
from typing import Any

from vistrials.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"


def load_json(path: str | os.PathLike[str]) -> Any:
    """Load a JSON file, gzipped or not (told apart by its first bytes, not by its name).

    Args:
        path: the file.

    Returns:
        The parsed value.

    Raises:
        DataError: the file is missing, unreadable, cut short, or no JSON; the message says where.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if raw.startswith(_GZIP_MAGIC):
        raw = _gunzip(raw, path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not JSON text: byte {error.start} is not UTF-8; expected .json or .json.gz") from None
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected JSON")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno} (character {error.pos} of {len(text)})"
        if _is_cut_short(error, text):
            raise DataError(f"{path}: JSON cut short: it ends inside a value at {where}; copy it again") from None
        raise DataError(f"{path}: not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise DataError(f"{path}: not usable JSON: nested too deeply") from None
    except ValueError as error:
        # An integer of thousands of digits: Python refuses to convert it.
        raise DataError(f"{path}: not usable JSON: {str(error).split(';')[0]}") from None


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
    # In the same folder, because a rename is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _gunzip(raw: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise DataError(
            f"{path}: gzip cut short after {len(raw)} bytes: the end of the stream is missing; copy it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file of {len(raw)} bytes ({error}); copy it again") from None


def _is_cut_short(error: json.JSONDecodeError, text: str) -> bool:
    at_the_end = error.pos >= len(text.rstrip())
    return at_the_end or error.msg.startswith("Unterminated string")
