"""Videos in: upright frames one at a time, with their times, from files, images, streams and cameras."""

import heapq
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.formats.files import refuse_special
from vistrials.formats.images import open_image, read_pixels
from vistrials.video_files.sources import Source, find_sources

Pixels = NDArray[np.uint8]

IMAGES_PER_SECOND = Fraction(24)
"""At which images without times follow each other, unless the caller says another rate."""

_CONTAINERS = "mov,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,h264,hevc,ivf,m4v,nut,dv,yuv4mpegpipe"
# Playlists and the like stay out: they name further files and addresses, which would then be read.
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file,pipe"}
_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_LFS_POINTER = b"version https://git-lfs"
_FINE_TIME_BASE = Fraction(1, 90_000)
# Some of its packets hold pictures that are only referred to, never shown.
_WITH_HIDDEN_FRAMES = ("vp8",)


class TimedFrame(NamedTuple):
    """A frame. timestamp_s: seconds since the first one; pixels: uint8 RGB (H, W, 3), upright."""

    timestamp_s: float
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video before it is read to its end.

    height, width: of the upright frames, in pixels.
    rate: mean frames per second as far as the file says, else None.
    time_base: timestamps are multiples of it, in seconds.
    num_frames: as the file says or as its duration means; None for streams and cameras.
    """

    name: str
    height: int
    width: int
    rate: Fraction | None
    time_base: Fraction
    num_frames: int | None


@dataclass(slots=True)
class Faults:
    """What went wrong so far while a video was read.

    num_damaged: frames that could not be decoded whole. A lost one is shown by its predecessor (before the first good
        one: by that), so that frame numbers and times stay those of the video; of others the decoder shows what it
        could save.
    num_rescaled: frames of another size than the first, scaled to it.
    cut_short: why the file ends too early; None where it does not.
    """

    num_damaged: int = 0
    num_rescaled: int = 0
    cut_short: str | None = None


@dataclass(slots=True)
class FrameReader:
    """The frames of one video, in order, each once; from `open_frames`.

    faults: so far; end_s: when the last frame so far ends, in seconds since the first one began.
    """

    info: VideoInfo
    faults: Faults
    _frames: Iterator["_Decoded"]
    end_s: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[TimedFrame]:
        for begin, duration, pixels in self._frames:
            self.end_s = float((begin + duration) * self.info.time_base)
            yield TimedFrame(float(begin * self.info.time_base), pixels)


class _Decoded(NamedTuple):
    """Times in units of the time base."""

    begin: int
    duration: int
    pixels: Pixels


def read_frames(source: Source | str | Path, images_per_second: Fraction = IMAGES_PER_SECOND) -> Iterator[TimedFrame]:
    """The frames of one video; arguments and errors as of `open_frames`, which also tells what the video is."""
    with open_frames(source, images_per_second) as reader:
        yield from reader


@contextmanager
def open_frames(
    source: Source | str | Path,
    images_per_second: Fraction = IMAGES_PER_SECOND,
    stdin: BinaryIO | None = None,
) -> Iterator[FrameReader]:
    """Open a video and decode its first frame; the others are decoded when their turn comes, one in memory at a time.

    Rotations and mirrorings that the file asks for are applied; those of images are not, as in data sets.

    Args:
        source: of `sources.find_sources`, or what a user can type for one video.
        images_per_second: of images, which carry no times.
        stdin: what a stream is read from; the standard input by default.

    Raises:
        DataError: no such video, no video at all, one without frames, a first image that is damaged, or images of
            different sizes.
    """
    if not isinstance(source, Source):
        found = find_sources([source])
        if len(found) != 1:
            raise DataError(f"{source}: expected one video, found {len(found)}")
        source = found[0]
    if source.kind == "images":
        yield _open_images(source, images_per_second)
        return
    with _open_container(source, stdin) as container:
        yield _open_stream(container, source)


def _open_images(source: Source, rate: Fraction) -> FrameReader:
    first = source.paths[0]
    shown, faults = read_pixels(first), Faults()
    height, width = shown.shape[:2]
    # Of all images now, rather than at the thousandth one.
    for path in source.paths:
        if (size := _declared_size(path)) not in (None, (height, width)):
            raise DataError(
                f"{path}: expected {height} x {width} pixels (height x width) as in {first.name}, found "
                f"{' x '.join(map(str, size or ()))}; the images of one folder are one video"
            )

    def frames() -> Iterator[_Decoded]:
        pixels = shown
        for number, path in enumerate(source.paths):
            try:
                pixels = read_pixels(path)
            except DataError:
                faults.num_damaged += 1
            yield _Decoded(number, 1, pixels)

    info = VideoInfo(source.name, height, width, rate, 1 / rate, len(source.paths))
    return FrameReader(info, faults, frames())


def _declared_size(path: Path) -> tuple[int, int] | None:
    """(height, width) that an image says it has; None of one that is damaged."""
    try:
        with open_image(path) as image:
            return image.height, image.width
    except DataError:
        return None


_EXPECTED = {
    "file": "expected a video such as mp4, mov, webm, mkv, avi or gif; check that it plays, or copy it again",
    "stream": "expected a video that can be read from its beginning on: webm, mkv, mpegts, or mp4 made with faststart",
    "camera": "check that the camera is connected, free, and may be read",
}


@contextmanager
def _open_container(source: Source, stdin: BinaryIO | None) -> Iterator[InputContainer]:
    try:
        if source.kind == "file":
            _refuse_what_is_no_video(source.paths[0])
        container = _open(source, stdin)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{source.where}: cannot be opened ({reason}); {_EXPECTED[source.kind]}") from None
    with container:
        yield container


def _open(source: Source, stdin: BinaryIO | None) -> InputContainer:
    if source.kind == "stream":
        return av.open(_Pipe(stdin or sys.stdin.buffer), "r", options=_OPTIONS)
    if source.kind == "file":
        # With its protocol, or a colon in the name would be taken for one.
        return av.open(f"file:{source.paths[0]}", "r", options=_OPTIONS)
    system = _CAMERA_FORMATS.get(sys.platform, "v4l2")
    name = {"v4l2": f"/dev/video{source.camera}", "dshow": f"video={source.camera}"}.get(system, str(source.camera))
    return av.open(name, "r", format=system)


class _Pipe:
    """Hides that a pipe has a method for seeking, which fails."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _refuse_what_is_no_video(path: Path) -> None:
    refuse_special(path)
    with open(path, "rb") as file:
        beginning = file.read(len(_LFS_POINTER))
    if not beginning:
        raise DataError(f"{path}: expected a video, found an empty file; copy it again")
    if beginning == _LFS_POINTER:
        raise DataError(f"{path}: expected a video, found a pointer of Git LFS to one; fetch it with `git lfs pull`")


