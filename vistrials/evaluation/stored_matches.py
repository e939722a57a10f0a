"""Matches on disk: small enough to keep with the figures, so that any draw of videos can be scored without masks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from vistrials.formats.json_file import load_json, save_json_atomic

_FORMAT = "vistrials matches 1"
_PER_RECORD = ("video_id", "category_id", "num_predictions", "num_truths")
_COLUMNS: dict[str, type] = {
    "prediction_indices": np.int64,
    "scores": np.float64,
    "truth_indices": np.int64,
    "ious": np.float64,
    "matched_truths": np.int64,
    "ignored": np.bool_,
    "counted": np.bool_,
}


@dataclass(frozen=True, eq=False)
class StoredMatches:
    """The matches of one run on one split.

    Attributes:
        video_ids: all videos of the split, ascending, also those without a track: a draw may hit them.
        category_ids: all categories, ascending.
        records: per video and category with any track, by ascending video id, then category id.
    """

    video_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    records: tuple[Matches, ...]


def save_matches(path: str | os.PathLike[str], matches: StoredMatches) -> None:
    """Save matches as gzipped JSON, all numbers exact; the bytes depend on the matches alone.

    Every array is one flat list over all records, in the order of its axes; `records` says how to cut it.

    Args:
        path: the file; its name ends in .json.gz.
        matches: what to save.

    Raises:
        DataError: the folder is missing or not writable.
    """
    records = matches.records
    content: dict[str, Any] = {
        "format": _FORMAT,
        **_conventions(),
        "video_ids": list(matches.video_ids),
        "category_ids": list(matches.category_ids),
        "records": {
            "video_id": [record.video_id for record in records],
            "category_id": [record.category_id for record in records],
            "num_predictions": [len(record.scores) for record in records],
            "num_truths": [len(record.truth_indices) for record in records],
        },
    }
    for name in _COLUMNS:
        # Numbers of one digit instead of true and false.
        content[name] = [value for record in records for value in (getattr(record, name) + 0).ravel().tolist()]
    save_json_atomic(path, content)


def load_matches(path: str | os.PathLike[str]) -> StoredMatches:
    """Load what `save_matches` wrote.

    Raises:
        DataError: the file is missing, damaged, or has other thresholds or area ranges than this version.
    """
    content = load_json(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DataError(f"{os.fspath(path)}: expected stored matches ({_FORMAT!r}); evaluate the run again")
    for name, expected in _conventions().items():
        if content.get(name) != expected:
            raise DataError(
                f"{os.fspath(path)}: {name} {content.get(name)}, expected {expected}; evaluate the run again"
            )
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{os.fspath(path)}: damaged: {reason}; evaluate the run again") from None


def _conventions() -> dict[str, Any]:
    """What the matches depend on besides tracks, as JSON reads it back."""
    return {
        "iou_thresholds": IOU_THRESHOLDS.tolist(),
        "area_ranges": {name: list(bounds) for name, bounds in AREA_RANGES.items()},
    }


def _parse(content: dict[str, Any]) -> StoredMatches:
    video_ids, category_ids = (_column(content, name, np.int64) for name in ("video_ids", "category_ids"))
    heads = [_column(content["records"], name, np.int64) for name in _PER_RECORD]
    if len({len(head) for head in heads}) > 1:
        raise ValueError("the columns of records differ in length")
    videos, categories, num_predictions, num_truths = heads
    if not (np.isin(videos, video_ids).all() and np.isin(categories, category_ids).all()):
        raise ValueError("records name videos or categories that are not listed")
    if (num_predictions < 0).any() or (num_truths < 0).any():
        raise ValueError("records hold negative numbers of tracks")
    T, A = len(IOU_THRESHOLDS), len(AREA_RANGES)
    pairs = list(zip(num_predictions.tolist(), num_truths.tolist(), strict=True))
    of_predictions, of_truths = [(D,) for D, _ in pairs], [(G,) for _, G in pairs]
    of_thresholds = [(T, A, D) for D, _ in pairs]
    shapes: dict[str, Sequence[tuple[int, ...]]] = {
        "prediction_indices": of_predictions,
        "scores": of_predictions,
        "truth_indices": of_truths,
        "ious": pairs,
        "matched_truths": of_thresholds,
        "ignored": of_thresholds,
        "counted": [(A, G) for _, G in pairs],
    }
    arrays = {name: _cut(name, _column(content, name, dtype), shapes[name]) for name, dtype in _COLUMNS.items()}
    records = tuple(
        Matches(int(videos[n]), int(categories[n]), **{name: arrays[name][n] for name in _COLUMNS})
        for n in range(len(videos))
    )
    return StoredMatches(tuple(video_ids.tolist()), tuple(category_ids.tolist()), records)


def _column(content: dict[str, Any], name: str, dtype: type) -> NDArray[Any]:
    column: NDArray[Any] = np.array(content[name], dtype=dtype)
    if column.ndim != 1 or (dtype is np.float64 and not np.isfinite(column).all()):
        raise ValueError(f"{name} is no list of numbers")
    return column


def _cut(name: str, column: NDArray[Any], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    # Plain numbers: records are many and small, and each NumPy function takes longer than one of them.
    ends = list(accumulate((prod(shape) for shape in shapes), initial=0))
    if len(column) != ends[-1]:
        raise ValueError(f"{name} has {len(column)} numbers, expected {ends[-1]}")
    return [column[ends[n] : ends[n + 1]].reshape(shape) for n, shape in enumerate(shapes)]
