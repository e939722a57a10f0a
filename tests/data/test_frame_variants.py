"""What other programs and phones store as frames: decoded to what the annotator saw, or refused in one line."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.data.builders import small_document, write_set
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.writing import common_size
from vistrials.data.frames import decode_frame, read_frame
from vistrials.errors import DataError
from vistrials.formats.annotations import load_video_set
from vistrials.formats.images import read_head, read_pixels

HEIGHT, WIDTH = 24, 40
ORIENTATION = 0x0112

# EXIF: which side of the picture the stored row 0 and column 0 are. Stored pixel [r, c] -> pixel of the picture.
STORED = {
    1: lambda r, c: (r, c),
    2: lambda r, c: (r, WIDTH - 1 - c),
    3: lambda r, c: (HEIGHT - 1 - r, WIDTH - 1 - c),
    4: lambda r, c: (HEIGHT - 1 - r, c),
    5: lambda r, c: (c, r),
    6: lambda r, c: (c, WIDTH - 1 - r),
    7: lambda r, c: (HEIGHT - 1 - c, WIDTH - 1 - r),
    8: lambda r, c: (HEIGHT - 1 - c, r),
}


def picture() -> NDArray[np.uint8]:
    """Four quarters: red, green, blue, grey."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    pixels[:12, :20], pixels[:12, 20:], pixels[12:, :20] = (220, 30, 30), (30, 220, 30), (30, 30, 220)
    return pixels


def stored(orientation: int) -> NDArray[np.uint8]:
    size = (WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH)
    rows, columns = np.mgrid[: size[0], : size[1]]
    return picture()[STORED[orientation](rows, columns)]


def save(path: Path, pixels: NDArray[Any], orientation: int | None = None, **options: Any) -> Path:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"frame.{suffix}", stored(orientation), orientation, **options)
    assert common_size([path]) == read_head(path).size == (HEIGHT, WIDTH)
    found = read_pixels(path, (HEIGHT, WIDTH))
    np.testing.assert_allclose(found.astype(int), picture().astype(int), atol=3)
    np.testing.assert_array_equal(found, read_pixels(path))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_the_stored_size_get_the_stored_picture(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = save(tmp_path / f"frame.{suffix}", stored(orientation), orientation)
    size = (WIDTH, HEIGHT)
    assert common_size([path], [size]) == size
    assert common_size([path], [(HEIGHT, WIDTH)]) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(read_pixels(path, size), stored(orientation))


def test_neither_size_is_refused_before_the_pixels_are_decoded(tmp_path: Path) -> None:
    path = save(tmp_path / "frame.jpg", stored(6), 6)
    path.write_bytes(path.read_bytes()[:700])  # the head alone
    with pytest.raises(DataError) as caught:
        read_pixels(path, (50, 50))
    assert str(caught.value) == (
        f"{path} has 24 x 40 pixels (height x width), turned upright by its orientation tag 6 where the annotations "
        "say 50 x 50"
    )
    with pytest.raises(DataError, match="not a readable image"):
        read_pixels(path, (HEIGHT, WIDTH))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_is_ignored(value: int, tmp_path: Path) -> None:
    path = save(tmp_path / "frame.png", picture(), value)
    np.testing.assert_array_equal(read_pixels(path), picture())


def grey(value: int, dtype: Any = np.uint16) -> NDArray[Any]:
    """Black, with one quarter of a value."""
    values = np.zeros((HEIGHT, WIDTH), dtype)
    values[:12, :20] = value
    return values


def test_sixteen_bits_are_divided_by_257(tmp_path: Path) -> None:
    for suffix in ("png", "tif"):
        path = save(tmp_path / f"frame.{suffix}", grey(88 * 257))
        assert read_pixels(path)[0, 0].tolist() == [88, 88, 88] and read_pixels(path)[-1, -1].tolist() == [0, 0, 0]
    assert read_pixels(save(tmp_path / "white.png", grey(65535)))[0, 0, 0] == 255
    assert read_pixels(save(tmp_path / "rounded.png", grey(88 * 257 + 129)))[0, 0, 0] == 89


def test_a_declared_maximum_is_white(tmp_path: Path) -> None:
    values = grey(4095).astype(">u2")
    (tmp_path / "frame.pgm").write_bytes(f"P5 {WIDTH} {HEIGHT} 4095\n".encode() + values.tobytes())
    assert read_pixels(tmp_path / "frame.pgm")[0, 0, 0] == 255


def test_fewer_bits_that_a_tiff_declares_are_its_range(tmp_path: Path) -> None:
    # Pillow writes no 12 bits, so the file is made here: two pixels in three bytes, 4095 and 0 in turn.
    entries = [
        (256, 4, WIDTH),
        (257, 4, HEIGHT),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 122),
        (277, 3, 1),
        (278, 4, HEIGHT),
        (279, 4, WIDTH * HEIGHT * 3 // 2),
    ]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    (tmp_path / "frame.tif").write_bytes(head + body + b"\xff\xf0\x00" * (WIDTH * HEIGHT // 2))
    assert read_pixels(tmp_path / "frame.tif")[0, :2, 0].tolist() == [255, 0]


def test_white_may_be_zero(tmp_path: Path) -> None:
    path = save(tmp_path / "frame.tif", grey(65535), tiffinfo={262: 0})
    assert read_pixels(path)[0, 0, 0] == 0 and read_pixels(path)[-1, -1, 0] == 255


def test_floating_point_is_0_to_1(tmp_path: Path) -> None:
    path = save(tmp_path / "frame.tif", grey(1, np.float32) * np.float32(0.5))
    assert read_pixels(path)[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            grey(70000, np.int32),
            "whole numbers of more than 8 bits from 0 to 70000; expected 0 (black) to 65535 (white)",
        ),
        (grey(-3, np.int32), "from -3 to 0"),
        (grey(200, np.float32), "floating point from 0 to 200; expected 0 (black) to 1 (white)"),
        (grey(np.nan, np.float32), "floating point from nan to nan"),
    ],
)
def test_values_without_a_stated_range_are_refused(values: NDArray[Any], told: str, tmp_path: Path) -> None:
    path = save(tmp_path / "frame.tif", values)
    with pytest.raises(DataError) as caught:
        decode_frame(path)
    assert told in str(caught.value) and "convert them to 8 bit" in str(caught.value)


def as_mode(mode: str) -> Image.Image:
    image = Image.fromarray(picture())
    if mode == "P with transparency":
        image = image.quantize(8)
        image.info["transparency"] = 0
    elif mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))))
    else:
        image = image.convert(mode)
    return image


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("P", "png", 60),
        ("P with transparency", "png", 2),
        ("RGBA", "png", 0),
        ("RGBA", "webp", 0),
        ("RGBA", "tif", 0),
        ("CMYK", "jpg", 6),
        ("CMYK", "tif", 2),
        ("YCbCr", "tif", 3),
    ],
)
def test_colours_are_kept(mode: str, suffix: str, tolerance: int, tmp_path: Path) -> None:
    path = tmp_path / f"frame.{suffix}"
    options = {"quality": 100} if suffix == "jpg" else {"lossless": True, "exact": True} if suffix == "webp" else {}
    as_mode(mode).save(path, **options)
    found = read_pixels(path).astype(int)
    for y, x in ((4, 4), (4, 30), (18, 4), (18, 30)):
        assert np.abs(found[y, x] - picture()[y, x]).max() <= tolerance


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_greys_are_kept(mode: str, tmp_path: Path) -> None:
    as_mode(mode).save(tmp_path / "frame.png")
    expected = np.asarray(Image.fromarray(picture()).convert("L"))
    np.testing.assert_array_equal(read_pixels(tmp_path / "frame.png"), np.repeat(expected[..., None], 3, axis=2))


