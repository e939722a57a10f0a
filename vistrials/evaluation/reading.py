"""Ground truth and predictions in YouTube-VIS form: checked once, here, into typed records."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from numbers import Real
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import numpy as np

from vistrials.errors import DataError, shortened
from vistrials.evaluation.track_iou import TrackMasks, decode_tracks, mean_nonzero, scan_packed
from vistrials.formats.annotation_faults import ID_0, num_frames_of, with_whole_numbers
from vistrials.formats.annotations import category_name, refuse_faults
from vistrials.formats.file_kinds import describe_no_predictions
from vistrials.formats.findings import summarise
from vistrials.formats.values import as_whole, hint_of_text, kind_of

MAX_PACKED = 1 << 25
"""Bytes of JSON accepted for the masks of one track: hundreds of times what a track takes."""

_SCANNED_AT_ONCE = 1 << 22
"""Bytes of JSON, give or take a track: what is decoded of a byte takes up to eight."""


@dataclass(frozen=True)
class VideoInfo:
    """A video's size in pixels, and its number of frames where the file says it."""

    height: int
    width: int
    num_frames: int | None


@dataclass(frozen=True)
class TrueTrack:
    """An annotation. `segmentations` has one item per frame; from `track_files` it is packed (see `unpack`).

    `areas`: pixels per frame, None where absent; None as a whole where the file leaves them to the masks.
    """

    index: int
    video_id: int
    category_id: int
    segmentations: Any
    areas: Sequence[float | None] | None
    is_crowd: bool

    def mean_area(self, masks: TrackMasks) -> float:
        """Mean of the non-zero areas in pixels, as the file has them rather than its masks, where it has them."""
        if self.areas is None:
            return masks.mean_area
        return mean_nonzero([area for area in self.areas if area is not None])


@dataclass(frozen=True)
class PredictedTrack:
    """An entry of the predictions list; `segmentations` as for `TrueTrack`."""

    index: int
    video_id: int
    category_id: int
    segmentations: Any
    score: float


@dataclass(frozen=True)
class GroundTruth:
    """Videos and categories by id, and all true tracks in file order."""

    videos: dict[int, VideoInfo]
    category_names: dict[int, str]
    tracks: list[TrueTrack]
    notes: tuple[str, ...] = ()
    """What other programs may read otherwise, one line for each kind."""


T = TypeVar("T", TrueTrack, PredictedTrack)


def name_annotation(index: int) -> str:
    """How messages name an annotation."""
    return f"ground truth annotations[{index}]"


def name_prediction(index: int) -> str:
    """How messages name a prediction."""
    return f"predictions[{index}]"


def read_ground_truth(ground_truth: Any) -> GroundTruth:
    """Check a YouTube-VIS annotation file's value.

    Args:
        ground_truth: {"videos": [..], "categories": [..], "annotations": [..]}; videos need no file names here. What
            this function returned is taken as it is.

    Returns:
        Typed records; categories by ascending id.

    Raises:
        DataError: names the first entry that cannot be used, and says why.
    """
    if isinstance(ground_truth, GroundTruth):
        return ground_truth
    ground_truth = with_whole_numbers(ground_truth)
    warnings = refuse_faults(ground_truth, "ground truth", needs_frames=False)
    return GroundTruth(
        videos={
            video["id"]: VideoInfo(video["height"], video["width"], num_frames_of(video))
            for video in ground_truth["videos"]
        },
        category_names=dict(
            sorted((category["id"], category_name(category)) for category in ground_truth["categories"])
        ),
        tracks=[
            TrueTrack(
                index=index,
                video_id=annotation["video_id"],
                category_id=annotation["category_id"],
                segmentations=annotation["segmentations"],
                areas=annotation.get("areas"),
                is_crowd=bool(annotation.get("iscrowd")),
            )
            for index, annotation in enumerate(ground_truth["annotations"])
        ],
        notes=summarise(warning for warning in warnings if warning.kind == ID_0),
    )


def read_predictions(predictions: Any, ground_truth: GroundTruth) -> list[PredictedTrack]:
    """Check a predictions file's value.

    Args:
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..]. What this function returned is taken
            as it is.
        ground_truth: what the ids must occur in.

    Returns:
        Typed records in file order.

    Raises:
        DataError: names the first entry that cannot be used, and says why.
    """
    if not isinstance(predictions, list):
        raise DataError(
            f"predictions are {kind_of(predictions)}; expected a list with one entry per track{_what(predictions)}"
        )
    tracks = []
    for index, prediction in enumerate(predictions):
        if isinstance(prediction, PredictedTrack):
            tracks.append(prediction)
            continue
        where = name_prediction(index)
        _check_object(prediction, where, predictions)
        if index == 0 and not {"video_id", "segmentations"} <= prediction.keys():
            _refuse_known_kinds(predictions, where)
        tracks.append(
            PredictedTrack(
                index=index,
                video_id=_known(prediction, "video_id", ground_truth.videos, where),
                category_id=_known(prediction, "category_id", ground_truth.category_names, where),
                segmentations=_segmentations(prediction, where),
                score=_number(_get(prediction, "score", where), "score", where),
            )
        )
    return tracks


def by_video(tracks: Iterable[T]) -> dict[int, list[T]]:
    """Tracks by their video's id, in the order given; a video without any has an empty list."""
    groups: dict[int, list[T]] = defaultdict(list)
    for track in tracks:
        groups[track.video_id].append(track)
    return groups


