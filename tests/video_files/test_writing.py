"""Videos out: sizes, times and colours as they were given, and playable however it ends."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video_files.made_videos import number_of, numbered_frame
from vistrials.video_files.reading import open_frames
from vistrials.video_files.writing import VideoWriter


def test_written_frames_come_back(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v", (64, 96), Fraction(10)) as writer:
        for number in range(6):
            writer.write(numbered_frame(number), number / 10)
    with open_frames(tmp_path / "v") as reader:
        assert reader.info.rate == 10
        assert [number_of(pixels) for _, pixels in reader] == [0, 1, 2, 3, 4, 5]
        assert reader.end_s == pytest.approx(0.6)


def test_what_browsers_ask_for(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", (64, 96)) as writer:
        writer.write(numbered_frame(0), 0)
    content = (tmp_path / "v.mp4").read_bytes()
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("time_base", [Fraction(1, 1000), Fraction(1, 90_000)])
def test_times_and_durations_of_a_variable_rate(tmp_path: Path, time_base: Fraction) -> None:
    times = [0, 0.1, 0.15, 0.4, 0.41, 1]
    with VideoWriter(tmp_path / "v.mp4", (64, 96), Fraction(5), time_base) as writer:
        for time in times:
            writer.write(numbered_frame(0), time)
        writer.end_s = 1.7
    with open_frames(tmp_path / "v.mp4") as reader:
        assert [time for time, _ in reader] == pytest.approx(times)
        assert reader.end_s == pytest.approx(1.7)
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None and stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(1.7)


def test_a_time_that_falls_back_is_moved_behind_the_frame_before(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", (64, 96), Fraction(10), Fraction(1, 1000)) as writer:
        for number, time in enumerate([0.0, 0.2, 0.1]):
            writer.write(numbered_frame(number), time)
    with open_frames(tmp_path / "v.mp4") as reader:
        frames = list(reader)
    assert [time for time, _ in frames] == pytest.approx([0, 0.2, 0.201])
    assert [number_of(pixels) for _, pixels in frames] == [0, 1, 2]


def test_odd_sizes_get_a_copy_of_the_last_row_and_column(tmp_path: Path) -> None:
    image = np.full((63, 95, 3), 40, np.uint8)
    image[-1], image[:, -1] = 220, 220
    with VideoWriter(tmp_path / "v.mp4", (63, 95)) as writer:
        writer.write(image, 0)
    with open_frames(tmp_path / "v.mp4") as reader:
        pixels = next(iter(reader)).pixels
    assert pixels.shape == (64, 96, 3)
    assert pixels[63, 10].mean() > 180 and pixels[10, 95].mean() > 180
    assert pixels[10, 10].mean() < 60


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(200, 30, 60), (20, 180, 40), (30, 60, 220), (250, 250, 250), (128, 128, 128), (5, 5, 5)]
    image = np.repeat(np.repeat(np.array(colours, np.uint8)[None], 64, 0), 16, 1)
    with VideoWriter(tmp_path / "v.mp4", (64, 96)) as writer:
        writer.write(image, 0)
    with open_frames(tmp_path / "v.mp4") as reader:
        pixels = next(iter(reader)).pixels
    assert np.abs(pixels[32, 8::16].astype(int) - np.array(colours)).max() <= 4


def test_an_interrupt_leaves_a_file_that_plays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "v.mp4", (64, 96)) as writer:
        for number in range(3):
            writer.write(numbered_frame(number), number / 25)
        raise KeyboardInterrupt
    with open_frames(tmp_path / "v.mp4") as reader:
        assert [number_of(pixels) for _, pixels in reader] == [0, 1, 2]


def test_a_frame_of_another_size_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", (64, 96)) as writer:
        writer.write(numbered_frame(0), 0)
        with pytest.raises(ValueError, match="expected a frame of"):
            writer.write(np.zeros((96, 64, 3), np.uint8), 1)
