"""Files as such: replaced whole or not at all, kept where nobody asked to replace them, told apart by their digests."""

import hashlib
import os
import shutil
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


@contextmanager
def replacing_numbered(folder: Path, suffix: str) -> Iterator[Path]:
    """Write a folder of numbered files (00000.png, ..); those there take its place when the block ends.

    Args:
        folder: made if need be. Of what is in it already, numbered files of the same suffix are removed; others stay.
        suffix: as ".png".

    Yields:
        An empty folder beside it to write to, which is removed when the block fails.

    Raises:
        OSError: as `replacing`.
    """
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        folder.mkdir(exist_ok=True)
        for old in numbered_files(folder, suffix):
            old.unlink()
        for new in numbered_files(temporary, suffix):
            os.replace(new, folder / new.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def numbered_files(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder that are named by a number and a suffix; none where there is no folder."""
    return sorted(file for file in folder.glob(f"*{suffix}") if file.stem.isdecimal())


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
