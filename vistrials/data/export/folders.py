"""Folders that exports make: whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from vistrials.data.convert.writing import place_frame
from vistrials.data.export.source import ExportVideo
from vistrials.errors import DataError
from vistrials.formats.safe_names import file_below


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A draft that becomes the folder `out` when the block ends, and vanishes when it fails.

    Raises:
        DataError: there is something in its place already.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: not a new or empty folder; choose one")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.mkdir()
        yield draft
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def place_frames(video: ExportVideo, frames_dir: Path, folder: Path, stems: list[str], copy: bool) -> None:
    """Link or copy a video's frames into a new folder, under the stems given.

    Raises:
        DataError: a frame is missing.
    """
    folder.mkdir(parents=True)
    for name, stem in zip(video.video.file_names, stems, strict=True):
        source = file_below(frames_dir, name, f"video {video.video.id}")
        if not source.is_file():
            raise DataError(f"{source}: no such frame; --frames says where file names start from")
        place_frame(source, folder / f"{stem}{PurePosixPath(name).suffix}", copy)
