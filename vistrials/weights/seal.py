"""A digest inside a file of weights, so that a bit that has changed since it was written does not pass for a weight."""

import hashlib
import json
import re
from pathlib import Path

from vistrials.errors import CheckpointError

KEY = "file_sha256"
"""In the metadata of a safetensors file: SHA-256 of all of it, with zeros in the place of these digits."""

_BLANK = b"0" * 64
_CHUNK = 1 << 20


def seal(content: bytes) -> bytes:
    """The same safetensors file with its digest, and a header that depends on tensors and metadata alone.

    The library orders metadata by chance, so that equal weights would differ in their SHA-256.
    """
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {**header.get("__metadata__", {}), KEY: _BLANK.decode()}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    tensors = memoryview(content)[8 + length :]
    beginning = len(text).to_bytes(8, "little")
    digest = hashlib.sha256(beginning + text)
    digest.update(tensors)
    # Within texts of the metadata quotes are escaped: only the key itself stands between plain ones.
    place = f'"{KEY}":"'.encode()
    return beginning + text.replace(place + _BLANK, place + digest.hexdigest().encode()) + tensors


def check_seal(path: Path) -> None:
    """Refuse a safetensors file that is no longer what was written; one without a digest passes.

    Raises:
        CheckpointError: it has changed since.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        beginning = file.read(8)
        header = file.read(int.from_bytes(beginning, "little"))
        written = re.search(f'"{KEY}":"([^"]{{64}})"'.encode(), header)
        if written is None:
            return
        digest = hashlib.sha256(beginning + header[: written.start(1)] + _BLANK + header[written.end(1) :])
        while part := file.read(_CHUNK):
            digest.update(part)
    if digest.hexdigest().encode() != written[1]:
        raise CheckpointError(
            f"{path}: damaged: its bytes are not those that were written (SHA-256); copy or train it again"
        )
