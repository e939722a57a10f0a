"""Archives of other people, unpacked so that nothing lands outside the folder, or fills the disk."""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vistrials.errors import DataError, shortened
from vistrials.formats.safe_names import is_name, stays_below

MAX_ENTRIES = 1_000_000
"""Several times the frames of the largest set of the field."""

MAX_RATIO = 50
"""Unpacked bytes per byte of the archive: frames hardly shrink, masks and annotations by 5 to 20 times."""

FREE_BYTES = 64 << 20
"""Unpacked bytes that any archive may have, whatever its ratio."""

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,  # what zipfile raises for a locked file or an unknown method
)
_CHUNK = 1 << 20

Progress = Callable[[int, int], None]


class DamagedArchive(DataError):
    """A file that is no archive, or no longer one: another copy of it may be sound."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or folder of an archive. is_other: it is a link, a device or another thing."""

    name: str
    size: int
    is_folder: bool
    is_other: bool
    record: Any


def is_archive(path: Path) -> bool:
    """Whether a file is a zip (whole, since its list stands at the end) or begins as a tar, plain or compressed."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> None:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz) into a folder.

    Args:
        archive: the file.
        folder: where to; it may hold what other archives brought, and no file of the same name.
        progress: called with bytes done and bytes in all.

    Raises:
        DamagedArchive: it is no archive, cut short, broken or locked.
        DataError: it names places outside the folder, holds links or devices, is larger than its size accounts for or
            than the disk, or brings a file that is there. What it has brought by then stays in the folder.
    """
    try:
        with _opened(archive) as (entries, read):
            total = _check(entries, archive)
            _check_space(archive, folder, total)
            done = 0
            for entry in entries:
                target = folder.joinpath(*PurePosixPath(entry.name).parts)
                if entry.is_folder:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with read(entry) as source, open(target, "xb") as file:
                    # Not more than it declares, since that is what was judged.
                    _copy(source, file, entry, archive)
                done += entry.size
                if progress is not None:
                    progress(done, total)
    except FileExistsError as error:
        raise DataError(f"{archive}: brings {error.filename}, which is there already; a file may come once") from None
    except _DAMAGED as error:
        raise DamagedArchive(f"{archive}: damaged, cut short or locked ({error}); download it again") from None


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[_Entry], Callable[[_Entry], IO[bytes]]]]:
    """The entries of an archive, and what opens one."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield [_of_zip(info) for info in zipped.infolist()], lambda entry: zipped.open(entry.record)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tape:
            # Headers are read one by one and counted: the file itself may be the bomb.
            entries: list[_Entry] = []
            unpacked = 0
            for info in tape:
                entries.append(_of_tar(info))
                unpacked += info.size
                _check_amount(len(entries), unpacked, archive)

            def read(entry: _Entry) -> IO[bytes]:
                file = tape.extractfile(entry.record)
                if file is None:
                    raise tarfile.ReadError(f"{entry.name} cannot be read")
                return file

            yield entries, read
            # The check sums of gzip and others stand behind the last file, where tarfile does not look.
            if tape.fileobj is not None:
                tape.fileobj.read(FREE_BYTES)
    else:
        with open(archive, "rb") as file:
            beginning = file.read(12)
        raise DamagedArchive(
            f"{archive}: expected a zip or tar archive, found a file that begins with {beginning!r}; download it again"
        )


def _of_zip(info: zipfile.ZipInfo) -> _Entry:
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_other = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
    return _Entry(info.filename, info.file_size, info.is_dir(), is_other, info)


def _of_tar(info: tarfile.TarInfo) -> _Entry:
    return _Entry(info.name, info.size, info.isdir(), not (info.isfile() or info.isdir()), info)


def _check(entries: list[_Entry], archive: Path) -> int:
    """Refuse an archive before anything is written; drops what is never wanted. Returns: bytes in all."""
    for entry in entries:
        # A separator of Windows would be a part of a name here: no archive of the field has one.
        if "\\" in entry.name or not (is_name(entry.name) and stays_below(entry.name)):
            raise DataError(
                f"{archive}: an entry is named {shortened(entry.name)}, outside the folder that it is unpacked to; "
                "nothing was unpacked: get the archive from its publishers"
            )
        if entry.is_other:
            raise DataError(
                f"{archive}: {shortened(entry.name)} is a link or a device; expected files and folders only; "
                "nothing was unpacked"
            )
    entries[:] = [entry for entry in entries if _is_wanted(entry.name)]
    total = sum(entry.size for entry in entries)
    _check_amount(len(entries), total, archive)
    return total


def _is_wanted(name: str) -> bool:
    """Whether an entry is neither the folder itself nor what macOS adds."""
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] != "__MACOSX"


def _check_amount(num_entries: int, unpacked: int, archive: Path) -> None:
    if num_entries > MAX_ENTRIES:
        raise DataError(f"{archive}: more than {MAX_ENTRIES:,} entries; nothing was unpacked")
    packed = archive.stat().st_size
    if unpacked > FREE_BYTES + MAX_RATIO * packed:
        raise DataError(
            f"{archive}: {packed:,} bytes that would unpack to {unpacked:,} or more, over {MAX_RATIO} times as many; "
            "that is no data set of frames, and nothing was unpacked"
        )


def _check_space(archive: Path, folder: Path, total: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise DataError(
            f"{folder}: {archive.name} unpacks to {total:,} bytes, {free:,} are free; make room, or choose another "
            "folder with -o; the same command continues"
        )


def _copy(source: IO[bytes], file: IO[bytes], entry: _Entry, archive: Path) -> None:
    left = entry.size
    while chunk := source.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            break
        file.write(chunk)
    if left:
        raise DamagedArchive(
            f"{archive}: {shortened(entry.name)} has other than the {entry.size:,} bytes that it declares"
        )
