"""Image files: the one place that opens and decodes them, by their content, whatever a file's name says.

A frame is decoded to what its annotator saw, 8 bit RGB:

- **Orientation.** A tag (EXIF) that turns the stored picture is applied, as browsers and annotation tools do, unless
  annotations declare the size of the picture as stored and that is another one: then they were made on the stored one.
- **Depth.** Whole numbers of 16 bit, 0 to 65535, are divided by 257; where a file declares fewer bits (TIFF) or another
  maximum (PGM), that maximum becomes 255. Floating point is 0 (black) to 1 (white). Other numbers are refused.
- **Colour.** Palettes are looked up, CMYK and grey converted, and alpha is dropped: what it hides is seen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from vistrials.errors import DataError
from vistrials.formats.files import refuse_special

FRAME_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names. Formats that it hands to another program stay out: EPS starts Ghostscript, which runs the file."""

FRAME_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""How files of these formats end."""

IMAGE_SUFFIXES = tuple(suffix for suffix in FRAME_SUFFIXES if suffix != ".gif")
"""Those of single images: where nothing says that it is a frame, a .gif is a video."""

MAX_FRAME_PIXELS = 1 << 26
"""Of a frame or label image: twice that of video of 8K. More is not decoded, whatever a file declares."""

Size = tuple[int, int]  # height, width in pixels

_NUM_SHOWN = 12
_FULL_RANGE = 65535
_EXIF_IN_PNG = {"exif", "Raw profile type exif"}
_TURNED = (5, 6, 7, 8)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = Base.BitsPerSample, Base.PhotometricInterpretation, 0
_MAKES_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_INVERSE = {**{number: number for number in _MAKES_UPRIGHT}, 6: 8, 8: 6}


@dataclass(frozen=True, slots=True)
class ImageHead:
    """What a file says of its picture before any pixel is decoded.

    Attributes:
        size: (height, width) in pixels as it is shown, the orientation tag applied.
        orientation: the tag's value, 1 (as stored) to 8.
        mode: pillow's name of its kind of pixels.
    """

    size: Size
    orientation: int
    mode: str

    @property
    def stored_size(self) -> Size:
        """(height, width) as stored, without the tag."""
        return (self.size[1], self.size[0]) if self.orientation in _TURNED else self.size

    @property
    def is_deep(self) -> bool:
        """Whether its values have more than 8 bits."""
        return self.mode.startswith("I") or self.mode == "F"

    def fits(self, size: Size) -> bool:
        """Whether annotations of this size can be of this picture, as shown or as stored."""
        return size in (self.size, self.stored_size)

    def describe(self) -> str:
        """Its size for messages."""
        shown = f"{self.size[0]} x {self.size[1]} pixels (height x width)"
        return shown if self.orientation == 1 else f"{shown}, turned upright by its orientation tag {self.orientation}"


@contextmanager
def open_image(path: Path, formats: tuple[str, ...] = FRAME_FORMATS) -> Iterator[Image.Image]:
    """Open an image file, told by its content, for reading its size or its pixels inside the block.

    Args:
        path: the file.
        formats: pillow's names of those that are accepted.

    Yields:
        The image; pixels are decoded when they are asked for.

    Raises:
        DataError: the file is missing, no plain file, of another format, of too many pixels, or found
            to be damaged inside the block.
    """
    try:
        refuse_special(path)
        with Image.open(path, formats=formats) as image:
            if image.width * image.height > MAX_FRAME_PIXELS:
                raise DataError(
                    f"{path}: {image.height} x {image.width} pixels (height x width); expected at most "
                    f"{MAX_FRAME_PIXELS:,} in all: no video has such frames, scale it"
                )
            yield image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such frame or label image; check the folders") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: not a readable image (expected {', '.join(formats)}; found {_beginning(path)}); "
            "copy it again, or convert it"
        ) from None
    except Exception as error:  # what a decoder raises on damaged data depends on the format
        raise DataError(f"{path}: not a readable image ({error}); copy it again") from None


def read_head(path: Path) -> ImageHead:
    """Read what a frame file says of its picture, without decoding it.

    Raises:
        DataError: it is missing, no image or of another format.
    """
    with open_image(path) as image:
        return head_of(image)


def head_of(image: Image.Image) -> ImageHead:
    """The head of an opened image."""
    orientation = _orientation(image)
    size = image.height, image.width
    # Pillow turns TIFF files by itself, from the opening on.
    if orientation in _TURNED and image.format != "TIFF":
        size = image.width, image.height
    return ImageHead(size, orientation, image.mode)


def read_pixels(path: Path, size: Size | None = None) -> NDArray[np.uint8]:
    """Decode a frame file to what its annotator saw (see above).

    Args:
        path: a file of one of `FRAME_FORMATS`, by its content.
        size: (height, width) that annotations declare, compared before any pixel is decoded; None takes what is there.

    Returns:
        RGB [height, width, 3].

    Raises:
        DataError: it is missing, broken, of another format or size, or its values have no stated range.
    """
    # By pillow: torchvision's decoders take 1 ms less of the 7 that a 1280x720 frame needs from file to
    # network input and give the same pixels, but are due to be removed (deprecated in torchvision 0.29).
    with open_image(path) as image:
        head = head_of(image)
        if size is not None and not head.fits(size):
            raise DataError(f"{path} has {head.describe()} where the annotations say {size[0]} x {size[1]}")
        is_tiff = image.format == "TIFF"
        rgb = _eight_bit_rgb(image, path)
        if size is None or size == head.size:
            turn = None if is_tiff else head.orientation
        else:
            turn = _INVERSE.get(head.orientation) if is_tiff else None
        if turn in _MAKES_UPRIGHT:
            rgb = rgb.transpose(_MAKES_UPRIGHT[turn])
        return np.array(rgb)


def read_deep_values(image: Image.Image, path: Path) -> NDArray[Any]:
    """The values of an opened image of more than 8 bits, checked, with white as the largest.

    Returns:
        [height, width], whole numbers of 0 to 65535, or floating point of 0 to 1.

    Raises:
        DataError: they lie beyond.
    """
    tags = getattr(image, "tag_v2", {})
    # Asked before the pixels, after which the tags are gone.
    bits, photometric = tags.get(_BITS_PER_SAMPLE, (16,)), tags.get(_PHOTOMETRIC)
    values = np.array(image)
    largest = 1 if image.mode == "F" else _FULL_RANGE
    # NaN is in no range.
    if not (values.min() >= 0 and values.max() <= largest):
        kind = "floating point" if image.mode == "F" else "whole numbers of more than 8 bits"
        raise DataError(
            f"{path}: {kind} from {values.min():g} to {values.max():g}; expected 0 (black) to {largest} (white): "
            "scale the frames, or convert them to 8 bit"
        )
    if image.mode != "F" and bits and bits[0] < 16:
        values = np.rint(values * (_FULL_RANGE / ((1 << bits[0]) - 1)))
    if photometric == _WHITE_IS_ZERO:
        values = largest - values
    return values


def _eight_bit_rgb(image: Image.Image, path: Path) -> Image.Image:
    if head_of(image).is_deep:
        values = read_deep_values(image, path)
        scale = 255 if image.mode == "F" else 1 / 257
        image = Image.fromarray(np.rint(values * scale).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    # Of a PNG what stands behind the pixels would need all of them decoded; tools write it before.
    if image.format == "PNG" and not _EXIF_IN_PNG & image.info.keys():
        return 1
    try:
        value = image.getexif().get(Base.Orientation, 1)
    except Exception:  # a damaged tag: viewers ignore it as well
        return 1
    return value if value in _MAKES_UPRIGHT else 1


def _beginning(path: Path) -> str:
    with open(path, "rb") as file:
        content = file.read(_NUM_SHOWN)
    return f"a file that begins with {content!r}" if content else "an empty file"
