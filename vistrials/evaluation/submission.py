"""Predictions -> what a benchmark server accepts: checked against its annotation file, mended where that is safe.

What a server would refuse or silently misread is refused here, in one line, before anything is written. What can be
put right without changing a figure is put right, and said.
"""

import dataclasses
import os
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vistrials.errors import DataError
from vistrials.evaluation.average_precision import MAX_TRACKS
from vistrials.evaluation.reading import (
    GroundTruth,
    PredictedTrack,
    VideoInfo,
    best_by_category,
    by_video,
    decode_masks,
    name_prediction,
    read_ground_truth,
    read_predictions,
    unpack,
)
from vistrials.evaluation.track_files import find_other_keys, load_ground_truth, load_predictions, naming_files
from vistrials.evaluation.track_iou import scan_packed
from vistrials.formats.files import check_output, replacing
from vistrials.formats.rle import count_strays, to_rle

RESULTS_NAME = "results.json"
"""The one file in the archive, as the YouTube-VIS and OVIS servers ask for."""

ARCHIVE_SUFFIX = ".zip"

_RUN_LIST = re.compile(rb'"counts"\s*:\s*\[')
"""Of masks as JSON text: an uncompressed one."""

_KEYS = ("video_id", "category_id", "score", "segmentations")


@dataclass(frozen=True, eq=False)
class Submission:
    """What a server is given.

    Attributes:
        rows: [{"video_id", "category_id", "score", "segmentations"}, ..] in the order of the predictions; every
            segmentation a compressed RLE, or None where absent; as JSON text where they came so.
        num_videos: videos in the annotation file.
        num_predicted_videos: those with a track.
        fixes: one line for each kind of thing that was put right: what, how often, where first.
    """

    rows: list[dict[str, Any]]
    num_videos: int
    num_predicted_videos: int
    fixes: tuple[str, ...]


def submit_files(
    pred_path: str | os.PathLike[str],
    annotations_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    replace: bool = False,
) -> Submission:
    """Check a predictions file against an annotation file (.json or .json.gz each) and write the archive.

    Args:
        pred_path: the predictions; see `prepare_submission`.
        annotations_path: the server's annotation file, or any with the same videos and categories.
        out: the .zip to write; its folder is made where it is missing.
        replace: replace an archive that is there already.

    Raises:
        DataError: a file cannot be read or written, the archive is there already or not called .zip, or the
            predictions are refused; nothing is written then.
    """
    for path in (pred_path, annotations_path):
        if Path(out).resolve() == Path(path).resolve():
            raise DataError(f"{out}: the archive would replace it; choose another file to write")
    check_output(out, [ARCHIVE_SUFFIX], replace=replace, otherwise="name another file with --out")
    # Before the predictions, which map the file into memory as well.
    other_keys = find_other_keys(pred_path)
    annotations, predictions = load_ground_truth(annotations_path), load_predictions(pred_path)
    with naming_files(annotations_path, pred_path):
        submission = prepare_submission(predictions, annotations, other_keys)
    save_submission(out, submission.rows)
    return submission


def prepare_submission(predictions: Any, annotations: Any, other_keys: Sequence[Sequence[str]] = ()) -> Submission:
    """Check predictions against an annotation file's value, and bring them into the form that servers read.

    Put right are: more than 100 tracks of a video and category (the best by score stay, of equals the first: the
    official program counts no others), polygons and uncompressed run lengths, empty lists and objects for absent, and
    keys that servers do not know. The rows have the figures that the predictions have.

    Args:
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..], one entry per track, one
            segmentation per frame (see `geometry.rle.to_rle`), None where absent; from `track_files` the masks of a
            track may be packed.
        annotations: {"videos", "categories", ..} in YouTube-VIS form; annotations in it are not looked at.
        other_keys: for each prediction the keys that servers do not know, to be said; those of the predictions by
            default.

    Returns:
        The rows, and what was put right. The arguments are left as they are.

    Raises:
        DataError: names the first entry with an unknown video or category, a score that is no number in 0..1, a
            wrong number of frames, a broken mask or one of another size than its video; or there is no entry.
    """
    known = _read_videos_and_categories(annotations)
    tracks = read_predictions(predictions, known)
    if not tracks:
        raise DataError("predictions are empty; expected at least one track, as servers do")
    tracks_of = by_video(tracks)
    for video_id, of_video in tracks_of.items():
        _check_tracks(of_video, known.videos[video_id])
    tracks = [_with_usual_masks(track) for track in tracks]
    kept = {
        track.index
        for of_video in tracks_of.values()
        for of_category in best_by_category(of_video, max(MAX_TRACKS)).values()
        for track in of_category
    }
    other_keys = other_keys or [sorted(entry.keys() - set(_KEYS)) for entry in predictions]
    return Submission(
        rows=[_row(track, known.videos[track.video_id]) for track in tracks if track.index in kept],
        num_videos=len(known.videos),
        num_predicted_videos=len(tracks_of),
        fixes=tuple(_describe_fixes(tracks, kept, other_keys)),
    )


