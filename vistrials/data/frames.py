"""Frames from disk: decoding, checking against the annotations, and reading ahead."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from vistrials.data.transforms import normalise, resize_image, resize_shape
from vistrials.errors import DataError
from vistrials.formats.images import Size, read_pixels
from vistrials.formats.safe_names import leads_out
from vistrials.structures.frames import Frame
from vistrials.structures.video import Video, VideoSet

FRAMES_AHEAD = 4


def decode_frame(path: Path, size: Size | None = None) -> Tensor:
    """Decode an image file to what its annotator saw (see `formats.images`).

    Args:
        path: a file of one of `formats.images.FRAME_FORMATS`, by its content.
        size: (height, width) that annotations declare, compared before any pixel is decoded; None takes what is there.

    Returns:
        uint8 RGB (3, height, width).

    Raises:
        DataError: it is missing, broken, of another format or of another size.
    """
    return torch.from_numpy(read_pixels(path, size)).permute(2, 0, 1)


def read_frame(video_set: VideoSet, video: Video, index: int) -> Tensor:
    """Decode one frame of a video.

    Returns:
        uint8 RGB (3, height, width).

    Raises:
        DataError: the file is missing, broken, or of another size than the annotations say.
    """
    name = video.file_names[index]
    path = video_set.frames_dir / name
    try:
        if leads_out(name) or Path(name).is_absolute():
            raise DataError(f"{name} leads out of {video_set.frames_dir}; expected a frame below it")
        return decode_frame(path, (video.height, video.width))
    except DataError as error:
        raise DataError(f"video {video.id}, frame {index}: {error}") from None


def prepare_frame(image: Tensor, image_size_px: tuple[int, int]) -> Frame:
    """Resize and normalise a decoded frame.

    Args:
        image: uint8 RGB (3, h, w).
        image_size_px: (long edge, short edge) that it is fitted into.
    """
    original_size = (image.shape[1], image.shape[2])
    size, scale = resize_shape(original_size, image_size_px)
    return Frame(normalise(resize_image(image, size)), scale, original_size)


def iter_frames(video_set: VideoSet, video: Video, image_size_px: tuple[int, int]) -> Iterator[Frame]:
    """Load the frames of a video in order; a thread decodes a few frames ahead, never more.

    Raises:
        DataError: when the turn comes to a frame that is missing, broken or of another size than declared.
    """

    def load(index: int) -> Frame:
        return prepare_frame(read_frame(video_set, video, index), image_size_px)

    decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
    pending: deque[Future[Frame]] = deque()
    try:
        for index in range(len(video)):
            pending.append(decoder.submit(load, index))
            if len(pending) > FRAMES_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        decoder.shutdown(cancel_futures=True)
