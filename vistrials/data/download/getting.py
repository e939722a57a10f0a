"""From the name of a published data set to a folder that runs read: download, unpack, arrange, split."""

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from vistrials.data.download.arranging import Arranged, arrange_davis, arrange_youtube_vis
from vistrials.data.download.catalogue import PublicSet
from vistrials.data.download.fetching import fetch
from vistrials.data.download.unpacking import DamagedArchive, is_archive, unpack
from vistrials.data.split import split_annotations
from vistrials.errors import DataError
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json

UNPACKED_PER_BYTE = 1.2
"""Bytes on disk per byte of an archive: frames hardly shrink, and those of a conversion are hard links."""


class Reporter(Protocol):
    """What shows how far the work is."""

    def message(self, text: str) -> None:
        """One line of news."""

    def bytes_bar(self, name: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """A bar of bytes; None where their number is not known."""

    def bar(self, name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar of things done, of things in all."""


class Source(NamedTuple):
    """Where a file comes from: one of the two is set."""

    address: str | None
    path: Path | None


class Gotten(NamedTuple):
    """A finished data set. split: minitrain.json and minival.json, where no annotated validation videos came."""

    folder: Path
    split: tuple[Path, Path] | None


def find_sources(public_set: PublicSet, given: Sequence[str]) -> list[Source]:
    """The files that make a set: those given, else its public address.

    Args:
        given: http(s):// and file:// addresses, or paths of files.

    Raises:
        DataError: neither is there, or something given is no file.
    """
    if not given:
        if public_set.address is None:
            raise DataError(
                f"{public_set.name}: has no address that anybody may download from; {public_set.how}; then give every "
                f"file or link with --from ({public_set.home})"
            )
        return [Source(public_set.address, None)]
    return [_source(text) for text in given]


def bytes_needed(public_set: PublicSet, sources: Sequence[Source], out: Path) -> int | None:
    """Bytes of disk that `get_set` takes beyond those that it took already; None where sizes are not known yet."""
    needed = 0.0
    for source in sources:
        if source.path is not None:
            needed += source.path.stat().st_size * UNPACKED_PER_BYTE
        elif source.address == public_set.address and public_set.size is not None:
            needed += public_set.size * (1 + UNPACKED_PER_BYTE)
        else:
            return None
    taken = sum(path.stat().st_size for path in _work_folder(out).rglob("*") if path.is_file())
    return max(0, round(needed) - taken)


def check_room(folder: Path, needed: int) -> int:
    """Bytes that are free where a folder is, or will be.

    Raises:
        DataError: fewer than needed.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DataError(
            f"{folder}: {describe_bytes(needed)} of disk needed, {describe_bytes(free)} free; make room or choose "
            "another folder with -o; nothing is lost, the same command continues"
        )
    return free


def describe_bytes(number: int) -> str:
    """832766765 -> 0.83 GB; 1548390 -> 1.5 MB."""
    return f"{number / 1e9:.2f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"


def check_target(out: Path) -> None:
    """Raise DataError where something is there already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: there already (`vistrials data check {out}`); remove it, or choose another with -o")


def get_set(
    public_set: PublicSet, out: Path, sources: Sequence[Source], reporter: Reporter, sha256: str | None = None
) -> Gotten:
    """Make a data set in YouTube-VIS form; everything on the way lies in OUT.partial, where the same call continues.

    Args:
        public_set: what it is.
        out: a new or empty folder.
        sources: as of `find_sources`; files of the user are left alone.
        reporter: is told how far it is.
        sha256: that the one source must have; by default the recorded one, of the recorded address.

    Raises:
        DataError: the download fails or is another file, the archives are not what they should be, the disk is full.
    """
    check_target(out)
    if sha256 is not None and len(sources) != 1:
        raise DataError(f"--sha256 is for one file, found {len(sources)}; leave it out and compare what is shown")
    out = out.absolute()
    work = _work_folder(out)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / ".lock", timeout=0):
            done = _get(public_set, out, work, sources, reporter, sha256)
    except Timeout:
        raise DataError(f"{work}: another `data get` is at work there; wait for it") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; what is there is kept in {work}, the same command continues") from None
    shutil.rmtree(work, ignore_errors=True)
    return done


def _work_folder(out: Path) -> Path:
    return out.absolute().with_name(f"{out.name}.partial")


def _get(
    public_set: PublicSet, out: Path, work: Path, sources: Sequence[Source], reporter: Reporter, sha256: str | None
) -> Gotten:
    unpacked, drafts = work / "unpacked", [work / name for name in ("unpacking", "arranging", "arranged")]
    for draft in drafts:  # of a call that was interrupted
        shutil.rmtree(draft, ignore_errors=True)
    unpacking, arranging, arranged = drafts
    files = [_obtain(public_set, source, work, reporter, sha256) for source in sources]
    mark = work / "unpacked.txt"
    listed = "\n".join(f"{digest} {path.name}" for path, digest in files)
    if unpacked.exists() and (not mark.is_file() or mark.read_text(encoding="utf-8") != listed):
        shutil.rmtree(unpacked)  # of other files
    if not unpacked.exists():
        _unpack_all([path for path, _ in files], work / "downloads", unpacking, reporter)
        mark.write_text(listed, encoding="utf-8")
        unpacking.rename(unpacked)
    if public_set.form == "davis":
        with reporter.bar("videos") as progress:
            made = arrange_davis(unpacked, arranged, progress)
    else:
        # Files are moved: an interrupted move starts over from the archives.
        made = arrange_youtube_vis(unpacked.rename(arranging), arranged)
    split = _split_if_needed(made)
    if out.exists():
        out.rmdir()
    arranged.rename(out)
    return Gotten(out, None if split is None else (out / split[0].name, out / split[1].name))


def _split_if_needed(made: Arranged) -> tuple[Path, Path] | None:
    """A part of train to score on, where validation videos have no public annotations."""
    if made.valid is not None or len(load_json(made.train)["videos"]) < 2:
        return None
    return split_annotations(made.train)


def _source(text: str) -> Source:
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    if scheme in ("http", "https"):
        return Source(text, None)
    if scheme not in ("", "file"):
        raise DataError(f"{text}: expected an address of http, https or file, or a path, found {scheme}")
    path = Path(url2pathname(urlsplit(text).path)) if scheme else Path(text).expanduser()
    if path.is_dir():
        raise DataError(f"{path}: a folder; expected an archive (a folder needs no download: see `data convert`)")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an archive or an annotation file")
    return Source(None, path.absolute())


def _obtain(
    public_set: PublicSet, source: Source, work: Path, reporter: Reporter, sha256: str | None
) -> tuple[Path, str]:
    """A source's file, judged by its digest, and that digest."""
    path, is_recorded = source.path, source.address is not None and source.address == public_set.address
    if path is None:
        assert source.address is not None
        path = work / "downloads" / _file_name(source.address)
        path.parent.mkdir(exist_ok=True)
        with reporter.bytes_bar(path.name) as progress:
            fetch(
                source.address,
                path,
                is_whole=lambda part: is_archive(part) or (_is_json(path) and _is_readable_json(part)),
                make_room=lambda missing, whole: _make_room(work, missing, whole),
                progress=progress,
                news=reporter.message,
            )
    digest = sha256_of(path)
    expected = sha256 or (public_set.sha256 if is_recorded else None)
    if expected is not None and digest != expected.lower():
        what = f"expected sha256 {expected.lower()}, found {digest} ({path.stat().st_size:,} bytes)"
        advice = "another file, or a damaged one"
        if source.path is None:
            path.unlink()  # the same command would find it again
            advice += "; it was removed, try again"
        if is_recorded and sha256 is None:
            advice += f"; if its publishers replaced it and you trust them: --from {source.address} --sha256 {digest}"
        raise DataError(f"{source.address or path}: {what}: {advice}")
    note = "as expected" if expected is not None else "none on record to compare with"
    if expected is None and public_set.sha256 is not None:
        note = "the recorded one" if digest == public_set.sha256 else "other than the recorded file's"
    reporter.message(f"{path.name}: sha256 {digest} ({note})")
    return path, digest


def _make_room(work: Path, missing: int, whole: int) -> None:
    check_room(work, missing + round(UNPACKED_PER_BYTE * whole))


def _file_name(address: str) -> str:
    """The address's last part, behind a digest of the whole, since other addresses may end alike."""
    name = re.sub(r"[^\w.+-]", "_", unquote(urlsplit(address).path).rsplit("/", 1)[-1]) or "download"
    return f"{hashlib.sha256(address.encode()).hexdigest()[:8]}-{name[-80:]}"


def _is_json(path: Path) -> bool:
    return path.name.endswith((".json", ".json.gz"))


def _is_readable_json(path: Path) -> bool:
    try:
        load_json(path)
    except DataError:
        return False
    return True


def _unpack_all(files: Sequence[Path], downloads: Path, folder: Path, reporter: Reporter) -> None:
    folder.mkdir()
    for path in files:
        if _is_json(path):
            shutil.copyfile(path, folder / path.name)
            continue
        try:
            with reporter.bytes_bar(f"unpacking {path.name}") as progress:
                unpack(path, folder, progress)
        except DamagedArchive:
            if path.parent == downloads:
                path.unlink()  # the same command would find it again
            raise
