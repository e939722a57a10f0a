"""What is exported: videos with tracks, from an annotation file or from predictions for one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError
from vistrials.formats.annotation_faults import is_absent
from vistrials.formats.rle import Rle, to_rle
from vistrials.formats.safe_names import relative_name
from vistrials.formats.track_masks import decode_track
from vistrials.structures.video import Category, Video, VideoSet


@dataclass(frozen=True, slots=True)
class ExportTrack:
    """One object; score is None of an annotation.

    segmentations: gives one per frame, None where absent; called when its video's turn comes.
    """

    where: str
    category_id: int
    is_crowd: bool
    score: float | None
    segmentations: Callable[[], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class ExportVideo:
    """One video. name: of its folder, unlike all others'; stems: of its frames' files, each once."""

    name: str
    video: Video
    stems: Sequence[str]
    tracks: Sequence[ExportTrack]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.video.height, self.video.width

    def masks(self, track: ExportTrack) -> list[Rle | None]:
        """A track's masks, one per frame, compressed; None where it has no pixel.

        Raises:
            DataError: one is broken, or there are more or fewer than frames.
        """
        segmentations = [None if is_absent(mask) else mask for mask in track.segmentations()]
        if len(segmentations) != len(self.video):
            raise DataError(
                f"{track.where}: {len(segmentations)} segmentations; expected {len(self.video)}, one per frame"
            )
        decoded = decode_track(segmentations, self.size, track.where)
        if decoded.faults:
            raise DataError(str(decoded.faults[0]))
        masks: list[Rle | None] = [None] * len(segmentations)
        for frame, area in zip(decoded.frames, decoded.areas.tolist(), strict=True):
            if area:
                masks[frame] = to_rle(segmentations[frame], *self.size)
        return masks


@dataclass(frozen=True, slots=True)
class ExportSet:
    """Videos in file order, read one by one; notes are complete after the last."""

    origin: str
    categories: Sequence[Category]
    videos: Sequence[ExportVideo]
    frames_dir: Path | None
    notes: Notes = field(default_factory=Notes)


def export_annotations(video_set: VideoSet, origin: str, frames_dir: Path | None) -> ExportSet:
    """The tracks of an annotation file.

    Args:
        video_set: the file's content.
        origin: its name, for messages.
        frames_dir: where its file names start from; None leaves the frames out.
    """

    def tracks(video: Video) -> list[ExportTrack]:
        return [
            ExportTrack(
                f"{origin}: annotation {track.id} (video {video.id})",
                track.category_id,
                track.is_crowd,
                None,
                partial(list, track.segmentations),
            )
            for track in video.tracks
        ]

    return ExportSet(origin, video_set.categories, list(_named(video_set.videos, tracks, origin)), frames_dir)


def export_predictions(
    video_set: VideoSet,
    predictions: Iterable[tuple[int, ExportTrack]],
    origin: str,
    frames_dir: Path | None,
    min_score: float,
) -> ExportSet:
    """Predicted tracks of a score of at least `min_score`, best first; the others are counted.

    Args:
        video_set: of the annotation file that they belong to.
        predictions: (video id, track).
        origin, frames_dir: as of `export_annotations`.
    """
    notes = Notes()
    by_video: dict[int, list[ExportTrack]] = {}
    for video_id, track in predictions:
        if track.score is not None and track.score < min_score:
            notes.add(f"predictions have scores below {min_score:g} and were left out (--min-score)", origin)
        else:
            by_video.setdefault(video_id, []).append(track)

    def tracks(video: Video) -> list[ExportTrack]:
        return sorted(by_video.get(video.id, ()), key=lambda track: -(track.score or 0))

    return ExportSet(origin, video_set.categories, list(_named(video_set.videos, tracks, origin)), frames_dir, notes)


def _named(videos: Iterable[Video], tracks: Callable[[Video], list[ExportTrack]], origin: str) -> Iterator[ExportVideo]:
    taken: set[str] = set()
    for video in videos:
        names = [relative_name(name, f"{origin}: video {video.id}") for name in video.file_names]
        folder = names[0].parent
        name = str(video.id) if folder == PurePosixPath(".") else folder.as_posix().replace("/", "_")
        if name in taken:
            raise DataError(f"{origin}: two videos have their frames in {folder}; expected a folder for each")
        taken.add(name)
        stems = [path.stem for path in names]
        if len(set(stems)) < len(stems):
            twice = next(stem for stem in stems if stems.count(stem) > 1)
            raise DataError(f"{origin}: video {video.id}: two frames are named {twice}; names must differ")
        yield ExportVideo(name, video, stems, tracks(video))
