"""What is odd about the tracks of a file: scored as the official program scores it, but worth a warning.

One track may not fit its video; a whole file may have been written for other ids, or by a program that knows no tracks.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.evaluation.reading import GroundTruth, PredictedTrack, TrueTrack, VideoInfo
from vistrials.evaluation.track_iou import TrackMasks

FOUND_IOU = 0.5
"""IoU from which a prediction finds a true track."""

Oddity = tuple[str, str]
"""What is odd, and where."""

Confusions = Counter[tuple[int, int]]
"""How many true tracks of one category are found by predictions of another one only: (true, predicted) ids."""

_FEW = 0.1
_MANY = 1 / 3


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """What a video tells about its files.

    Attributes:
        video_id: the video.
        misfits: tracks that do not fit the video.
        remarks: what else is odd about single tracks.
        num_truths: true tracks that are no crowd.
        num_long: those that are present in more than one frame.
        num_found: those that a prediction of their category finds.
        num_predictions: predictions that count.
        num_short: those that are present in one frame only.
    """

    video_id: int
    misfits: tuple[Oddity, ...]
    remarks: tuple[Oddity, ...]
    num_truths: int
    num_long: int
    num_found: int
    num_predictions: int
    num_short: int


def summarise_video(
    video_id: int,
    video: VideoInfo,
    truths: Sequence[tuple[TrueTrack, TrackMasks]],
    predictions: Sequence[tuple[PredictedTrack, TrackMasks]],
    num_found: int,
) -> VideoSummary:
    """Look at the tracks of one video: true ones, and the predicted ones that count."""
    own = [masks for track, masks in truths if not track.is_crowd]
    return VideoSummary(
        video_id=video_id,
        misfits=(*_misfits("annotations", truths, video), *_misfits("predictions", predictions, video)),
        remarks=(*_remarks("annotations", truths), *_remarks("predictions", predictions)),
        num_truths=len(own),
        num_long=sum(_num_present(masks) > 1 for masks in own),
        num_found=num_found,
        num_predictions=len(predictions),
        num_short=sum(_num_present(masks) == 1 for _, masks in predictions),
    )


def describe(
    truth: GroundTruth, videos: Sequence[VideoSummary], confusions: Callable[[], Confusions]
) -> tuple[list[str], list[str]]:
    """One line for each kind of oddity.

    Args:
        truth: for names.
        videos: of all videos.
        confusions: counted only where hardly any true track is found.

    Returns:
        Tracks that do not fit their video, which may be refused; everything else.
    """
    others = [*truth.notes, *summarise(oddity for video in videos for oddity in video.remarks)]
    num_truths, num_found = (sum(getattr(v, name) for v in videos) for name in ("num_truths", "num_found"))
    num_predictions, num_short = (sum(getattr(v, name) for v in videos) for name in ("num_predictions", "num_short"))
    if num_predictions:
        with_truths = [video for video in videos if video.num_truths]
        left = [video.video_id for video in with_truths if not video.num_predictions]
        if left:
            others.append(
                f"videos with true tracks but without a prediction: {len(left)} of {len(with_truths)} "
                f"(first: video {left[0]}); are predictions missing, or their video ids of another list?"
            )
        if num_short == num_predictions > 1 and sum(video.num_long for video in videos) > num_truths / 2:
            others.append(
                f"all {num_predictions} predictions are present in one frame only, true tracks in more: an entry is a "
                "whole track, with a segmentation for every frame"
            )
        if num_found < _FEW * num_truths and (confused := confusions()):
            true, predicted = min(confused, key=lambda pair: (-confused[pair], pair))
            if confused.total() >= _MANY * num_truths:
                names = truth.category_names
                others.append(
                    f"predictions of their own category find {num_found} of {num_truths} true tracks, those of another "
                    f"one {confused.total()} more, most often {names[true]!r} by {names[predicted]!r}: are the "
                    "category ids of another list or order?"
                )
    return summarise(oddity for video in videos for oddity in video.misfits), others


def count_confusions(ious: NDArray[np.float64], predicted: NDArray[np.int64], true: Sequence[int]) -> Confusions:
    """The true tracks of one video that predictions of another category alone find, by the best of these.

    Args:
        ious: float64 [D, G].
        predicted: int64 [D], category ids.
        true: G category ids; crowds are left out.
    """
    confusions: Confusions = Counter()
    for column, category_id in zip(ious.T, true, strict=True):
        if column.max(initial=0.0) >= FOUND_IOU and not (column[predicted == category_id] >= FOUND_IOU).any():
            confusions[category_id, int(predicted[column.argmax()])] += 1
    return confusions


def summarise(oddities: Iterable[Oddity]) -> list[str]:
    """One line for each kind of oddity: how many, and where the first is."""
    places: dict[str, list[str]] = defaultdict(list)
    for oddity, where in oddities:
        places[oddity].append(where)
    return [f"{oddity}: {len(where)} (first: {where[0]})" for oddity, where in sorted(places.items())]


def _misfits(
    kind: str, tracks: Sequence[tuple[TrueTrack | PredictedTrack, TrackMasks]], video: VideoInfo
) -> Iterator[Oddity]:
    """Tracks of one video whose number of frames or mask sizes are not the video's."""
    for track, masks in tracks:
        where = f"{kind}[{track.index}], video {track.video_id}"
        sizes = masks.sizes
        found = len(sizes)
        if video.num_frames is not None and found != video.num_frames:
            yield (
                f"{kind} with more or fewer segmentations than their video has frames, of which the common ones count",
                f"{where}: {found} instead of {video.num_frames}",
            )
        is_other = (sizes != (video.height, video.width)) & (sizes > 0)
        if is_other.any():
            height, width = sizes[is_other.any(axis=1)][0].tolist()
            switched = ", height and width switched" if (width, height) == (video.height, video.width) else ""
            yield (
                f"{kind} with masks of another size than their video, which overlap no mask of its size",
                f"{where}: {height} x {width} instead of {video.height} x {video.width}{switched}",
            )


def _remarks(kind: str, tracks: Sequence[tuple[TrueTrack | PredictedTrack, TrackMasks]]) -> Iterator[Oddity]:
    for track, masks in tracks:
        where = f"{kind}[{track.index}], video {track.video_id}"
        if masks.num_strays:
            yield f"{kind} with polygons of fewer than 3 points, which are left out", f"{where}: {masks.num_strays}"
        if kind == "annotations" and not masks.areas.any():
            yield "annotations without a pixel, which count but cannot be found", where


def _num_present(masks: TrackMasks) -> int:
    return int((masks.areas > 0).sum())
