import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.builders import frame_pixels, small_document, write_set
from vistrials.data import frames
from vistrials.data.frames import FRAMES_AHEAD, decode_frame, iter_frames, prepare_frame, read_frame
from vistrials.data.transforms import normalise
from vistrials.errors import DataError
from vistrials.formats.annotations import load_video_set


@pytest.fixture
def video_set(tmp_path):
    return load_video_set(*write_set(tmp_path, small_document()))


def test_decoding_is_rgb_channels_first(tmp_path):
    pixels = frame_pixels(1, 0, (5, 7))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = decode_frame(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    np.testing.assert_array_equal(image.numpy(), pixels.transpose(2, 0, 1))


def test_grey_images_become_rgb(tmp_path):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "grey.png")
    image = decode_frame(tmp_path / "grey.png")
    assert image.shape == (3, 3, 4)
    assert (image[0] == image[2]).all()


def test_missing_and_broken_frames(tmp_path):
    with pytest.raises(DataError, match="absent.jpg: no such frame"):
        decode_frame(tmp_path / "absent.jpg")
    whole = tmp_path / "whole.jpg"
    Image.fromarray(frame_pixels(0, 0, (64, 64))).save(whole)
    png = tmp_path / "whole.png"
    Image.fromarray(frame_pixels(0, 0, (64, 64))).save(png)
    contents = {
        "half.png": png.read_bytes()[:800],
        "damaged.png": png.read_bytes()[:600] + bytes(300) + png.read_bytes()[900:],
        "half.jpg": whole.read_bytes()[:800],
        "empty.jpg": b"",
        "text.jpg": b"this is not an image at all, though it is long enough to have a header",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: not a readable image \(.*\); copy it again") as caught:
            decode_frame(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_errors_name_video_and_frame(video_set):
    video = video_set.videos[0]
    (video_set.frames_dir / video.file_names[2]).unlink()
    with pytest.raises(DataError, match="^video 41, frame 2: .*00002.png: no such frame"):
        read_frame(video_set, video, 2)
    Image.fromarray(frame_pixels(41, 3, (24, 32))).save(video_set.frames_dir / video.file_names[3])
    with pytest.raises(DataError, match="^video 41, frame 3: .*has 24 x 32 pixels .* say 48 x 64"):
        read_frame(video_set, video, 3)


def test_a_frame_for_the_network(video_set):
    video = video_set.videos[0]
    path = video_set.frames_dir / video.file_names[0]
    same = prepare_frame(decode_frame(path), (64, 48))
    assert (same.scale, same.original_size) == (1.0, (48, 64))
    torch.testing.assert_close(same.image, normalise(decode_frame(path)), rtol=0, atol=0)
    half = prepare_frame(decode_frame(path), (32, 32))
    assert (half.scale, half.original_size) == (0.5, (48, 64))
    assert half.image.shape == (3, 24, 32)


def test_iteration_keeps_the_order(video_set):
    video = video_set.videos[0]
    found = list(iter_frames(video_set, video, (64, 48)))
    assert len(found) == 4
    for frame, name in zip(found, video.file_names, strict=True):
        expected = prepare_frame(decode_frame(video_set.frames_dir / name), (64, 48))
        torch.testing.assert_close(frame.image, expected.image, rtol=0, atol=0)


def test_iteration_reads_ahead_but_never_far(video_set, monkeypatch):
    video = video_set.videos[0]
    long_video = type(video)(video.id, video.height, video.width, video.file_names * 10, ())
    read, original = [], read_frame

    def counting(*args):
        read.append(args[2])
        return original(*args)

    monkeypatch.setattr(frames, "read_frame", counting)
    iterator = iter_frames(video_set, long_video, (64, 48))
    for taken in range(1, 6):
        next(iterator)
        deadline = time.monotonic() + 5
        while len(read) < taken + FRAMES_AHEAD and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)  # long enough for a thread without bounds to run away: a frame takes below 1 ms
        assert read == list(range(taken + FRAMES_AHEAD))
    iterator.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames")]


def test_iteration_fails_at_the_broken_frame(video_set):
    video = video_set.videos[0]
    (video_set.frames_dir / video.file_names[2]).write_bytes(b"")
    iterator = iter_frames(video_set, video, (64, 48))
    next(iterator)
    next(iterator)
    with pytest.raises(DataError, match="video 41, frame 2"):
        next(iterator)