def save_submission(path: str | os.PathLike[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write the archive, whole or not at all; its bytes depend on the rows alone.

    Raises:
        DataError: the folder is not writable.
    """
    path = Path(path)
    entry = zipfile.ZipInfo(RESULTS_NAME, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is written
    entry.compress_type = zipfile.ZIP_DEFLATED
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
            archive.open(entry, "w", force_zip64=True) as file,
        ):
            for number, row in enumerate(rows):
                file.write((b"," if number else b"[") + msgspec.json.encode(row))
            file.write(b"]")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def _read_videos_and_categories(annotations: Any) -> GroundTruth:
    """Without the annotations: servers' files have none, or null for them."""
    return read_ground_truth({**annotations, "annotations": []} if isinstance(annotations, dict) else annotations)


def _check_tracks(tracks: Sequence[PredictedTrack], video: VideoInfo) -> None:
    """Check scores, lengths and all masks of one video's tracks."""
    if video.num_frames is None:
        where = f"ground truth: video {tracks[0].video_id}"
        raise DataError(f"{where} has neither length nor file_names; expected one of them")
    for track, masks in zip(tracks, decode_masks(tracks, video, name_prediction), strict=True):
        where = name_prediction(track.index)
        if not 0 <= track.score <= 1:
            raise DataError(f"{where}: score is {track.score:g}; expected 0 to 1")
        if len(masks.areas) != video.num_frames:
            raise DataError(
                f"{where}: {len(masks.areas)} segmentations; expected {video.num_frames}, "
                f"one per frame of video {track.video_id}"
            )
        present = masks.sizes[:, 0] > 0
        wrong = present & (masks.sizes != (video.height, video.width)).any(axis=1)
        if wrong.any():
            frame = int(wrong.argmax())
            height, width = masks.sizes[frame]
            raise DataError(
                f"{where} segmentations[{frame}]: a mask of {height} x {width}; expected {video.height} x "
                f"{video.width}, height x width of video {track.video_id}"
            )


def _with_usual_masks(track: PredictedTrack) -> PredictedTrack:
    """The track with its masks unpacked, unless all are null or compressed: those go as they came."""
    packed = track.segmentations
    if isinstance(packed, msgspec.Raw) and not _RUN_LIST.search(packed) and scan_packed([packed])[0] is not None:
        return track
    return dataclasses.replace(track, segmentations=unpack(track.segmentations, name_prediction(track.index)))


def _row(track: PredictedTrack, video: VideoInfo) -> dict[str, Any]:
    segmentations = track.segmentations
    if not isinstance(segmentations, msgspec.Raw):
        segmentations = [_compressed(segmentation, video) if segmentation else None for segmentation in segmentations]
    return dict(zip(_KEYS, (track.video_id, track.category_id, track.score, segmentations), strict=True))


def _compressed(segmentation: Any, video: VideoInfo) -> dict[str, Any]:
    if _is_compressed(segmentation):  # checked with its video's others already
        return {"size": [video.height, video.width], "counts": segmentation["counts"]}
    return to_rle(segmentation, video.height, video.width)


def _is_compressed(segmentation: Any) -> bool:
    return isinstance(segmentation, dict) and isinstance(segmentation["counts"], str)


def _describe_fixes(tracks: Sequence[PredictedTrack], kept: set[int], other_keys: Sequence[Sequence[str]]) -> list[str]:
    """One line for each kind of thing that was put right."""
    fixes: Counter[str] = Counter()
    first: dict[str, str] = {}

    def note(what: str, where: str) -> None:
        fixes[what] += 1
        first.setdefault(what, where)

    for track in tracks:
        where = name_prediction(track.index)
        if track.index not in kept:
            what = f"tracks left out beyond the {max(MAX_TRACKS)} of highest score of their video and category"
            note(what, f"{where}, video {track.video_id}, category {track.category_id}, score {track.score:g}")
            continue
        usual = isinstance(track.segmentations, msgspec.Raw)
        for frame, segmentation in enumerate(() if usual else track.segmentations):
            place = f"{where} segmentations[{frame}]"
            if isinstance(segmentation, list) and segmentation:
                note("polygons turned into compressed run lengths", place)
                if count_strays(segmentation):
                    note("polygons of fewer than 3 points left out", place)
            elif segmentation in ([], {}):
                note("empty segmentations turned into null", place)
            elif segmentation is not None and not _is_compressed(segmentation):
                note("run lengths compressed", place)
            elif segmentation is not None and any(isinstance(side, float) for side in segmentation["size"]):
                note("sizes written without .0", place)
        for key in other_keys[track.index]:
            note(f"keys {key!r} left out", where)
    return [f"{what}: {fixes[what]} (first: {first[what]})" for what in sorted(fixes)]
