"""Files as such: replaced whole or not at all, kept where nobody asked to replace them, told apart by their digests."""

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vistrials.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that a reader, or a crash at any moment, finds the old one or the new one, never a part.

    Args:
        path: the file to make or replace; its folder must be there.

    Yields:
        A path in the same folder to write to, since a rename is atomic within one file system only. It takes the place
        of `path` when the block ends, and is removed when the block fails.

    Raises:
        OSError: the folder is missing, full or not writable.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_to_replace(paths: Iterable[Path], otherwise: str) -> None:
    """Keep files that a command would replace.

    Args:
        paths: what is about to be written.
        otherwise: what to do other than replace them, for the message.

    Raises:
        DataError: some of them are there already.
    """
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise DataError(f"{' and '.join(there)}: there already; replace with --force, or {otherwise}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
