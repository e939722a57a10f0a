"""The file of every frame, also where an annotation file names it a little otherwise than the disk does.

A name that is there as it is written is taken so. Else it is looked for with / in place of Windows separators, without
the folders before the frame folder, with a folder between, in other case or Unicode form, with another suffix of an
image; and taken where exactly one file fits.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from vistrials.formats.images import FRAME_SUFFIXES
from vistrials.formats.safe_names import leads_out
from vistrials.structures.video import VideoSet

_FRAME_FOLDERS = ("JPEGImages",)
_NUM_PARENTS = 3
"""Folders above the frames whose names a file name may begin with."""
_MAX_FOLDERS = 8
"""In a frame folder of as few folders one of them may be left out of a file name; more are videos."""
_NUM_SHOWN = 3

FOUND_OTHERWISE = "frames found under another name"


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """Where a frame lies.

    Attributes:
        name: its path, from the frame folder; as it was given where it was not found.
        missing: what there is instead; None where it was found.
    """

    name: str
    missing: str | None = None


class FrameFinder:
    """Finds frames below one folder, reading each folder on the way once."""

    def __init__(self, frames_dir: Path) -> None:
        self._root = Path(frames_dir)
        self._folders: dict[str, _Folder] = {}
        self._owners: dict[str, str] = {}
        parents = Path(os.path.abspath(self._root)).parts[-_NUM_PARENTS:]
        self._droppable = {_key(part) for part in (*parents, *_FRAME_FOLDERS)}

    def find(self, name: str) -> FoundFrame:
        """The file that a name means."""
        folder, file = os.path.split(name)
        # An absolute folder would take the place of this one.
        if not (os.path.isabs(name) or leads_out(name)) and file in self._folder(folder).files:
            found = [name]
        else:
            found = self._search(name)
        if len(found) == 1:
            owner = self._owners.setdefault(found[0], name)
            if owner == name:
                return FoundFrame(found[0])
            return FoundFrame(name, f"{found[0]} is the frame {owner!r} already")
        if found:
            return FoundFrame(name, f"it may be {' or '.join(found[:_NUM_SHOWN])}: keep one")
        return FoundFrame(name, self._what_is_there(name))

    def _search(self, name: str) -> list[str]:
        """Of the first way of reading a name that finds any file: the files."""
        ways = list(self._ways(name))
        for match in (_exactly, _but_for_case, _but_for_suffix):
            hits = dict.fromkeys(hit for parts in ways for hit in self._walk("", parts, match))
            if hits:
                return sorted(hits)
        return []

    def _ways(self, name: str) -> Iterator[tuple[str, ...]]:
        """What a name may mean, as parts of a path below the frame folder."""
        text = name.strip().replace("\\", "/")
        for spelt in dict.fromkeys((text, unquote(text))):
            is_absolute = spelt.startswith("/") or ":" in spelt.split("/")[0]
            parts = tuple(part for part in spelt.split("/") if part not in ("", "."))
            if not parts or ".." in parts:
                continue
            rests = [parts] + [
                parts[count:] for count in range(1, len(parts)) if _key(parts[count - 1]) in self._droppable
            ]
            if is_absolute and len(parts) > 2:
                rests.append(parts[-2:])
            yield from rests
            # Where the frame folder has a folder between, such as that of a split.
            folders = self._folder("").folders
            if len(folders) <= _MAX_FOLDERS:
                yield from ((folder, *rest) for folder in sorted(folders) for rest in rests if rest[0] != folder)

    def _walk(self, folder: str, parts: tuple[str, ...], match: "Callable[[_Folder, str], list[str]]") -> Iterator[str]:
        first, rest = parts[0], parts[1:]
        here = self._folder(folder)
        if not rest:
            yield from (os.path.join(folder, file) for file in match(here, first))
            return
        inside = [first] if first in here.folders else []
        if not inside and match is not _exactly:
            inside = here.folders_by_key.get(_key(first), [])
        for name in inside:
            yield from self._walk(os.path.join(folder, name), rest, match)

    def _what_is_there(self, name: str) -> str:
        """The deepest folder on the way to a name that is there, and what it holds."""
        text = name.strip().replace("\\", "/")
        folder, parts = "", [part for part in text.split("/") if part not in ("", ".")]
        for part in parts[:-1]:
            if part not in self._folder(folder).folders:
                break
            folder = os.path.join(folder, part)
        here = self._folder(folder)
        shown = sorted(here.files)[:_NUM_SHOWN] or sorted(here.folders)[:_NUM_SHOWN]
        return f"{self._root / folder} holds {', '.join(shown) + ', ..' if shown else 'nothing'}"

    def _folder(self, folder: str) -> "_Folder":
        if folder not in self._folders:
            self._folders[folder] = _Folder(self._root / folder)
        return self._folders[folder]


def locate_frames(video_set: VideoSet) -> tuple[VideoSet, str | None]:
    """Find the file of every frame.

    Returns:
        The videos with the names of the files that were found, and a note where they were given otherwise; what is
        missing, in one line, or None.
    """
    finder = FrameFinder(video_set.frames_dir)
    renamed: list[tuple[str, str]] = []
    missing: list[str] = []
    videos = []
    for video in video_set.videos:
        found = [finder.find(name) for name in video.file_names]
        for index, (frame, name) in enumerate(zip(found, video.file_names, strict=True)):
            if frame.missing is not None:
                path = video_set.frames_dir / name
                missing.append(f"video {video.id}, frame {index}: {path}: no such frame; {frame.missing}")
            elif frame.name != name:
                renamed.append((name, frame.name))
        names = tuple(frame.name for frame in found)
        videos.append(video if names == video.file_names else replace(video, file_names=names))
    notes = video_set.notes
    if renamed:
        notes += (f"{FOUND_OTHERWISE}: {len(renamed)} (first: {renamed[0][0]} is {renamed[0][1]})",)
        video_set = replace(video_set, videos=tuple(videos), notes=notes)
    if not missing:
        return video_set, None
    return video_set, missing[0] + (f" (and {len(missing) - 1} more frames are missing)" if missing[1:] else "")


class _Folder:
    """What a folder holds; nothing where there is none."""

    def __init__(self, path: Path) -> None:
        try:
            with os.scandir(path) as entries:
                kinds = [(entry.name, entry.is_dir()) for entry in entries]
        except OSError:
            kinds = []
        self.files = {name for name, is_folder in kinds if not is_folder}
        self.folders = {name for name, is_folder in kinds if is_folder}

    @cached_property
    def folders_by_key(self) -> dict[str, list[str]]:
        return _by(_key, self.folders)

    @cached_property
    def files_by_key(self) -> dict[str, list[str]]:
        return _by(_key, self.files)

    @cached_property
    def images_by_stem(self) -> dict[str, list[str]]:
        return _by(_stem, {name for name in self.files if os.path.splitext(name)[1].lower() in FRAME_SUFFIXES})


def _exactly(folder: _Folder, name: str) -> list[str]:
    return [name] if name in folder.files else []


def _but_for_case(folder: _Folder, name: str) -> list[str]:
    return folder.files_by_key.get(_key(name), [])


def _but_for_suffix(folder: _Folder, name: str) -> list[str]:
    return folder.images_by_stem.get(_stem(name), [])


def _by(key: Callable[[str], str], names: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return found


def _key(name: str) -> str:
    """Equal for names that differ in case or Unicode form only."""
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    """The key of a name without the suffix of an image."""
    stem, suffix = os.path.splitext(name)
    return _key(stem if suffix.lower() in FRAME_SUFFIXES else name)
