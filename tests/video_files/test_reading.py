"""Videos in: upright, in step, with their times, whatever is wrong with the file."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.video_files.made_videos import GREEN, flip_bytes, make_sound, make_video, number_of, numbered_frame
from vistrials.errors import DataError
from vistrials.video_files.reading import open_frames, read_frames
from vistrials.video_files.sources import Source, find_sources


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.mov", "libx264"), ("v.webm", "libvpx-vp9")])
def test_frames_come_in_order_with_their_times(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path / name, 5, codec=codec)
    with open_frames(path) as reader:
        frames = list(reader)
        assert (reader.info.name, reader.info.height, reader.info.width) == ("v", 64, 96)
        assert (reader.info.rate, reader.info.num_frames) == (10, 5)
        assert reader.end_s == pytest.approx(0.5)
        assert reader.faults.num_damaged == 0 and reader.faults.cut_short is None
    assert [number_of(pixels) for _, pixels in frames] == [0, 1, 2, 3, 4]
    assert [time for time, _ in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert all(pixels.dtype == np.uint8 and pixels.shape == (64, 96, 3) for _, pixels in frames)


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    images = [Image.fromarray(numbered_frame(number)) for number in range(3)]
    images[0].save(tmp_path / "v.gif", save_all=True, append_images=images[1:], duration=[100, 300, 100])
    frames = list(read_frames(tmp_path / "v.gif"))
    assert [number_of(pixels) for _, pixels in frames] == [0, 1, 2]
    assert [time for time, _ in frames] == pytest.approx([0, 0.1, 0.4])


# Where a square in the upper left corner of the stored picture is seen; rotations are counter-clockwise.
@pytest.mark.parametrize(
    ("rotation", "hflip", "size", "corner"),
    [
        (0, False, (64, 96), "upper left"),
        (90, False, (96, 64), "lower left"),
        (-90, False, (96, 64), "upper right"),
        (180, False, (64, 96), "lower right"),
        (0, True, (64, 96), "upper right"),
    ],
)
def test_a_phone_s_rotation_is_applied(
    tmp_path: Path, rotation: int, hflip: bool, size: tuple[int, int], corner: str
) -> None:
    path = make_video(tmp_path / "v.mp4", 2, rotation=rotation, hflip=hflip)
    with open_frames(path) as reader:
        assert (reader.info.height, reader.info.width) == size
        pixels = next(iter(reader)).pixels
    assert pixels.shape == (*size, 3) and pixels.flags.c_contiguous
    rows = slice(2, 12) if "upper" in corner else slice(-12, -2)
    columns = slice(2, 12) if "left" in corner else slice(-12, -2)
    assert np.abs(pixels[rows, columns].astype(int) - GREEN).max() < 40
    assert np.abs(pixels[size[0] // 2, size[1] // 2].astype(int) - 20).max() < 40


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    ticks = [0, 100, 150, 400, 410, 1000]
    path = make_video(tmp_path / "v.mp4", ticks=ticks, time_base=Fraction(1, 1000))
    assert [time for time, _ in read_frames(path)] == pytest.approx([tick / 1000 for tick in ticks])


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("v.mp4", "libx264", {}), ("v.webm", "libvpx-vp9", {}), ("v.avi", "mpeg4", {"bf": "0"})],
)
def test_damaged_frames_are_counted_and_the_others_stay_in_step(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    # The fifth frame is a key frame again (g = 4), or all to the end would be damaged.
    path = flip_bytes(make_video(tmp_path / name, 12, codec=codec, options=options), [2])
    with open_frames(path) as reader:
        frames = list(reader)
    assert reader.faults.num_damaged >= 1
    assert [time for time, _ in frames] == pytest.approx([number / 10 for number in range(12)])
    numbers = [number_of(pixels) for _, pixels in frames]
    assert numbers[0] == 0 and numbers[4:] == [4, 5, 6, 7, 8, 9, 10, 11]


def test_lost_first_frames_are_shown_by_the_first_good_one(tmp_path: Path) -> None:
    path = flip_bytes(make_video(tmp_path / "v.webm", 8, codec="libvpx-vp9"), [0, 1, 2, 3])
    with open_frames(path) as reader:
        frames = list(reader)
    assert reader.faults.num_damaged == 4
    assert [number_of(pixels) for _, pixels in frames] == [4, 4, 4, 4, 4, 5, 6, 7]
    assert [time for time, _ in frames] == pytest.approx([number / 10 for number in range(8)])


def test_a_truncated_file_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 12, container_options={"movflags": "faststart"}, options={"bf": "0"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 300])
    with open_frames(path) as reader:
        frames = list(reader)
    assert 1 <= len(frames) < 12
    assert reader.faults.cut_short is not None
    assert number_of(frames[0].pixels) == 0


def test_a_video_from_a_pipe(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Bytes that cannot be sought."""

        def __init__(self, content: bytes) -> None:
            self.content = io.BytesIO(content)

        def read(self, size: int = -1) -> bytes:
            return self.content.read(size)

        def seek(self, *args: int) -> int:
            raise OSError("pipes do not seek")

    content = make_video(tmp_path / "v.webm", 4, codec="libvpx-vp9").read_bytes()
    with open_frames("-", stdin=Pipe(content)) as reader:  # type: ignore[arg-type]
        assert (reader.info.name, reader.info.num_frames) == ("stdin", None)
        assert [number_of(pixels) for _, pixels in reader] == [0, 1, 2, 3]
    # Larger than what is read at once, or the index at its end would be at hand.
    noise = np.random.default_rng(0).integers(0, 256, (8, 128, 192, 3), dtype=np.uint8)
    late_index = make_video(tmp_path / "v.mp4", size=(128, 192), draw=lambda number, _: noise[number]).read_bytes()
    with (
        pytest.raises(DataError, match="standard input: no frame can be decoded .*faststart"),
        open_frames("-", stdin=Pipe(late_index)),  # type: ignore[arg-type]
    ):
        pass


