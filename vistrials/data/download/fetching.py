"""One file over HTTP: continued where it broke off, tried again, never glued together from two versions.

By the standard library: of the kept downloaders pooch cannot continue a file, and requests or httpx would leave the
same to be written here (ranges, validators, retries) on top of a dependency.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from vistrials import __version__
from vistrials.errors import DataError
from vistrials.formats.json_file import load_json, save_json_atomic

MAX_TRIES = 6
"""Tries in a row that bring no byte, until the download is given up."""

MAX_WAIT_SECONDS = 60
TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HTML_BEGINNINGS = (b"<!doctype html", b"<html")

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and those of the whole file, None where the server does not say."""


class _Broken(Exception):
    """A try that failed for a reason that may pass; what is there stays. wait_seconds: what the server asks for."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _Version(NamedTuple):
    """What tells a version of a file from another: its address, and validators of the server (RFC 9110, 8.8)."""

    address: str
    etag: str | None
    last_modified: str | None
    size: int | None

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, or a date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


def fetch(
    address: str,
    target: Path,
    *,
    is_whole: Callable[[Path], bool],
    make_room: Callable[[int, int], None],
    progress: Progress | None = None,
    news: Callable[[str], None] | None = None,
) -> None:
    """Download a file; a second call continues what an interrupted one left in TARGET.part.

    Args:
        address: http:// or https://.
        target: where the file goes as soon as it is whole; a file that is there already is left as it is.
        is_whole: judges a file whose length the server does not say.
        make_room: called with the bytes that are still to come, and those of the whole file, before they come; raises
            what stops the download.
        progress: told at every piece.
        news: told a line about every try that failed.

    Raises:
        DataError: there is no such file, the server sends a web page in its place, or keeps failing. What is there
            stays for the next call.

    Source: ranges and their conditions as in RFC 9110, sections 13.1.5 and 14.
    """
    if target.exists():
        return
    part, record = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    failures = 0
    while True:
        before = _size(part)
        try:
            _try_once(address, part, record, is_whole, make_room, progress)
            break
        except (_Broken, http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and not _is_of_network(error):
                raise
            failures = 1 if _size(part) > before else failures + 1
            reason = str(error) or type(error).__name__
            if failures >= MAX_TRIES:
                raise DataError(
                    f"{address}: failed {failures} times in a row ({reason}); {_size(part):,} bytes are kept in "
                    f"{part}, the same command continues"
                ) from None
            wanted = error.wait_seconds if isinstance(error, _Broken) else None
            wait = min(MAX_WAIT_SECONDS, wanted if wanted is not None else 2 ** (failures - 1))
            if news is not None:
                news(f"{reason}; next try in {wait:g} s")
            time.sleep(wait)
    part.replace(target)
    record.unlink(missing_ok=True)


def _try_once(
    address: str,
    part: Path,
    record: Path,
    is_whole: Callable[[Path], bool],
    make_room: Callable[[int, int], None],
    progress: Progress | None,
) -> None:
    """One request; returns when the file is whole."""
    known = _load_version(record)
    have = _size(part)
    headers = {"User-Agent": f"vistrials/{__version__}", "Accept-Encoding": "identity"}
    continues = have > 0 and known is not None and known.address == address and known.validator is not None
    if continues and known is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": str(known.validator)}
    try:
        response = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                if known is not None and have == known.size:
                    return
                part.unlink(missing_ok=True)
                raise _Broken("the server has no more of this file than is here: starting over") from None
            if error.code in _PASSING:
                raise _Broken(f"HTTP {error.code} {error.reason}", _retry_after(error.headers)) from None
            raise DataError(f"{address}: HTTP {error.code} {error.reason}; check the address, or give --from") from None
    except (ValueError, http.client.InvalidURL) as error:
        raise DataError(f"{address}: no address of a file ({error})") from None
    with response:
        found = _version(address, response)
        if response.status == 206:
            first, whole = _content_range(response.headers)
            # A server that ignores If-Range would otherwise glue two versions together.
            if first != have or known is None or _differs(found._replace(size=whole), known):
                part.unlink(missing_ok=True)
                raise _Broken("the file has changed on the server: starting over")
            whole = known.size if whole is None else whole
        else:
            have, whole = 0, found.size
            if _is_web_page(response):
                raise DataError(_web_page(address))
            # In this order: an interruption in between leaves no bytes beside a record of another version.
            part.unlink(missing_ok=True)
            save_json_atomic(record, found._asdict())
        if whole is not None:
            make_room(whole - have, whole)
        have = _copy(response, part, have, whole, address, progress)
    if whole is None and not is_whole(part):
        raise _Broken(f"the connection broke off after {have:,} bytes")
    if whole is not None and have < whole:
        raise _Broken(f"the connection broke off after {have:,} of {whole:,} bytes")


def _copy(response: Any, part: Path, have: int, whole: int | None, address: str, progress: Progress | None) -> int:
    """Append what the server sends; returns the bytes that are there then."""
    with open(part, "ab") as file:
        while True:
            try:
                chunk = response.read1(_CHUNK)
            except http.client.IncompleteRead as error:
                chunk = error.partial
                if not chunk:
                    return have
            if not chunk:
                return have
            if have == 0 and chunk.lstrip()[:20].lower().startswith(_HTML_BEGINNINGS):
                raise DataError(_web_page(address))
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, whole)


def _is_web_page(response: Any) -> bool:
    return str(response.headers.get_content_type()) in ("text/html", "application/xhtml+xml")


def _web_page(address: str) -> str:
    return (
        f"{address}: answers with a web page, not with a file (a login, or a question such as Google Drive's about "
        "large files); download it with a browser and give --from FILE"
    )


def _version(address: str, response: Any) -> _Version:
    headers = response.headers
    length = headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    return _Version(address, headers.get("ETag"), headers.get("Last-Modified"), size)


def _differs(found: _Version, known: _Version) -> bool:
    pairs = zip(found, known, strict=True)
    return any(one is not None and other is not None and one != other for one, other in pairs)


def _content_range(headers: Message) -> tuple[int, int | None]:
    """First byte, and bytes of the whole file (None where it says *): bytes 100-199/200."""
    try:
        place, whole = headers.get("Content-Range", "").removeprefix("bytes ").split("/")
        return int(place.split("-")[0]), None if whole == "*" else int(whole)
    except ValueError:
        return -1, None


def _retry_after(headers: Message) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _load_version(record: Path) -> _Version | None:
    try:
        return _Version(**load_json(record))
    except (DataError, TypeError):
        return None  # nothing can be continued without it


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_of_network(error: OSError) -> bool:
    """Whether an error came from the connection rather than from the disk."""
    return isinstance(error, urllib.error.URLError | ConnectionError | TimeoutError | ssl.SSLError)
