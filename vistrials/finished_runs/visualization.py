"""A finished run -> a picture: joins data, predictions and the drawing of film strips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vistrials.data.frame_files import locate_frames
from vistrials.data.frames import read_frame
from vistrials.data.sources import resolve_split
from vistrials.errors import DataError, SpecError
from vistrials.evaluation.reading import GroundTruth, VideoInfo, name_prediction, read_predictions, unpack
from vistrials.evaluation.track_files import load_predictions
from vistrials.formats.annotations import decode_mask, load_video_set
from vistrials.formats.files import refuse_to_replace
from vistrials.reports.film_strip import StripObject, StripRow, render_film_strip
from vistrials.runs.directory import RunDirectory
from vistrials.structures.video import Video, VideoSet


def visualize(
    run_folder: Path | str,
    out: Path | str | None = None,
    *,
    split: str | None = None,
    video_id: int | None = None,
    frames: int | Sequence[int] = 4,
    min_score: float = 0.3,
    replace: bool = False,
) -> Path:
    """Draw a film strip of a run: frames of one video with the ground truth, and below with the predictions.

    Args:
        run_folder: results_dir/<profile>/<trial>/seed<N>.
        out: the PNG file; in the current folder and named after what it shows by default.
        split: one that the run has predicted; its main one by default.
        video_id: the video with the most annotated tracks, of these the one with the lowest id, by default.
        frames: how many, evenly spread, or which ones.
        min_score: predicted tracks below are left out.
        replace: replace a file that is there already.

    Returns:
        The file.

    Raises:
        RunError: there is no such run, or it has not predicted the split yet.
        SpecError: the run has no such split, the split no such video, or the video no such frame.
        DataError: annotations, predictions or frames are missing or broken, or the file is there already.
    """
    directory, spec = RunDirectory.open(run_folder)
    split = directory.predicted_split(spec, split)
    data = resolve_split(spec.data, split)
    video_set, _ = locate_frames(load_video_set(data.annotations, data.frames_dir, require_annotations=False))
    video = _choose_video(video_set, video_id, split)
    shown = _choose_frames(video, frames)
    out = Path(out or f"{spec.profile}-{spec.name}-seed{directory.seed}-{split}-video{video.id}.png")
    if not replace:
        refuse_to_replace([out], "name another file")
    images = [read_frame(video_set, video, frame).permute(1, 2, 0).numpy() for frame in shown]
    names = {category.id: category.name for category in video_set.categories}
    rows = []
    if any(other.tracks for other in video_set.videos):
        true = [(names[track.category_id], None, track.segmentations) for track in video.tracks]
        rows.append(_strip_row("ground truth", true, video, shown))
    predicted = _predicted_tracks(directory.predictions(split), video_set, video, min_score)
    # Said in the picture, or a row without objects would look like a failure of the run.
    limit = f", scores from {min_score:g}" if min_score > 0 else ""
    rows.append(_strip_row(f"{spec.name} (seed {directory.seed}){limit}", predicted, video, shown))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render_film_strip(images, rows, shown)).save(out, format="PNG")
    return out


# Category name, score, and a segmentation or None for every frame of the video.
_Track = tuple[str, float | None, Sequence[Any]]


def _choose_video(video_set: VideoSet, video_id: int | None, split: str) -> Video:
    videos = {video.id: video for video in video_set.videos}
    if video_id is None:
        return max(videos.values(), key=lambda video: (len(video.tracks), -video.id))
    if video_id not in videos:
        raise SpecError(
            f"split {split} has no video {video_id}; its {len(videos)} videos have ids "
            f"from {min(videos)} to {max(videos)}"
        )
    return videos[video_id]


def _choose_frames(video: Video, frames: int | Sequence[int]) -> list[int]:
    last = len(video) - 1
    if isinstance(frames, int):
        steps = max(1, frames - 1)
        return sorted({round(step * last / steps) for step in range(frames)})
    for frame in frames:
        if not 0 <= frame <= last:
            raise SpecError(f"video {video.id} has no frame {frame}; its frames are 0 to {last}")
    return list(frames)


def _predicted_tracks(path: Path, video_set: VideoSet, video: Video, min_score: float) -> list[_Track]:
    """Predicted tracks of one video, best first."""
    known = GroundTruth(
        {other.id: VideoInfo(other.height, other.width, len(other)) for other in video_set.videos},
        {category.id: category.name for category in video_set.categories},
        [],
    )
    tracks = [track for track in read_predictions(load_predictions(path), known) if track.video_id == video.id]
    found: list[_Track] = []
    for track in sorted(tracks, key=lambda track: -track.score):
        where = f"{path}: {name_prediction(track.index)}"
        segmentations = unpack(track.segmentations, where)
        if len(segmentations) != len(video):
            raise DataError(
                f"{where}: expected {len(video)} segmentations, one per frame "
                f"of video {video.id}, found {len(segmentations)}"
            )
        if track.score >= min_score:
            found.append((known.category_names[track.category_id], track.score, segmentations))
    return found


def _strip_row(title: str, tracks: Sequence[_Track], video: Video, frames: Sequence[int]) -> StripRow:
    objects: list[list[StripObject]] = [[] for _ in frames]
    for number, (name, score, segmentations) in enumerate(tracks):
        for frame, found in zip(frames, objects, strict=True):
            if segmentations[frame] is None:
                continue
            try:
                mask = decode_mask(segmentations[frame], video.height, video.width) > 0
            except DataError as error:
                raise DataError(f"{title}: video {video.id}, frame {frame}: {error}") from None
            found.append(StripObject(number, name, score, mask))
    return StripRow(title, objects)