def by_category(tracks: Iterable[T]) -> dict[int, list[T]]:
    """Tracks by their category's id, in the order given."""
    groups: dict[int, list[T]] = defaultdict(list)
    for track in tracks:
        groups[track.category_id].append(track)
    return groups


def best_by_category(tracks: Iterable[PredictedTrack], limit: int) -> dict[int, list[PredictedTrack]]:
    """The tracks of one video that count: in each category the `limit` best.

    Returns:
        By category id, by falling score; of equal scores the first in the order given comes first.
    """
    return {
        category_id: sorted(own, key=lambda track: -track.score)[:limit]
        for category_id, own in by_category(tracks).items()
    }


def decode_masks(
    tracks: Sequence[TrueTrack | PredictedTrack], video: VideoInfo, name: Callable[[int], str]
) -> list[TrackMasks]:
    """Decode the masks of tracks of one video; `name` names a track by its index in messages.

    Raises:
        DataError: names the first segmentation that is not a mask, and says why, or the first annotation whose list
            is not as long as its video.
    """
    scanned = _scan([track.segmentations for track in tracks])
    left = [track for track, masks in zip(tracks, scanned, strict=True) if masks is None]
    decoded = iter(
        decode_tracks(
            [unpack(track.segmentations, name(track.index)) for track in left],
            video.height,
            video.width,
            lambda place, frame: f"{name(left[place].index)} segmentations[{frame}]",
        )
    )
    found = [next(decoded) if masks is None else masks for masks in scanned]
    for track, masks in zip(tracks, found, strict=True):
        if isinstance(track, TrueTrack) and video.num_frames not in (None, len(masks.areas)):
            raise DataError(
                f"{name(track.index)}: segmentations has {len(masks.areas)} entries; "
                f"expected {video.num_frames}, one per frame"
            )
    return found


def _scan(tracks: Sequence[Any]) -> list[TrackMasks | None]:
    """The masks of packed segmentations of the common form, a few MiB at a time; None for all others."""
    masks: list[TrackMasks | None] = [None] * len(tracks)
    packed = {place: len(memoryview(track)) for place, track in enumerate(tracks) if isinstance(track, msgspec.Raw)}
    usual = [place for place, size in packed.items() if size <= MAX_PACKED]
    batches = np.cumsum([packed[place] for place in usual]) // _SCANNED_AT_ONCE
    for _, batch in groupby(zip(usual, batches.tolist(), strict=True), key=itemgetter(1)):
        places = [place for place, _ in batch]
        for place, scanned in zip(places, scan_packed([tracks[place] for place in places]), strict=True):
            masks[place] = scanned
    return masks


def unpack(segmentations: Any, where: str) -> list[Any]:
    """Parse a track's segmentations where they are still JSON text.

    Raises:
        DataError: they are no list, or too long, or hold what only looked like JSON from afar.
    """
    if not isinstance(segmentations, msgspec.Raw):
        return segmentations
    if len(memoryview(segmentations)) > MAX_PACKED:
        raise DataError(
            f"{where}: segmentations take more than {MAX_PACKED >> 20} MiB; expected the masks of one track"
        )
    try:
        value = msgspec.json.decode(segmentations)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: segmentations are not usable JSON ({error})") from None
    return _list({"segmentations": value}, "segmentations", where)


def _segmentations(entry: dict[str, Any], where: str) -> Any:
    packed = isinstance(entry.get("segmentations"), msgspec.Raw)
    return entry["segmentations"] if packed else _list(entry, "segmentations", where)


def _check_object(entry: Any, where: str, predictions: list[Any]) -> None:
    if not isinstance(entry, dict):
        raise DataError(f"{where}: is {kind_of(entry)}; expected an object{_what(predictions)}")


def _refuse_known_kinds(predictions: Any, where: str) -> None:
    if kind := describe_no_predictions(predictions):
        raise DataError(f"{where}: {kind}")


def _what(predictions: Any) -> str:
    """The end of a message: what a file is that holds no predictions, where that is known."""
    kind = describe_no_predictions(predictions)
    return f"; {kind}" if kind else ""


def _get(entry: dict[str, Any], key: str, where: str) -> Any:
    if key not in entry:
        raise DataError(f"{where}: has no '{key}'; found {', '.join(map(repr, entry)) or 'no keys'}")
    return entry[key]


def _int(entry: dict[str, Any], key: str, where: str) -> int:
    value = as_whole(_get(entry, key, where))
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{where}: {key} is {shortened(value)}; expected a whole number{hint_of_text(value)}")
    return value


def _number(value: Any, key: str, where: str) -> float:
    # Real also takes NumPy's numbers, but asking is slow.
    if isinstance(value, bool) or not isinstance(value, (int, float, Real)):
        raise DataError(f"{where}: {key} is {shortened(value)}; expected a number{hint_of_text(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{where}: {key} is {shortened(value)}; expected a finite number")
    return number


def _list(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    value = _get(entry, key, where)
    if not isinstance(value, list):
        raise DataError(f"{where}: {key} is {kind_of(value)}; expected a list with one item per frame")
    return value


def _known(entry: dict[str, Any], key: str, known: dict[int, Any], where: str) -> int:
    value = _int(entry, key, where)
    if value not in known:
        raise DataError(f"{where}: {key} {value} is not in the ground truth, which has {_some(list(known))}")
    return value


def _some(ids: Sequence[int]) -> str:
    if not ids:
        return "none"
    return ", ".join(map(str, sorted(ids)[:5])) + (f", .. ({len(ids)} in all)" if len(ids) > 5 else "")
