"""Video files alone: their frames become a data set without annotations, to infer on or to annotate.

Decoded by PyAV, through `vistrials.video_files`, as `vistrials track` does.
"""

from collections.abc import Iterator
from pathlib import Path

from vistrials.data.convert.notes import Notes
from vistrials.data.convert.video_file import VIDEO_SUFFIXES, VideoFile, videos_in
from vistrials.data.convert.writing import SourceSet, SourceVideo
from vistrials.errors import DataError
from vistrials.formats.annotation_faults import records
from vistrials.formats.annotations import category_name
from vistrials.formats.json_file import load_json
from vistrials.structures.video import Category


def read_videos(source: Path | str, step: int = 1, categories: Path | str | None = None) -> SourceSet:
    """Extract the frames of video files.

    Args:
        source: a video file, or a folder of them.
        step: keep one frame in so many, from the first.
        categories: an annotation file that says the categories, with their ids (of the data set that the network was
            trained on); without, those of the splits that the target holds already, else one, "object".

    Raises:
        DataError: no video, or a broken one.
    """
    source = Path(source)
    if step < 1:
        raise DataError(f"--every {step}: expected 1 or more")
    if source.is_dir():
        files = videos_in(source)
    elif source.is_file():
        files = [source]
    else:
        raise DataError(f"{source}: no such file or folder; expected a video file, or a folder of them")
    if not files:
        raise DataError(f"{source}: no video file in it ({', '.join(VIDEO_SUFFIXES)})")
    found: list[Category] = []
    if categories is not None:
        listed = records(load_json(categories), "categories")
        if not listed:
            raise DataError(f"{categories}: no categories; expected an annotation file in YouTube-VIS form")
        found = [Category(record["id"], category_name(record)) for record in listed]
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for path in files:
            video = VideoFile(path, step=step, notes=notes)
            yield SourceVideo(path.stem, video, video.size(), ())

    return SourceSet(source, found, len(files), read_all(), notes, may_be_empty=True)
