"""What came out of archives -> a folder that every run finds its annotations and frames in."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vistrials.data.convert.davis import read_davis
from vistrials.data.convert.writing import FRAMES_FOLDER, Progress, folders_in, write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.json_file import load_json_as

_ROLES = {"train": "train", "val": "valid", "test": "test"}


class Arranged(NamedTuple):
    """Annotation files of a new folder. valid: None where no annotated validation videos came."""

    train: Path
    valid: Path | None


def arrange_davis(unpacked: Path, out: Path, progress: Progress | None = None) -> Arranged:
    """Convert a DAVIS archive: its list `train` to OUT/train.json, its list `val`, if any, to OUT/valid.json.

    Raises:
        DataError: no folder of the form, or a fault that `read_davis` finds.
    """
    root = next(
        (path for path in _folders(unpacked, 2) if {"JPEGImages", "Annotations"} <= set(os.listdir(path))), None
    )
    if root is None:
        raise DataError(f"{unpacked}: expected the folders JPEGImages and Annotations of DAVIS, found neither")
    train = write_youtube_vis(read_davis(root, "train"), out, "train", progress=progress)
    if not any((root / "ImageSets").glob("*/val.txt")):
        return Arranged(train.annotations, None)
    valid = write_youtube_vis(read_davis(root, "valid"), out, "valid", progress=progress)
    return Arranged(train.annotations, valid.annotations)


def arrange_youtube_vis(unpacked: Path, out: Path) -> Arranged:
    """Move annotation files and their frames to OUT/train.json, OUT/train/JPEGImages and so on.

    Which file is which follows from `train`, `val` or `test` in its name or its folder's; test videos stay behind. The
    frames of a file lie where its first one does. Publishers lay these out in many ways.

    Raises:
        DataError: no annotations to train on, several of one split, or no frames for one.
    """
    found: dict[str, _Annotations] = {}
    for annotations in _find_annotations(unpacked):
        other = found.get(annotations.role)
        if other is not None and annotations.has_tracks and other.has_tracks:
            raise DataError(
                f"{annotations.path.name} and {other.path.name} are both annotations of split {annotations.role}; "
                "give only one with --from"
            )
        if other is None or annotations.has_tracks:
            found[annotations.role] = annotations
    found.pop("test", None)
    if "train" not in found or not found["train"].has_tracks:
        there = ", ".join(sorted(one.path.name for one in found.values())) or "none"
        raise DataError(
            f"{unpacked}: expected annotations to train on (JSON with videos and annotations, `train` in its name or "
            f"its folder's), found {there}; give the file as well with --from"
        )
    frames = _find_frames(unpacked, found)
    out.mkdir(parents=True)
    places: dict[str, Path] = {}
    for role, annotations in found.items():
        suffix = ".json.gz" if annotations.path.name.endswith(".gz") else ".json"
        places[role] = annotations.path.rename(out / f"{role}{suffix}")
    # The deepest first: a folder of frames may lie in another one.
    for folder in sorted(set(frames.values()), key=lambda folder: -len(folder.parts)):
        roles = [role for role in frames if frames[role] == folder]
        target = out / FRAMES_FOLDER if len(roles) > 1 else out / roles[0] / FRAMES_FOLDER
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
    has_valid = "valid" in found and found["valid"].has_tracks
    return Arranged(places["train"], places["valid"] if has_valid else None)


class _Annotations(NamedTuple):
    path: Path
    role: str
    first_frame: str
    has_tracks: bool


class _Video(msgspec.Struct):
    file_names: list[str]


class _File(msgspec.Struct):
    """As much of an annotation file as says what it is."""

    videos: list[_Video]
    categories: msgspec.Raw
    annotations: msgspec.Raw = msgspec.Raw(b"null")


def _find_annotations(unpacked: Path) -> Iterator[_Annotations]:
    for path in sorted(path for path in unpacked.rglob("*.json*") if path.name.endswith((".json", ".json.gz"))):
        file: Any = load_json_as(path, _File)
        if not isinstance(file, _File):
            continue  # a form of its own, such as the meta.json of YouTube-VOS
        frames = [name for video in file.videos for name in video.file_names]
        role = _role(path.relative_to(unpacked))
        if frames and role is not None:
            yield _Annotations(path, role, frames[0], bytes(file.annotations).strip() not in (b"null", b"[]"))


def _role(path: Path) -> str | None:
    """The split that a file belongs to, by its name, else by the nearest folder's."""
    for part in reversed(path.parts):
        for word, role in _ROLES.items():
            if word in part.lower():
                return role
    return None


def _find_frames(unpacked: Path, found: dict[str, _Annotations]) -> dict[str, Path]:
    """The folder that the file names of each annotation file start from."""
    candidates: dict[str, list[Path]] = {role: [] for role in found}
    for folder in _folders(unpacked):
        for role, annotations in found.items():
            if (folder / annotations.first_frame).is_file():
                candidates[role].append(folder)
    for role, folders in candidates.items():
        if not folders:
            raise DataError(
                f"{found[role].path.name}: its frame {found[role].first_frame} came with no archive; give the archive "
                f"of the frames of {role} as well with --from"
            )

    def likely(role: str, folders: list[Path]) -> Path:
        return min(folders, key=lambda folder: (_role(folder.relative_to(unpacked)) != role, len(folder.parts)))

    return {role: likely(role, folders) for role, folders in candidates.items()}


def _folders(root: Path, depth: int | None = None) -> Iterator[Path]:
    """A folder and those below it, to a depth; the order is that of names."""
    level: Sequence[Path] = [root]
    while level:
        yield from level
        if depth == 0:
            return
        depth = None if depth is None else depth - 1
        level = [child for folder in level for child in folders_in(folder)]
