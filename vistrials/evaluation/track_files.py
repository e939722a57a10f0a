"""Annotation and prediction files with their masks left packed: most of such a file is masks, needed video by video."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from vistrials.errors import DataError
from vistrials.evaluation.reading import GroundTruth, PredictedTrack, read_ground_truth, read_predictions
from vistrials.formats.file_kinds import describe_kind, describe_no_predictions
from vistrials.formats.json_file import load_json_as

# What `reading` looks at more closely. A list or object in place of one of these is refused on sight: it might be long.
Plain = bool | int | float | str | None


class _Video(Struct, gc=False):
    id: Plain
    height: Plain
    width: Plain
    length: Plain = None
    file_names: list[Plain] | Plain = None


class _Category(Struct, gc=False):
    id: Plain
    name: Plain | UnsetType = UNSET


class _Annotation(Struct, gc=False):
    id: Plain
    video_id: Plain
    category_id: Plain
    segmentations: Raw
    bboxes: list[list[Plain] | Plain] | Plain = None
    areas: list[Plain] | Plain = None
    iscrowd: Plain | UnsetType = UNSET


class _Prediction(Struct, gc=False):
    video_id: Plain
    category_id: Plain
    score: Plain
    segmentations: Raw


class _GroundTruth(Struct):
    videos: list[_Video]
    categories: list[_Category]
    annotations: list[_Annotation]


def load_ground_truth(path: str | os.PathLike[str]) -> Any:
    """Load an annotation file in the form that `reading.read_ground_truth` takes, each track's masks packed.

    Raises:
        DataError: the file cannot be read.
    """
    loaded = load_json_as(path, _GroundTruth, describe_kind)
    if not isinstance(loaded, _GroundTruth):
        return loaded
    return {key: [_fields(entry) for entry in getattr(loaded, key)] for key in _GroundTruth.__struct_fields__}


def load_predictions(path: str | os.PathLike[str]) -> Any:
    """Load a predictions file in the form that `reading.read_predictions` takes, each track's masks packed.

    Raises:
        DataError: the file cannot be read.
    """
    loaded = load_json_as(path, list[_Prediction], describe_no_predictions)
    if isinstance(loaded, list):
        return [_fields(entry) if isinstance(entry, _Prediction) else entry for entry in loaded]
    return loaded


def find_other_keys(path: str | os.PathLike[str]) -> list[list[str]]:
    """For each entry of a predictions file the keys that nothing here reads; none of what is no prediction."""
    known, loaded = (
        set(_Prediction.__struct_fields__),
        load_json_as(path, list[dict[str, Raw]], describe_no_predictions),
    )
    entries = loaded if isinstance(loaded, list) else []
    return [sorted(entry.keys() - known) if isinstance(entry, dict) else [] for entry in entries]


def read_files(
    gt_path: str | os.PathLike[str], pred_path: str | os.PathLike[str]
) -> tuple[GroundTruth, list[PredictedTrack]]:
    """Read an annotation file and the predictions for it (.json or .json.gz each).

    Masks stay packed until their video's turn: memory is little more than the files.

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used; names file and entry.
    """
    ground_truth, predictions = load_ground_truth(gt_path), load_predictions(pred_path)
    with naming_files(gt_path, pred_path):
        truth = read_ground_truth(ground_truth)
        return truth, read_predictions(predictions, truth)


@contextmanager
def naming_files(gt_path: str | os.PathLike[str], pred_path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors about the content of two files begin with their names."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{os.fspath(pred_path)} against {os.fspath(gt_path)}: {error}") from None


def _fields(entry: Struct) -> dict[str, Any]:
    return {key: value for key, value in msgspec.structs.asdict(entry).items() if value is not UNSET}
