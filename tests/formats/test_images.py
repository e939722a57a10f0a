"""What is opened as an image, and what a file that only looks like one can do."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image
from typer.testing import CliRunner

from tests.data.builders import frame_pixels, small_document, write_set
from vistrials.cli import app
from vistrials.data.convert.writing import common_size, read_label_image
from vistrials.data.frames import decode_frame
from vistrials.errors import DataError
from vistrials.formats.images import FRAME_FORMATS, open_image

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a Ghostscript of ours makes when it is started; it is found first, and nothing of it is cached."""
    path, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho \"$@\" >> '{path}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "frame": decode_frame,
    "size": lambda path: common_size([path]),
    "label image": lambda path: read_label_image(path, (48, 64)),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_file_starts_another_program(reader: str, tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "00001.jpg"
    path.write_bytes(POSTSCRIPT)
    with pytest.raises(DataError) as caught:
        READERS[reader](path)
    assert not mark.exists()
    expected = "PNG" if reader == "label image" else "BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"
    assert str(caught.value) == (
        f"{path}: not a readable image (expected {expected}; found a file that begins with b'%!PS-Adobe-3'); "
        "copy it again, or convert it"
    )
    # Pillow by itself does start it, so that the mark means something.
    with contextlib.suppress(Exception), Image.open(path) as image:
        image.load()
    assert mark.exists()


def test_data_check_starts_no_other_program(tmp_path: Path, mark: Path) -> None:
    annotations, frames = write_set(tmp_path, small_document())
    (frames / "41" / "00001.png").write_bytes(POSTSCRIPT)
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["data", "check", str(annotations), "--frames", str(frames)])
    assert not mark.exists()
    assert result.exit_code == 1
    assert "found a file that begins with b'%!PS-Adobe-3'" in " ".join(result.stdout.split())


@pytest.mark.parametrize("kind", [*FRAME_FORMATS, "MPO"])
def test_every_format_of_the_list_is_decoded_whatever_the_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "frame.jpg"
    pixels = frame_pixels(1, 0, (12, 16))
    Image.fromarray(pixels).save(path, format=kind)
    image = decode_frame(path)
    assert image.shape == (3, 12, 16) and common_size([path]) == (12, 16)
    if kind in ("BMP", "PNG", "PPM", "TIFF"):  # the lossless ones
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), pixels)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "frame.jpg"
    with (
        pytest.raises(DataError, match=r"frame.jpg: no such frame or label image; check the folders$"),
        open_image(path),
    ):
        pass
    path.touch()
    with pytest.raises(DataError, match=r"frame.jpg: not a readable image \(expected .*; found an empty file\); copy"):
        decode_frame(path)
