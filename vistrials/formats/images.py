"""Image files: only formats that pillow decodes by itself, whatever a file's name says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vistrials.errors import DataError

FRAME_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names. Formats that it hands to another program stay out: EPS starts Ghostscript, which runs the file."""

_NUM_SHOWN = 12


@contextmanager
def open_image(path: Path, formats: tuple[str, ...] = FRAME_FORMATS) -> Iterator[Image.Image]:
    """Open an image file, told by its content, for reading its size or its pixels inside the block.

    Args:
        path: the file.
        formats: pillow's names of those that are accepted.

    Yields:
        The image; pixels are decoded when they are asked for.

    Raises:
        DataError: the file is missing, of another format, or found to be damaged inside the block.
    """
    try:
        with Image.open(path, formats=formats) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"{path}: no such frame or label image; check the folders") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: not a readable image (expected {', '.join(formats)}; found {_beginning(path)}); "
            "copy it again, or convert it"
        ) from None
    except Exception as error:  # what a decoder raises on damaged data depends on the format
        raise DataError(f"{path}: not a readable image ({error}); copy it again") from None


def _beginning(path: Path) -> str:
    with open(path, "rb") as file:
        content = file.read(_NUM_SHOWN)
    return f"a file that begins with {content!r}" if content else "an empty file"


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Decode an image file of one of `FRAME_FORMATS`, by its content.

    Returns:
        RGB (height, width, 3).

    Raises:
        DataError: it is missing, broken or of another format.
    """
    # By pillow: torchvision's decoders take 1 ms less of the 7 that a 1280x720 frame needs from file to
    # network input and give the same pixels, but are due to be removed (deprecated in torchvision 0.29).
    with open_image(path) as image:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
