"""YouTube-VIS form itself: YouTube-VIS 2019 and 2021, OVIS, LV-VIS, UVO, wherever their frames lie.

The form is the one that training reads, so nothing changes but paths: one folder, as the other conversions make it.
Source: README.md of LV-VIS (github.com/haochenheheda/LVVIS) and of OVIS (songbai.site/ovis): both have this form.
"""

from collections.abc import Iterator
from pathlib import Path

from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import SourceSet, SourceTrack, SourceVideo, common_size
from vistrials.errors import DataError
from vistrials.formats.annotation_faults import is_absent
from vistrials.formats.annotations import build_video_set
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import to_rle
from vistrials.formats.safe_names import file_below
from vistrials.structures.video import AnnotatedTrack, Video

FRAME_FOLDERS = ("", "JPEGImages", "{split}", "{split}/JPEGImages", "JPEGImages/{split}", "../JPEGImages/{split}")


def read_youtube_vis(annotations: Path | str, frames_dir: Path | str | None = None, split: str = "train") -> SourceSet:
    """Read an annotation file in YouTube-VIS form. Ids of categories stay as they are.

    Args:
        annotations: .json or .json.gz.
        frames_dir: folder that file names start from; by default the first that has them of the file's own folder,
            JPEGImages/, <split>/ (OVIS), <split>/JPEGImages/ (YouTube-VIS) and JPEGImages/<split>/ (LV-VIS).
        split: train or valid (also val), of that folder.

    Raises:
        DataError: the file is broken, or frames are missing or of another size than it says.
    """
    path = Path(annotations)
    document = load_json(path)
    try:
        video_set = build_video_set(document, Path(), str(path))
    except DataError as error:
        if isinstance(document, dict) and "images" not in document and "sequences" not in document:
            raise
        raise DataError(f"{error}{tell_kind(document)}") from None
    root = _find_frames(path, video_set.videos[0], split) if frames_dir is None else Path(frames_dir)
    notes = Notes()

    def read_all() -> Iterator[SourceVideo]:
        for video in video_set.videos:
            yield _read_video(video, root, path, notes)

    return SourceSet(path, video_set.categories, len(video_set.videos), read_all(), notes)


def _find_frames(path: Path, video: Video, split: str) -> Path:
    splits = ("valid", "val") if split == "valid" else (split,)
    folders = dict.fromkeys(path.parent / name.format(split=each) for name in FRAME_FOLDERS for each in splits)
    for folder in folders:
        if file_below(folder, video.file_names[0], f"{path}: video {video.id}").is_file():
            return folder
    raise DataError(
        f"{path}: no frame {video.file_names[0]} below {', '.join(map(str, folders))}; say with --frames where file "
        "names start from"
    )


def _read_video(video: Video, root: Path, path: Path, notes: Notes) -> SourceVideo:
    where = f"{path}: video {video.id}"
    frames = [file_below(root, name, where) for name in video.file_names]
    missing = next((frame for frame in frames if not frame.is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: no such frame; say with --frames where file names start from")
    folders = {frame.parent for frame in frames}
    if len(folders) > 1:
        raise DataError(f"{where}: its frames lie in {len(folders)} folders; expected one per video")
    size = common_size(frames)
    if size != (video.height, video.width):
        raise DataError(f"{where}: {video.height} x {video.width} (height x width), while the frames have {size}")
    tracks = [_read_track(track, size, where) for track in video.tracks]
    notes.add("videos have no track", where, not tracks)
    name = frames[0].relative_to(root).parent.as_posix()
    return SourceVideo(str(video.id) if name == "." else name, frames, size, tracks)


def _read_track(track: AnnotatedTrack, size: tuple[int, int], where: str) -> SourceTrack:
    try:
        masks = {i: to_rle(mask, *size) for i, mask in enumerate(track.segmentations) if not is_absent(mask)}
    except DataError as error:
        raise DataError(f"{where}: annotation {track.id}: {error}") from None
    return SourceTrack(track.category_id, masks, track.is_crowd)
