"""SA-V (train): an mp4 per video, with masklets in JSON, one frame of four.

Source: sav_dataset/README.md of SAM 2 (github.com/facebookresearch/sam2): masklet[frame][object] is a run-length mask,
videos run at 24 frames per second and are annotated at 6. No kept library reads it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vistrials.data.convert.agreement import check_declared_size
from vistrials.data.convert.masks import MASK_FOLDERS, read_masks
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.video_file import VideoFile
from vistrials.data.convert.writing import (
    DEFAULT_CATEGORY,
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    by_number,
    check_mask_size,
)
from vistrials.errors import DataError, shortened
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, to_rle
from vistrials.structures.video import Category

FRAMES_PER_MASK = 4
KINDS = ("manual", "auto")


def read_sa_v(root: Path | str, masklets: str = "manual") -> SourceSet:
    """Read videos of SA-V; every object is of category "object".

    Frames are every fourth of the video, those that are annotated. A mask without a pixel is an absence.

    Args:
        root: holds <video>.mp4 and <video>_manual.json, <video>_auto.json side by side; SA-V's validation and test
            sets, which are folders of PNGs, are read as `read_masks` does.
        masklets: manual (drawn or corrected by people) or auto.

    Raises:
        DataError: a JSON or video that is broken, missing or contradicts the other.
    """
    root = Path(root)
    if masklets not in KINDS:
        raise DataError(f"--masklets {masklets}: expected {' or '.join(KINDS)}")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected SA-V's mp4 and JSON files")
    if any((root / name).is_dir() for name in MASK_FOLDERS):
        return read_masks(root)
    files = by_number(path for path in root.glob(f"*_{masklets}.json") if not path.name.startswith("."))
    if not files:
        others = sorted({kind for kind in KINDS for _ in root.glob(f"*_{kind}.json")})
        found = f"; there are {others[0]} ones: --masklets {others[0]}" if others else ""
        raise DataError(f"{root}: no <video>_{masklets}.json in it{found}")
    notes = Notes()
    return SourceSet(
        root, [Category(1, DEFAULT_CATEGORY)], len(files), _read_all(files, f"_{masklets}.json", notes), notes
    )


def _read_all(files: list[Path], end: str, notes: Notes) -> Iterator[SourceVideo]:
    for path in files:
        name = path.name.removesuffix(end)
        video = path.with_name(f"{name}.mp4")
        if not video.is_file():
            raise DataError(f"{video}: no such video, while there is {path.name}; put it there")
        document = load_json(path)
        frames = document.get("masklet") if isinstance(document, dict) else None
        if not isinstance(frames, list) or not frames or not all(isinstance(masks, list) for masks in frames):
            raise DataError(
                f"{path}: expected SA-V's form, an object whose masklet is a list of frames{tell_kind(document)}"
            )
        if document.get("video_id", name) != name:
            raise DataError(
                f"{path}: video_id is {shortened(document['video_id'])}; expected {name}, as the file's name"
            )
        file = VideoFile(video, range(0, len(frames) * FRAMES_PER_MASK, FRAMES_PER_MASK), notes=notes)
        size = file.size()
        _check(document, len(frames), size, path)
        yield SourceVideo(name, file, size, _tracks(document, frames, size, path))


def _check(document: dict[str, Any], num_masks: int, size: Size, path: Path) -> None:
    """Refuse a JSON that is not of this video, by what it says of it."""
    check_declared_size((document.get("video_height"), document.get("video_width")), size, str(path))
    count = document.get("video_frame_count")
    if isinstance(count, int | float) and abs(num_masks - count / FRAMES_PER_MASK) > 1:
        raise DataError(
            f"{path}: masks of {num_masks} frames, while video_frame_count is {count}; "
            f"expected one mask in {FRAMES_PER_MASK} frames"
        )


def _tracks(document: dict[str, Any], frames: list[list[Any]], size: Size, path: Path) -> list[SourceTrack]:
    ids = document.get("masklet_id", list(range(len(frames[0]))))
    if not isinstance(ids, list):
        raise DataError(f"{path}: masklet_id is {shortened(ids)}; expected a list of ids")
    tracks: list[dict[int, Rle]] = [{} for _ in ids]
    for index, masks in enumerate(frames):
        if len(masks) != len(ids):
            raise DataError(f"{path}: masklet[{index}] has {len(masks)} masks; expected {len(ids)}, one per masklet_id")
        for number, mask in enumerate(masks):
            if mask is None:
                continue
            where = f"{path}: masklet[{index}][{number}]"
            try:
                rle = to_rle(mask, *size)
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
            check_mask_size((rle["size"][0], rle["size"][1]), size, where)
            tracks[number][index] = rle
    return [SourceTrack(1, masks) for masks in tracks]