def _open_stream(container: InputContainer, source: Source) -> FrameReader:
    # To FFmpeg a cover picture is a video too.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "nothing"
        raise DataError(f"{source.where}: expected a video, found {kinds} alone; name a file with pictures")
    stream, faults = streams[0], Faults()
    decoded = _decode(container, stream, faults)
    first = next(decoded, None)
    if first is None:
        why = faults.cut_short or ("all are damaged" if faults.num_damaged else "it has none")
        raise DataError(f"{source.where}: no frame can be decoded ({why}); {_EXPECTED[source.kind]}")
    height, width = first.pixels.shape[:2]

    def frames() -> Iterator[_Decoded]:
        yield first
        for frame in decoded:
            if frame.pixels.shape[:2] != (height, width):
                faults.num_rescaled += 1
                image = VideoFrame.from_ndarray(frame.pixels, "rgb24")
                frame = frame._replace(pixels=_to_rgb(image.reformat(width, height)))
            yield frame

    count = _count_frames(container, stream) if source.kind == "file" else None
    info = VideoInfo(source.name, height, width, stream.average_rate, _time_base(stream), count)
    return FrameReader(info, faults, frames())


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or _FINE_TIME_BASE


def _count_frames(container: InputContainer, stream: VideoStream) -> int | None:
    if stream.frames:
        return stream.frames
    if stream.average_rate is None:
        return None
    if stream.duration is not None:
        return round(stream.duration * _time_base(stream) * stream.average_rate)
    return round(container.duration * stream.average_rate / av.time_base) if container.duration else None


