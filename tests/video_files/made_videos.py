"""Small videos whose frames tell their numbers, made with PyAV alone."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = Fraction(10)
SIZE = (64, 96)
GREEN, GREY_STEP = (0, 255, 0), 12


def numbered_frame(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Grey that gets lighter with the number; a green square of 16 pixels in the upper left corner."""
    image = np.full((*size, 3), 20 + GREY_STEP * number, np.uint8)
    image[:16, :16] = GREEN
    return image


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number of a frame that was coded with losses."""
    return round((float(pixels[32:48, 32:48].mean()) - 20) / GREY_STEP)


def make_video(
    path: Path,
    num_frames: int = 8,
    *,
    size: tuple[int, int] = SIZE,
    ticks: Sequence[int] | None = None,
    time_base: Fraction = 1 / RATE,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    hflip: bool = False,
    sound: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    draw: Callable[[int, tuple[int, int]], NDArray[np.uint8]] = numbered_frame,
) -> Path:
    """A video of numbered frames; `ticks` are their times in units of `time_base`; rotation counter-clockwise."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.options = {"g": "4", **(options or {})}
        stream.codec_context.time_base = time_base
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        if sound:
            container.add_stream("aac", rate=8000)
        for number, tick in enumerate(range(num_frames) if ticks is None else ticks):
            frame = av.VideoFrame.from_ndarray(draw(number, size), "rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path) -> Path:
    """A second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for number in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * number, Fraction(1, 8000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def flip_bytes(path: Path, packets: Sequence[int]) -> Path:
    """Damage the content of packets, counted as they lie in the file."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(container.streams.video[0]) if p.size and p.pos is not None]
    content = bytearray(path.read_bytes())
    for number in packets:
        position, length = places[number]
        for place in range(position + 5, position + length):
            content[place] ^= 0x5A
    path.write_bytes(content)
    return path
