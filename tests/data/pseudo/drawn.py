"""Clips of drawn boxes over noise, as lossless frames."""

import json
from pathlib import Path

from tests.data.builders import Box, make_document, make_track, make_video, write_set
from vistrials.data.pseudo.clips import Clips, load_clips

SIZE = (24, 40)
LEFT: list[Box | None] = [(2, 4, 6, 10), (3, 4, 6, 10), (4, 4, 6, 10), (5, 4, 6, 10)]
RIGHT: list[Box | None] = [(28, 6, 8, 9), (27, 6, 8, 9), None, (25, 6, 8, 9)]
"""Two boxes that walk; the right one is out of sight in frame 2."""


def write_clip(folder: Path) -> Path:
    """One video: its tracks are LEFT (a dog, 3), RIGHT (a cat, 7) and a crowd of newts (300) over the upper rows."""
    video = make_video(1, 4, SIZE)
    tracks = [
        make_track(1, 1, 3, LEFT, SIZE),
        make_track(2, 1, 7, RIGHT, SIZE),
        make_track(3, 1, 300, [(0, 0, 40, 2)] * 4, SIZE, crowd=1),
    ]
    folder.mkdir(parents=True)
    path, frames = write_set(folder, make_document([video], tracks))
    frames.rename(folder / "JPEGImages")
    return path


def one_clip(folder: Path) -> Clips:
    return load_clips([write_clip(folder)])


def change(path: Path, edit) -> None:
    """Change an annotation file in place."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