def _decode(container: InputContainer, stream: VideoStream, faults: Faults) -> Iterator[_Decoded]:
    """The frames of a stream in the order in which they are shown, lost ones made up for."""
    usual = max(1, round(1 / (stream.average_rate * _time_base(stream)))) if stream.average_rate else 1
    pixels: Pixels | None = None
    lost_first: list[int | None] = []
    origin: int | None = None
    begin, end = -1, 0
    for time, frame in _pictures(stream, _packets(container, stream, faults)):
        duration = usual
        if frame is not None:
            faults.num_damaged += frame.is_corrupt
            pixels, duration = _upright(frame), frame.duration or usual
        else:
            faults.num_damaged += 1
            if pixels is None:
                lost_first.append(time)
        if pixels is None:
            continue
        for shown in [*lost_first, time]:
            origin = shown if origin is None else origin
            # Times that are missing, or fall back, are made up: every frame has its own.
            begin = max(begin + 1, end if shown is None else shown - (origin or 0))
            end = begin + duration
            yield _Decoded(begin, duration, pixels)
        lost_first = []


def _packets(container: InputContainer, stream: VideoStream, faults: Faults) -> Iterator[Packet | None]:
    """All packets; where the file breaks off, None at last, so that the decoder gives what it holds."""
    packets, count = container.demux(stream), 0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            if count < stream.frames:
                faults.cut_short = f"{count} of {stream.frames} frames are there"
            return
        except (av.FFmpegError, OSError) as error:
            faults.cut_short = str(getattr(error, "strerror", None) or error)
            yield None
            return
        count += packet.size > 0
        yield packet


def _pictures(stream: VideoStream, packets: Iterable[Packet | None]) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Times and pictures as they are shown; None where a packet's picture is lost, or where it has no time."""
    trusted = stream.codec_context.name not in _WITH_HIDDEN_FRAMES
    waiting: list[int] = []  # a heap: times of packets whose pictures have not come yet
    lost: set[int] = set()
    for packet in packets:
        shows = packet is not None and packet.size > 0 and not packet.is_discard
        time = packet.pts if packet is not None and shows else None
        if time is not None and trusted:
            heapq.heappush(waiting, time)
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            frames = []
            if time is not None and not trusted:
                heapq.heappush(waiting, time)
            elif shows and time is None:
                yield None, None
        for frame in frames:
            if frame.pts in lost:
                continue  # mended too late: its predecessor stood in for it
            if frame.pts is None:
                yield None, frame
                continue
            if trusted and frame.pts not in waiting:
                # The decoder keeps times of its own, which tell nothing about packets.
                trusted, waiting = False, []
            while waiting and waiting[0] < frame.pts:
                lost.add(waiting[0])
                yield heapq.heappop(waiting), None
            if waiting and waiting[0] == frame.pts:
                heapq.heappop(waiting)
            yield frame.pts, frame
    while waiting:
        yield heapq.heappop(waiting), None


def _upright(frame: VideoFrame) -> Pixels:
    """The picture turned and mirrored as its display matrix says, to the nearest right angle."""
    pixels = _to_rgb(frame)
    side_data: Any = frame.side_data  # a mapping, whatever the stubs of PyAV say
    matrix = next((bytes(data) for data in side_data if data.type == SideData.DISPLAYMATRIX), None)
    if matrix is None:
        return pixels
    # A point goes to x' = a x + c y, y' = b x + d y; y points down.
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _to_rgb(frame: VideoFrame) -> Pixels:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