# --- What data check and a run say of such frames


def checked(tmp_path: Path, pixels: NDArray[Any] | None = None, orientation: int | None = None) -> dict[str, str]:
    """Kind -> first example, of a set of which all frames of video 9 (36 high, 36 wide) are replaced."""
    tmp_path.mkdir(exist_ok=True)
    annotations, frames = write_set(tmp_path, small_document())
    for path in sorted((frames / "9").iterdir()):
        size = Image.open(path).size
        if pixels is None:
            save(path, np.asarray(Image.open(path)), orientation)
        else:
            save(path, np.resize(pixels, (size[1], size[0])), orientation)
    report = check_dataset(annotations, frames)
    return {problem.kind: problem.examples[0] for problem in report.problems}


def test_check_says_where_a_tag_does_not_show_in_the_size(tmp_path: Path) -> None:
    found = checked(tmp_path, orientation=3)
    assert "orientation tag 3, which is applied" in found["orientation tag that the size does not show"]


def test_check_says_that_frames_use_few_of_16_bits(tmp_path: Path) -> None:
    assert "no value of 3 frames is above 4095" in checked(tmp_path, grey(4095))["16 bit frames that are nearly black"]
    assert checked(tmp_path / "full", grey(65535)) == {}


def test_check_says_that_a_file_holds_several_pictures(tmp_path: Path) -> None:
    annotations, frames = write_set(tmp_path, small_document())
    path = sorted((frames / "9").iterdir())[0]
    image = Image.open(path)
    image.load()
    image.save(path, format="TIFF", save_all=True, append_images=[image.copy()])
    report = check_dataset(annotations, frames)
    assert [problem.kind for problem in report.problems] == ["file of several pictures"]


def test_a_run_reads_what_check_passed(tmp_path: Path) -> None:
    annotations, frames = write_set(tmp_path, small_document())
    video_set = load_video_set(annotations, frames)
    video = video_set.videos[0]
    path = frames / video.file_names[0]
    pixels = np.asarray(Image.open(path))
    save(path, np.rot90(pixels, 1), 6)  # stored a quarter to the left, tagged to be turned right
    np.testing.assert_array_equal(read_frame(video_set, video, 0).permute(1, 2, 0).numpy(), pixels)
    assert check_dataset(annotations, frames).problems == ()
