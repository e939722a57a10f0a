"""Files as such: refused or replaced whole, kept where nobody asked to replace them, told apart by their digests."""

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vistrials.errors import DataError

WEIGHTS_SUFFIX = ".safetensors"
"""How files of our own weights end."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
"""What `_temporary_name` makes."""


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
    temporary = _temporary_name(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished_files(folder: Path) -> list[Path]:
    """What `replacing` was writing into a folder when its process was killed; nobody may be writing there now."""
    return [file for file in folder.glob(".*.tmp") if _TEMPORARY.fullmatch(file.name)]


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


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
    temporary = _temporary_name(folder)
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


def refuse_special(path: Path) -> None:
    """Refuse what is there and no plain file: to open a named pipe without a writer is to wait for ever.

    Args:
        path: a file to read; what is missing or a folder fails when it is opened. A shell's `<(..)` and the standard
            input, which lie in /dev/fd and /dev, are taken.

    Raises:
        DataError: it is a pipe, socket or device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISFIFO(mode) and path.is_relative_to("/dev")):
        return
    kinds = ((stat.S_ISFIFO, "named pipe"), (stat.S_ISSOCK, "socket"))
    kind = next((name for is_it, name in kinds if is_it(mode)), "device")
    raise DataError(f"{path}: expected a file, found a {kind}; check the path")


def has_suffix(path: str | os.PathLike[str], suffixes: Iterable[str]) -> bool:
    """Whether a name ends in one of these (`.png`, `.json.gz`), in small letters or capitals, and is more than that."""
    name = Path(path).name.lower()
    return any(name.endswith(suffix) and name != suffix for suffix in suffixes)


def check_suffix(path: str | os.PathLike[str], suffixes: Collection[str]) -> None:
    """Refuse to write a file under a name that says something else.

    Raises:
        DataError: the name ends in none of these suffixes.
    """
    if not has_suffix(path, suffixes):
        raise DataError(f"{path}: expected the name of the file to write to end in {_either(list(suffixes))}")


def check_output(
    path: str | os.PathLike[str],
    suffixes: Collection[str] = (),
    *,
    replace: bool = False,
    otherwise: str = "name another file",
) -> Path:
    """Refuse a file to write that cannot be what its name says, or cannot be written: called before any work is done.

    Folders above it may be missing: whoever writes makes them.

    Args:
        path: the file.
        suffixes: of the kinds that can be written, in small letters; any name will do where there are none.
        replace: replace a file that is there already.
        otherwise: what to do other than replace it, for the message.

    Returns:
        The path.

    Raises:
        DataError: its suffix is another, it is a folder or lies in a file, it may not be written, or is there already.
    """
    path = Path(path)
    if suffixes:
        check_suffix(path, suffixes)
    if path.is_dir():
        raise DataError(f"{path}: expected the name of a file to write, found a folder; name a file in it")
    if not replace:
        refuse_to_replace([path], otherwise)
    check_folder(path.parent)
    return path


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder to write to, which may have to be made, where that cannot be.

    Raises:
        DataError: part of its path is a file, or may not be written.
    """
    absolute = Path(folder).absolute()
    there = next(place for place in (absolute, *absolute.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise DataError(f"{folder}: cannot be a folder to write to: {there} is none; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: cannot be written to ({there} is read-only for you); choose another folder")


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(path: Path) -> list[str]:
    """The lines of a list that are not empty, without the spaces around them; what is no UTF-8 is replaced.

    Raises:
        DataError: as `refuse_special`.
    """
    refuse_special(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [stripped for line in lines if (stripped := line.strip())]
