"""What a file is that holds something else than its name says, told by its first bytes."""

import re

NUM_BYTES = 512
"""How much of a file is looked at."""

SAFETENSORS, PICKLE, ZIP = "a safetensors file", "a pickle of Python objects", "a ZIP archive: unpack it"

_BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x1f\x8b": "a gzip file: unpack it",
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": "an empty ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"BZh": "a bzip2 file: unpack it",
    b"\xfd7zXZ": "an xz file: unpack it",
    b"(\xb5/\xfd": "a zstd file: unpack it",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}
_LFS_SIZE = re.compile(rb"\nsize (\d+)")
_MOTS_LINE = re.compile(rb"\d+ \d+ \d+ \d+ \d+ \S+\s*\n")
_MOT_LINE = re.compile(rb"\d+, ?-?\d+, ?-?[\d.]+, ?-?[\d.]+, ?[\d.]+, ?[\d.]+,")
_REFUSALS = (b"Entry not found", b"Not Found", b"404: Not Found", b"Invalid username or password", b"Access denied")


def describe_beginning(head: bytes) -> str:
    """What a file that begins with these bytes is, and what to do; empty where that is not known.

    Args:
        head: the first NUM_BYTES bytes, or all if there are fewer.
    """
    if not head:
        return "an empty file: copy or download it again"
    if head.startswith(b"version https://git-lfs"):
        size = _LFS_SIZE.search(head)
        of = f" of {int(size[1])} bytes" if size else ""
        return f"a git-LFS pointer to a file{of}: fetch it with `git lfs pull`"
    if b"/annex/objects/" in head[:256]:
        return "a git-annex pointer: fetch the file with `git annex get`"
    if found := next((what for magic, what in _BINARY.items() if head.startswith(magic)), None):
        return found
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if re.fullmatch(rb"[\x00-\x08]", head[7:8]) and head[8:9] == b"{":
        return SAFETENSORS
    return _describe_text(head)


def _describe_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    low = text[:64].lower()
    if low.startswith((b"<!doctype html", b"<html", b"<head")):
        title = re.search(rb"<title>([^<]*)", text, re.IGNORECASE)
        named = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title and title[1].strip() else ""
        return f"an HTML page{named}: the download gave a page in place of the file; download it again in a browser"
    if low.startswith(b"<?xml") or low.startswith(b"<"):
        if b"<Error>" in text:
            return "a server's XML message in place of the file: download it again"
        if b"<annotations>" in text:
            return "XML of CVAT: convert it with `vistrials data convert cvat`"
        return "XML"
    if any(text.startswith(refusal) for refusal in _REFUSALS):
        shown = text[:40].decode("utf-8", "replace").strip().splitlines()[0]
        return f"a server's message ({shown!r}) in place of the file: download it again"
    if _MOTS_LINE.match(text):
        return "a text file of MOTS: convert its data set with `vistrials data convert mots`"
    if _MOT_LINE.match(text):
        return "a text file of boxes (MOTChallenge), without masks"
    if text[:1] in (b"{", b"["):
        return "JSON text"
    return ""
