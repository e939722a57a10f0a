"""Videos out: H.264 in mp4, which browsers play, written frame by frame."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

USUAL_RATE = Fraction(25)
_BT709 = 1  # of primaries and transfer, as H.264 numbers them

# Constant quality at which codec artefacts are not seen beside the lines of an overlay. Without frames that refer to
# later ones, since mp4 stores durations in the order of decoding: those of a variable rate would be shuffled.
_ENCODER = {"crf": "20", "preset": "veryfast", "bf": "0"}
# The index in front, so that players begin before they have the whole file.
_CONTAINER = {"movflags": "+faststart"}


class VideoWriter:
    """Writes an mp4 (H.264, yuv420p); a context manager, and the file plays however its block ends.

    Frames keep their times. Those with an odd height or width are padded by one pixel at the bottom or right, a copy
    of the last row or column, since yuv420p has half as many colours in each direction.

    Args:
        path: the file, whatever its suffix; replaced.
        size: (height, width) of all frames in pixels.
        rate: mean frames per second, for the encoder's planning; 25 where unknown.
        time_base: times are rounded to multiples of it, in seconds; by default of 1/90000.

    Attributes:
        end_s: when the last frame ends; by default it lasts as long as the one before it.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path | str,
        size: tuple[int, int],
        rate: Fraction | None = None,
        time_base: Fraction = Fraction(1, 90_000),
    ) -> None:
        self.size = size
        self.end_s: float | None = None
        self._time_base = time_base
        self._container = av.open(str(path), "w", format="mp4", options=_CONTAINER)
        stream = self._container.add_stream("libx264", rate=(rate or USUAL_RATE).limit_denominator(1 << 16))
        stream.height, stream.width = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        stream.options = dict(_ENCODER)
        stream.codec_context.time_base = time_base
        # Said in the file, or players guess by its size.
        stream.colorspace, stream.color_range = Colorspace.ITU709, ColorRange.MPEG
        stream.color_primaries = stream.color_trc = _BT709
        self._stream = stream
        self._last: int | None = None
        self._distance = max(1, round(1 / ((rate or USUAL_RATE) * time_base)))

    def write(self, pixels: NDArray[np.uint8], timestamp_s: float) -> None:
        """Append a frame.

        Args:
            pixels: uint8 RGB (H, W, 3) of the video's size.
            timestamp_s: when it begins, in seconds; later than the frame before, or it is moved to just behind that.
        """
        if pixels.shape != (*self.size, 3):
            raise ValueError(f"expected a frame of {(*self.size, 3)}, found {pixels.shape}")
        height, width = self.size
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        time = round(timestamp_s / self._time_base)
        if self._last is not None:
            time = max(time, self._last + 1)
            self._distance = time - self._last
        self._last = time
        frame.pts, frame.time_base = time, self._time_base
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and the index."""
        if self._last is not None:
            if self.end_s is not None:
                self._distance = max(1, round(self.end_s / self._time_base) - self._last)
            self._mux(self._stream.encode(None))
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            # Looked at in the last packet alone: all others end where the next begins.
            packet.duration = self._distance
            self._container.mux(packet)
