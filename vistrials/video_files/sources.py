"""What a user can name as a video: a file, images, a stream or a camera."""

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vistrials.errors import DataError
from vistrials.formats.images import IMAGE_SUFFIXES

STREAM = "-"
"""The name of the standard input."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Source:
    """One video.

    name: what is made from it is named so: the file without suffix, the folder of images, stdin, camera0.
    where: what the user typed, for messages.
    paths: the file, or the images in the order of their numbers.
    camera: its index, else None.
    """

    kind: Literal["file", "images", "stream", "camera"]
    name: str
    where: str
    paths: tuple[Path, ...] = ()
    camera: int | None = None


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """The videos that a user names, each once, in that order.

    Args:
        inputs: each a video file, a folder of images, an image, a pattern of files or folders (*, ?, [..]), the index
            of a camera (digits, where no file has that name), or "-" for the standard input. The images of one folder
            are the frames of one video, ordered as numbers in their names count.

    Raises:
        DataError: a name leads to nothing, or a folder has no images.
    """
    sources: list[Source] = []
    images: dict[Path, list[Path]] = {}
    for text in map(str, inputs):
        if text == STREAM:
            sources.append(Source("stream", "stdin", "standard input"))
        elif text.isascii() and text.isdigit() and not Path(text).exists():
            sources.append(Source("camera", f"camera{int(text)}", f"camera {int(text)}", camera=int(text)))
        else:
            for path in _expand(text):
                if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
                    if path.parent not in images:
                        sources.append(Source("images", _folder_name(path.parent), str(path.parent), (path,)))
                    images.setdefault(path.parent, []).append(path)
                else:
                    sources.append(_of_path(path))
    return list(dict.fromkeys(_with_all_images(source, images) for source in sources))


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Each path once, frame9 before frame10."""

    def key(path: Path) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", path.name)
        # Text and numbers take turns, so that like is compared with like.
        return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)], path.name

    return sorted(set(paths), key=lambda path: (path.parent, key(path)))


def _with_all_images(source: Source, images: dict[Path, list[Path]]) -> Source:
    if source.kind != "images" or len(source.paths) != 1 or source.paths[0].parent not in images:
        return source
    paths = in_order(images[source.paths[0].parent])
    return Source("images", source.name, source.where, tuple(paths))


def _expand(text: str) -> Iterator[Path]:
    path = Path(text).expanduser()
    if path.exists():
        yield path
        return
    found = in_order(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        what = "no file or folder matches" if glob.has_magic(text) else "no such file or folder"
        raise DataError(f"{text}: {what}; expected a video, a folder of images, a pattern, a camera's index, or -")
    yield from found


def _of_path(path: Path) -> Source:
    if not path.is_dir():
        return Source("file", path.stem, str(path), (path,))
    inside = [file for file in path.iterdir() if not file.name.startswith(".")]
    images = in_order(file for file in inside if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if images:
        return Source("images", _folder_name(path), str(path), tuple(images))
    others = ", ".join(file.name for file in in_order(inside)[:_SHOWN]) or "nothing"
    raise DataError(
        f"{path}: expected images ({', '.join(IMAGE_SUFFIXES)}) in this folder, found {others}; "
        f"several videos are named by a pattern, as '{path}/*'"
    )


def _folder_name(folder: Path) -> str:
    return folder.resolve().name or "frames"
