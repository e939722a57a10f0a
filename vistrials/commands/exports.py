"""Write annotations and predictions in the forms of other programs: data export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vistrials.commands.options import keep_files
from vistrials.errors import DataError

if TYPE_CHECKING:
    from vistrials.data.export.source import ExportSet

KINDS = {
    "davis": "folder of palette PNGs of object numbers",
    "mots": "folder of PNGs of class * 1000 + instance",
    "mots-txt": "folder of text files of run lengths",
    "coco": "JSON of an annotation per object and frame",
    "youtube-vis": "JSON of a track per object",
}
_FILES = ("coco", "youtube-vis")
USUAL_MIN_SCORE = 0.5


def export_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="; ".join(f"{k}: {what}" for k, what in KINDS.items()))],
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of a data set, an annotation file, or predictions (--gt).")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="New folder, or the JSON of coco, youtube-vis.")
    ],
    gt: Annotated[
        Path | None, typer.Option("--gt", metavar="GT", help="SRC holds predictions for this file, or folder.")
    ] = None,
    split: Annotated[str, typer.Option(help="Annotation file of a folder: DIR/<split>.json.")] = "train",
    frames: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Frames that davis and mots take along (default: a folder's own)."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out predictions below this score (default .5).", show_default=False)
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the frames rather than make hard links.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the JSON of coco or youtube-vis.")] = False,
) -> None:
    """Write annotations or predictions in another program's form (docs/own_data.md)."""
    if kind not in KINDS:
        raise DataError(f"export {kind}: expected one of {', '.join(KINDS)}")
    _refuse_without_effect(kind, gt, frames, min_score, copy, force)
    if kind in _FILES:
        keep_files(force, out)
    from vistrials.commands.display import RichReporter, progress_bar, show_text

    found = _load(source, gt, split, frames)
    exported = (
        _predictions(source, found, USUAL_MIN_SCORE if min_score is None else min_score)
        if gt is not None
        else _annotations(found)
    )
    with progress_bar("videos") as progress:
        if kind == "davis":
            from vistrials.data.export.davis import write_davis

            count, what = write_davis(exported, out, copy, progress), "label images"
        elif kind in ("mots", "mots-txt"):
            from vistrials.data.export.mots import write_mots

            as_text = kind == "mots-txt"
            count, what = write_mots(exported, out, as_text, copy, progress), "lines" if as_text else "label images"
        elif kind == "coco":
            from vistrials.data.export.annotation_files import write_coco

            count, what = write_coco(exported, out, progress), "annotations"
        else:
            from vistrials.data.export.annotation_files import write_youtube_vis_file

            count, what = write_youtube_vis_file(exported, out, progress), "tracks"
    show_text(f"{out}: {len(exported.videos)} videos, {count} {what}")
    for line in exported.notes.lines():
        RichReporter().message(line)
    if kind not in _FILES and exported.frames_dir is None:
        RichReporter().message("without frames; --frames says where file names start from")


def _refuse_without_effect(
    kind: str, gt: Path | None, frames: Path | None, min_score: float | None, copy: bool, force: bool
) -> None:
    if gt is None and min_score is not None:
        raise DataError("--min-score: annotations have no scores; it goes with --gt, when SRC holds predictions")
    if kind in _FILES and (copy or frames is not None):
        raise DataError(f"--{'copy' if copy else 'frames'}: {kind} holds the names of frames only; leave it out")
    if kind not in _FILES and force:
        raise DataError(f"--force: {kind} makes a folder, and folders are not replaced; choose a new one")


def _load(source: Path, gt: Path | None, split: str, frames: Path | None) -> tuple[Path, Path | None]:
    """The annotation file, and the folder of its frames."""
    path = source if gt is None else gt
    if not path.is_dir():
        return path, frames
    candidates = [path / f"{split}.json{end}" for end in ("", ".gz")]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        there = ", ".join(sorted(file.name for file in path.glob("*.json*"))) or "no JSON"
        raise DataError(f"{candidates[0]}: no such file; there is {there}: see --split, or name the file")
    folder = next((path / name for name in ("JPEGImages", f"{split}/JPEGImages") if (path / name).is_dir()), None)
    return found, frames or folder


def _annotations(found: tuple[Path, Path | None]) -> "ExportSet":
    from vistrials.data.export.source import export_annotations
    from vistrials.formats.annotations import build_video_set
    from vistrials.formats.json_file import load_json

    path, frames = found
    document = load_json(path)
    if isinstance(document, list):
        raise DataError(f"{path}: a list, as predictions are; say with --gt which annotation file they belong to")
    return export_annotations(build_video_set(document, Path(), str(path)), str(path), frames)


def _predictions(path: Path, found: tuple[Path, Path | None], min_score: float) -> "ExportSet":
    from functools import partial

    from vistrials.data.export.source import ExportTrack, export_predictions
    from vistrials.evaluation.reading import GroundTruth, VideoInfo, name_prediction, read_predictions, unpack
    from vistrials.evaluation.track_files import load_predictions, naming_files
    from vistrials.formats.annotations import load_video_set

    truth_path, frames = found
    video_set = load_video_set(truth_path, Path(), require_annotations=False)
    # Its tracks are not needed, and official validation sets have none.
    truth = GroundTruth(
        {video.id: VideoInfo(video.height, video.width, len(video)) for video in video_set.videos},
        {category.id: category.name for category in video_set.categories},
        [],
    )
    with naming_files(truth_path, path):
        predictions = read_predictions(load_predictions(path), truth)
    tracks = (
        (
            track.video_id,
            ExportTrack(
                f"{path}: {name_prediction(track.index)}",
                track.category_id,
                False,
                track.score,
                partial(unpack, track.segmentations, f"{path}: {name_prediction(track.index)}"),
            ),
        )
        for track in predictions
    )
    return export_predictions(video_set, tracks, str(path), frames, min_score)
