"""labelme's shapes of type mask (AI masks, since labelme 5.3): a PNG of the object's box, in base64.

Source: labelme's shape_type "mask" (github.com/wkentaro/labelme, labelme/utils/shape.py): points are the box's first
and last pixel, [[x1, y1], [x2, y2]], and the PNG has (y2 - y1 + 1) x (x2 - x1 + 1) pixels.
"""

import base64
import binascii
import io
from typing import Any

import numpy as np
from PIL import Image

from vistrials.errors import DataError, shortened
from vistrials.formats.rle import MAX_PIXELS, Rle, encode_crop


def decode_labelme_mask(shape: dict[str, Any], size: tuple[int, int], where: str) -> Rle:
    """The mask of a shape of type mask.

    Args:
        shape: with points and mask.
        size: (height, width) of the frame in pixels.
        where: for messages.

    Raises:
        DataError: no PNG, or one that is not of the box's size or lies outside the frame.
    """
    points, text = shape.get("points"), shape.get("mask")
    try:
        ((x1, y1), (x2, y2)) = ((float(x), float(y)) for x, y in points)  # type: ignore[union-attr]
        left, top, right, bottom = (round(value) for value in (x1, y1, x2, y2))
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{where}: points are {shortened(points)}; expected the mask's corners [[x, y], [x, y]]"
        ) from None
    if not isinstance(text, str) or not text:
        raise DataError(f"{where}: mask is {shortened(text)}; expected a PNG in base64: draw its outline as a polygon")
    try:
        # Lines may be wrapped.
        data = base64.b64decode("".join(text.split()), validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{where}: a mask of {image.height} x {image.width} pixels, more than any frame has")
            values = np.array(image.convert("L") if image.mode in ("P", "RGB", "RGBA", "LA") else image)
    except DataError:
        raise
    except (binascii.Error, ValueError, OSError, SyntaxError) as error:
        raise DataError(f"{where}: mask is no PNG in base64 ({error}); draw its outline as a polygon") from None
    expected = bottom - top + 1, right - left + 1
    if values.shape != expected:
        raise DataError(
            f"{where}: a mask of {values.shape[0]} x {values.shape[1]} pixels (height x width), while its points span "
            f"{expected[0]} x {expected[1]}; they must be equal"
        )
    if left < 0 or top < 0 or bottom >= size[0] or right >= size[1]:
        raise DataError(
            f"{where}: a mask from [{left}, {top}] to [{right}, {bottom}] (x, y), while the frame has {size[1]} x "
            f"{size[0]} pixels (width x height); label the image that is there"
        )
    return encode_crop(np.ascontiguousarray(values.T != 0), top, left, size)