def test_images_of_a_folder_are_the_frames_of_a_video(tmp_path: Path) -> None:
    for number in (0, 2, 10):
        Image.fromarray(numbered_frame(number)).save(tmp_path / f"frame{number}.png")
    with open_frames(tmp_path, Fraction(4)) as reader:
        frames = list(reader)
        assert (reader.info.num_frames, reader.info.rate, reader.end_s) == (3, 4, 0.75)
    assert [time for time, _ in frames] == [0, 0.25, 0.5]
    for (_, pixels), number in zip(frames, (0, 2, 10), strict=True):
        assert (pixels == numbered_frame(number)).all()
    Image.new("RGB", (8, 8)).save(tmp_path / "frame11.png")
    with pytest.raises(DataError, match=r"frame11.png: expected 64 x 96 pixels .* found 8 x 8"):
        list(read_frames(tmp_path))


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    # Raw H.264 may change its size at any key frame.
    parts = [make_video(tmp_path / f"{size[0]}.h264", 2, size=size).read_bytes() for size in ((64, 96), (128, 192))]
    (tmp_path / "v.h264").write_bytes(b"".join(parts))
    with open_frames(tmp_path / "v.h264") as reader:
        frames = list(reader)
    assert [pixels.shape for _, pixels in frames] == [(64, 96, 3)] * 4
    assert reader.faults.num_rescaled == 2


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    cases = {
        "no.mp4": (b"this is text and no video at all\n" * 10, "cannot be opened"),
        "empty.mp4": (b"", "found an empty file"),
        "lfs.mp4": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nv.mp4\n#EXT-X-ENDLIST\n", "cannot be opened"),
    }
    for name, (content, expected) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: .*{expected}") as error, open_frames(tmp_path / name):
            pass
        assert "\n" not in str(error.value)
    headless = make_video(tmp_path / "v.mp4")
    headless.write_bytes(headless.read_bytes()[:400])
    with pytest.raises(DataError, match=r"v\.mp4: cannot be opened"), open_frames(headless):
        pass
    with (
        pytest.raises(DataError, match=r"expected a video, found audio alone"),
        open_frames(make_sound(tmp_path / "a.mp4")),
    ):
        pass
    with pytest.raises(DataError, match="camera 97: cannot be opened"), open_frames("97"):
        pass


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.webm", 2, codec="libvpx-vp9")
    with (
        pytest.raises(DataError, match="no frame can be decoded .all are damaged"),
        open_frames(flip_bytes(path, [0, 1])),
    ):
        pass


class TestFindSources:
    def test_kinds_and_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("a.mp4", "b.gif", "clip/f2.png", "clip/f10.png", "clip/notes.txt", "7/x.jpg"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).touch()
        found = find_sources(["a.mp4", "b.gif", "clip", "-", "0", "7"])
        assert found == [
            Source("file", "a", "a.mp4", (Path("a.mp4"),)),
            Source("file", "b", "b.gif", (Path("b.gif"),)),
            Source("images", "clip", "clip", (Path("clip/f2.png"), Path("clip/f10.png"))),
            Source("stream", "stdin", "standard input"),
            Source("camera", "camera0", "camera 0", camera=0),
            Source("images", "7", "7", (Path("7/x.jpg"),)),
        ]

    def test_a_pattern_or_what_the_shell_makes_of_it(self, tmp_path: Path) -> None:
        for name in ("a/1.png", "a/2.png", "a/10.png", "b/1.png", "v1.mp4", "v2.mp4"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        images = [str(tmp_path / "a" / f"{number}.png") for number in (1, 10, 2)]
        expected = tuple(tmp_path / "a" / f"{number}.png" for number in (1, 2, 10))
        assert [source.paths for source in find_sources(images)] == [expected]
        assert [source.paths for source in find_sources([f"{tmp_path}/a/*.png"])] == [expected]
        assert [source.name for source in find_sources([f"{tmp_path}/*/*.png"])] == ["a", "b"]
        assert [source.name for source in find_sources([f"{tmp_path}/*.mp4"])] == ["v1", "v2"]
        assert [source.name for source in find_sources([f"{tmp_path}/[ab]"])] == ["a", "b"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("absent.mp4", "no such file or folder"), ("*.webm", "no file or folder matches"), ("dir", "found a.txt")],
    )
    def test_nothing_there(self, tmp_path: Path, name: str, expected: str) -> None:
        (tmp_path / "dir").mkdir()
        (tmp_path / "dir" / "a.txt").touch()
        with pytest.raises(DataError, match=expected):
            find_sources([tmp_path / name])
