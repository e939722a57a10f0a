"""What keeps AP from 100: errors by kind and what mending each would gain, ladders, breakdowns, counts."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vistrials.evaluation.errors.ap import AT_50, Score, compute_ap, score_videos
from vistrials.evaluation.errors.breakdowns import (
    Bin,
    count_fates,
    find_confusions,
    score_by_crowding,
    score_by_length,
    score_by_size,
)
from vistrials.evaluation.errors.causes import CAUSES
from vistrials.evaluation.errors.identities import IdentityCounts, count_identities
from vistrials.evaluation.errors.kinds import WRONG, Errors, Kind, find_errors
from vistrials.evaluation.errors.ladders import perfect_categories, perfect_identities
from vistrials.evaluation.errors.mending import mend
from vistrials.evaluation.errors.overlap import Bools, VideoTracks, read_videos
from vistrials.evaluation.oddities import Confusions, count_confusions, describe
from vistrials.evaluation.reading import GroundTruth, read_ground_truth
from vistrials.evaluation.track_files import naming_files, read_files


@dataclass(frozen=True)
class ErrorRow:
    """One kind of error.

    Attributes:
        num_at_50: errors at IoU .5.
        num_mean: errors, mean over the thresholds.
        gain: what AP gains if these errors alone are mended, as fractions.
    """

    num_at_50: int
    num_mean: float
    gain: Score


@dataclass(frozen=True)
class ConfusionRow:
    """Of `of` true tracks that any prediction finds, `count` are taken for another category."""

    true: str
    predicted: str
    count: int
    of: int


@dataclass(frozen=True)
class Diagnosis:
    """The error analysis of one predictions file; AP in fractions, -1 where nothing is counted.

    Attributes:
        num_videos: videos in the ground truth.
        num_tracks: annotations in the ground truth.
        num_predictions: predictions that are looked at, at most 100 per video and category.
        score: AP as it is.
        errors: by kind: classification, duplicate, spatial, temporal, both, background, miss.
        temporal: the temporal errors by cause: identity, late_start, early_end, gap, leak.
        ladders: AP with perfect categories, identities, both.
        frames: what becomes of the frames of true tracks (`error_breakdowns.count_fates`).
        by_length: AP by frames of a track.
        by_size: AP by the root of a track's mean area, in pixels.
        by_crowding: AP by true tracks in the video.
        confusions: categories that true tracks are taken for, most frequent first.
        identities: identity switches and fragmentations.
        warnings: what `youtube_vis.evaluate` warns of.
    """

    num_videos: int
    num_tracks: int
    num_predictions: int
    score: Score
    errors: Mapping[str, ErrorRow]
    temporal: Mapping[str, ErrorRow]
    ladders: Mapping[str, Score]
    frames: Mapping[str, int]
    by_length: Sequence[Bin]
    by_size: Sequence[Bin]
    by_crowding: Sequence[Bin]
    confusions: Sequence[ConfusionRow]
    identities: IdentityCounts
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {**asdict(self), "warnings": list(self.warnings)}


def diagnose_files(gt_path: str | os.PathLike[str], pred_path: str | os.PathLike[str]) -> Diagnosis:
    """Diagnose a predictions file against an annotation file (.json or .json.gz each); see `diagnose`.

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used; names file and entry.
    """
    truth, predicted = read_files(gt_path, pred_path)
    with naming_files(gt_path, pred_path):
        return diagnose(truth, predicted)


def diagnose(ground_truth: Any, predictions: Any) -> Diagnosis:
    """Analyse what is wrong with predicted tracks.

    Args:
        ground_truth: {"videos", "categories", "annotations"} in YouTube-VIS form.
        predictions: [{"video_id", "category_id", "score", "segmentations"}, ..], as for `youtube_vis.evaluate`.

    Raises:
        DataError: names the first entry that cannot be used, and says why.
    """
    truth = read_ground_truth(ground_truth)
    videos = read_videos(truth, predictions)
    ids, names = list(truth.category_names), truth.category_names
    errors = find_errors(videos)
    return Diagnosis(
        num_videos=len(videos),
        num_tracks=len(truth.tracks),
        num_predictions=len(errors.scores),
        score=score_videos(videos, ids),
        errors=_by_kind(errors, ids),
        temporal=_by_cause(errors, ids),
        ladders=_score_ladders(videos, ids),
        frames=count_fates(videos),
        by_length=score_by_length(videos, ids),
        by_size=score_by_size(videos, ids),
        by_crowding=score_by_crowding(videos, ids),
        confusions=[
            ConfusionRow(names[confusion.true], names[confusion.predicted], confusion.count, confusion.of)
            for confusion in find_confusions(videos)
        ],
        identities=count_identities(videos),
        warnings=_warnings(truth, videos),
    )


def _score_ladders(videos: Sequence[VideoTracks], category_ids: Sequence[int]) -> dict[str, Score]:
    relabelled = [perfect_categories(video) for video in videos]
    linked = [perfect_identities(video) for video in videos]
    both = [
        own if changed is video else perfect_identities(changed)
        for video, own, changed in zip(videos, linked, relabelled, strict=True)
    ]
    ladders = {"perfect categories": relabelled, "perfect identities": linked, "both": both}
    return {name: score_videos(changed, category_ids) for name, changed in ladders.items()}


def _warnings(truth: GroundTruth, videos: Sequence[VideoTracks]) -> tuple[str, ...]:
    def confusions() -> Confusions:
        counted: Confusions = Counter()
        for video in videos:
            own = ~video.is_crowd
            counted += count_confusions(video.ious[:, own], video.categories, video.truth_categories[own].tolist())
        return counted

    misfits, others = describe(truth, [video.summary for video in videos], confusions)
    return (*misfits, *others)


def _by_kind(errors: Errors, category_ids: Sequence[int]) -> dict[str, ErrorRow]:
    rows = {kind.name.lower(): _row(errors, errors.kinds == kind, category_ids) for kind in WRONG}
    return {**rows, "miss": _row(errors, np.zeros(errors.kinds.shape, dtype=bool), category_ids, misses=True)}


def _by_cause(errors: Errors, category_ids: Sequence[int]) -> dict[str, ErrorRow]:
    is_temporal = errors.kinds == Kind.TEMPORAL
    return {cause.name.lower(): _row(errors, is_temporal & (errors.causes == cause), category_ids) for cause in CAUSES}


def _row(errors: Errors, mended: Bools, category_ids: Sequence[int], misses: bool = False) -> ErrorRow:
    before = compute_ap(mend(errors, np.zeros(mended.shape, dtype=bool), category_ids))
    after = compute_ap(mend(errors, mended, category_ids, misses=misses))
    num = (errors.is_missed if misses else mended).sum(axis=1)
    return ErrorRow(int(num[AT_50]), float(num.mean()), Score.of(after).minus(Score.of(before)))
