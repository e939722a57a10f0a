"""What is wrong or odd in a frame file. No torch, and no more decoding than shows that it can be decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from vistrials.errors import DataError
from vistrials.formats.findings import Finding, error, warning
from vistrials.formats.images import ImageHead, Size, head_of, open_image, read_deep_values

_TWELVE_BITS = 1 << 12


@dataclass(frozen=True, slots=True)
class Look:
    """What one file shows.

    Attributes:
        where: video and frame.
        findings: what is wrong with it.
        largest: its largest value, if it has whole numbers of more than 8 bits.
    """

    where: str
    findings: tuple[Finding, ...]
    largest: int | None = None


def look_at_frame(path: Path, size: Size, where: str) -> Look:
    """Open and decode a frame file; the size is compared first.

    Args:
        path: the file.
        size: (height, width) that the annotations declare.
        where: video and frame, for messages.
    """
    if not path.is_file():
        return Look(where, (error("missing frame", where, str(path)),))
    try:
        with open_image(path) as image:
            head = head_of(image)
            if not head.fits(size):
                declared = f"declared {size[0]} x {size[1]}"
                found = f"{path} has {head.describe()}, {declared}; give the frames that were annotated"
                return Look(where, (error("frame size differs from declared size", where, found),))
            findings = list(_oddities(head, size, path, where))
            if getattr(image, "is_animated", False) and image.format != "MPO":
                findings.append(warning("file of several pictures", where, f"{path}; the first is the frame"))
            largest = None
            if head.is_deep:
                values = read_deep_values(image, path)
                largest = int(values.max()) if values.dtype.kind in "iu" else None
            else:
                # JPEG: every byte is read, an eighth of the pixels made.
                image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
                image.load()
    except DataError as fault:
        return Look(where, (error("unreadable frame", where, str(fault)),))
    return Look(where, tuple(findings), largest)


def prints_of(frames: Sequence[Path]) -> frozenset[bytes]:
    """Digests of the first, middle and last frame file of a video, by which a copy of it is known under any name.

    Returns:
        Up to three; none where files are missing, or all alike: a still picture, or a black one, tells nothing.
    """
    chosen = {frames[0], frames[len(frames) // 2], frames[-1]}
    try:
        found = frozenset(blake2b(path.read_bytes(), digest_size=16).digest() for path in chosen)
    except OSError:
        return frozenset()
    return found if len(found) > 1 else frozenset()


def are_copies(one: frozenset[bytes], other: frozenset[bytes]) -> bool:
    """Whether two videos have two of the frames of `prints_of` in common."""
    return len(one & other) > 1


def dark_frames(looks: Sequence[Look]) -> Iterator[Finding]:
    """Whether the frames of more than 8 bits use so few of them that they come out nearly black.

    Args:
        looks: those with a largest value.
    """
    largest = max((look.largest for look in looks if look.largest is not None), default=None)
    if largest is not None and largest < _TWELVE_BITS:
        yield warning(
            "16 bit frames that are nearly black",
            looks[0].where,
            f"no value of {len(looks)} frames is above {largest}, of 65535 for white: 12 bits or fewer, stored as 16; "
            "multiply the values, say by 16 for 12 bits",
        )


def _oddities(head: ImageHead, size: Size, path: Path, where: str) -> Iterator[Finding]:
    if head.orientation == 1:
        return
    tag = f"{path} has orientation tag {head.orientation}"
    if size != head.size:
        yield warning("annotated without its orientation tag", where, f"{tag}; the size is that as stored, and used")
    elif head.size == head.stored_size:
        yield warning(
            "orientation tag that the size does not show",
            where,
            f"{tag}, which is applied; if the annotations were made on the picture as stored, remove the tag",
        )
