"""A finished run -> a picture or a video: joins data, predictions and the drawing of film strips."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
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
from vistrials.formats.files import refuse_to_replace, replacing
from vistrials.reports.film_strip import StripRow, assign_colours, render_film_strip
from vistrials.reports.painting import DrawnObject, Pixels
from vistrials.runs.directory import RunDirectory
from vistrials.structures.video import Video, VideoSet

PICTURES, MOVING = (".png", ".pdf"), (".mp4", ".gif")
STRIP_FRAMES = 4
FRAMES_PER_SECOND = 6.0
"""Of the videos of YouTube-VIS, whose every fifth frame is annotated."""


def visualize(
    run_folder: Path | str,
    out: Path | str | None = None,
    *,
    split: str | None = None,
    video_id: int | None = None,
    frames: int | Sequence[int] | None = None,
    frames_per_second: float | None = None,
    min_score: float = 0.3,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Draw a run: frames of one video with the ground truth, and below with the predictions.

    Args:
        run_folder: results_dir/<profile>/<trial>/seed<N>.
        out: the file: .png or .pdf of a film strip, .mp4 or .gif of the whole video; by default a .png in the current
            folder that is named after what it shows.
        split: one that the run has predicted; its main one by default.
        video_id: the video with the most annotated tracks, of these the one with the lowest id, by default.
        frames: of a film strip how many, evenly spread, or which ones; 4 by default.
        frames_per_second: of an .mp4 or .gif; 6 by default.
        min_score: predicted tracks below are left out.
        replace: replace a file that is there already.
        progress: called with the number of frames of an .mp4 or .gif that are done, and of all.

    Returns:
        The file.

    Raises:
        RunError: there is no such run, or it has not predicted the split yet.
        SpecError: the run has no such split, the split no such video, or the video no such frame; a file that is
            neither of these, or a setting of the other kind.
        DataError: annotations, predictions or frames are missing or broken, or the file is there already.
    """
    is_moving = _is_moving(out, frames, frames_per_second)
    directory, spec = RunDirectory.open(run_folder)
    split = directory.predicted_split(spec, split)
    data = resolve_split(spec.data, split)
    video_set, _ = locate_frames(load_video_set(data.annotations, data.frames_dir, require_annotations=False))
    video = _choose_video(video_set, video_id, split)
    shown = list(range(len(video))) if is_moving else _choose_frames(video, STRIP_FRAMES if frames is None else frames)
    out = Path(out or f"{spec.profile}-{spec.name}-seed{directory.seed}-{split}-video{video.id}.png")
    if not replace:
        refuse_to_replace([out], "name another file")
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
    with replacing(out) as temporary:
        if is_moving:
            pictures = _draw_each(video_set, video, rows, progress)
            rate = frames_per_second or FRAMES_PER_SECOND
            (_save_gif if out.suffix.lower() == ".gif" else _save_mp4)(temporary, pictures, rate)
        else:
            images = [_load(video_set, video, frame) for frame in shown]
            picture = Image.fromarray(render_film_strip(images, rows, shown))
            picture.save(temporary, format=out.suffix[1:].upper())
    return out


def _is_moving(out: Path | str | None, frames: int | Sequence[int] | None, frames_per_second: float | None) -> bool:
    suffix = Path(out).suffix.lower() if out else PICTURES[0]
    if suffix not in (*PICTURES, *MOVING):
        expected = f"{' or '.join(PICTURES)} for a film strip, {' or '.join(MOVING)} for the whole video"
        raise SpecError(f"--out {out}: cannot be told what to draw; expected {expected}")
    is_moving = suffix in MOVING
    if is_moving and frames is not None:
        raise SpecError(f"--out {out}: shows all frames; expected --frames and --at only with {', '.join(PICTURES)}")
    if not is_moving and frames_per_second is not None:
        raise SpecError(f"--fps: expected only with --out FILE{', '.join(MOVING)}; a film strip does not move")
    return is_moving


def _load(video_set: VideoSet, video: Video, frame: int) -> Pixels:
    return read_frame(video_set, video, frame).permute(1, 2, 0).numpy()


def _draw_each(
    video_set: VideoSet, video: Video, rows: Sequence[StripRow], progress: Callable[[int, int], None]
) -> Iterator[Pixels]:
    """A strip of one frame for each frame of a video, in the colours that fit all of them."""
    colours = assign_colours(rows)
    for frame in range(len(video)):
        of_frame = [StripRow(row.title, [row.objects[frame]]) for row in rows]
        yield render_film_strip([_load(video_set, video, frame)], of_frame, [frame], colours)
        progress(frame + 1, len(video))


def _save_mp4(path: Path, pictures: Iterator[Pixels], frames_per_second: float) -> None:
    from vistrials.video_files.writing import VideoWriter

    first = next(pictures)
    rate = Fraction(frames_per_second).limit_denominator(1001)
    with VideoWriter(path, first.shape[:2], rate, 1 / rate) as writer:
        for number, picture in enumerate(chain([first], pictures)):
            writer.write(picture, float(number / rate))


def _save_gif(path: Path, pictures: Iterator[Pixels], frames_per_second: float) -> None:
    # A palette of its own for each frame: tints of photographs need it.
    images = (Image.fromarray(picture).quantize(dither=Image.Dither.NONE) for picture in pictures)
    first = next(images)
    duration_ms = 1000 / frames_per_second
    first.save(path, format="GIF", save_all=True, append_images=images, duration=duration_ms, loop=0)


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
    return StripRow(title, _DecodedInTurn(title, tracks, video, frames))


class _DecodedInTurn(Sequence[list[DrawnObject]]):
    """The objects of each frame, whose masks are decoded when it is looked at: those of all would be too many."""

    def __init__(self, title: str, tracks: Sequence[_Track], video: Video, frames: Sequence[int]) -> None:
        self._title, self._tracks, self._video, self._frames = title, tracks, video, frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        frame, video = self._frames[index], self._video
        found = []
        for number, (name, score, segmentations) in enumerate(self._tracks):
            if segmentations[frame] is None:
                continue
            try:
                mask = decode_mask(segmentations[frame], video.height, video.width) > 0
            except DataError as error:
                raise DataError(f"{self._title}: video {video.id}, frame {frame}: {error}") from None
            found.append(DrawnObject(number, name, score, mask))
        return found
