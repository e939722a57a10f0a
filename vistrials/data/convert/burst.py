"""BURST (TAO with masks): one JSON of sequences, masks by frame and track.

Source: ANNOTATION_FORMAT.md of the BURST benchmark (github.com/Ali2500/BURST-benchmark; arXiv 2209.12118). No kept
library reads it; the benchmark's own tools decode masks for display only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vistrials.data.convert.agreement import check_declared_size
from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import Size, SourceSet, SourceTrack, SourceVideo, common_size
from vistrials.errors import DataError, shortened
from vistrials.formats.file_kinds import tell_kind
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, to_rle
from vistrials.formats.safe_names import file_below, relative_name
from vistrials.formats.values import is_whole
from vistrials.structures.video import Category

Record = dict[str, Any]


def read_burst(annotations: Path | str, frames_dir: Path | str | None = None) -> SourceSet:
    """Read an annotation file of BURST (all_classes.json and the like).

    The annotated frames of a sequence are its video; a track that a frame's record leaves out is absent there. Masks
    that BURST made by itself (is_gt false, in train) count like the others. Categories keep their ids, LVIS's.

    Args:
        annotations: the JSON.
        frames_dir: holds <dataset>/<seq_name>/<image>; by default the file's own folder.

    Raises:
        DataError: keys, frames or masks that are missing or contradict each other.
    """
    path = Path(annotations)
    root = path.parent if frames_dir is None else Path(frames_dir)
    document = load_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("sequences"), list):
        raise DataError(f"{path}: expected BURST's form, an object with sequences and categories{tell_kind(document)}")
    categories = _categories(document.get("categories"), path)
    sequences, notes = document["sequences"], Notes()

    def read_all() -> Iterator[SourceVideo]:
        for position, sequence in enumerate(sequences):
            yield _read_sequence(sequence, f"{path}: sequences[{position}]", root, categories, notes)

    found = [Category(number, name) for number, name in categories.items()]
    return SourceSet(path, found, len(sequences), read_all(), notes)


def _categories(listed: Any, path: Path) -> dict[int, str]:
    categories: dict[int, str] = {}
    for record in listed if isinstance(listed, list) else []:
        if not isinstance(record, dict) or not is_whole(record.get("id")) or not isinstance(record.get("name"), str):
            raise DataError(f"{path}: a category is {shortened(record)}; expected an object with id and name")
        if record["id"] in categories:
            raise DataError(f"{path}: category id {record['id']} occurs twice; ids must differ")
        categories[record["id"]] = record["name"]
    if not categories:
        raise DataError(f"{path}: no categories; take a file that has them, such as all_classes.json")
    return categories


def _read_sequence(sequence: Any, where: str, root: Path, categories: dict[int, str], notes: Notes) -> SourceVideo:
    if not isinstance(sequence, dict) or not isinstance(sequence.get("seq_name"), str):
        raise DataError(
            f"{where}: expected an object with seq_name, width, height, annotated_image_paths, segmentations"
        )
    where = f"{where} ({sequence['seq_name']})"
    names, frames_of = sequence.get("annotated_image_paths"), sequence.get("segmentations")
    category_of = sequence.get("track_category_ids")
    if not isinstance(names, list) or not names:
        raise DataError(f"{where}: annotated_image_paths is {shortened(names)}; expected a list of images")
    if not isinstance(frames_of, list) or not isinstance(category_of, dict):
        raise DataError(f"{where}: expected segmentations, a list, and track_category_ids, an object")
    if len(frames_of) != len(names):
        raise DataError(f"{where}: {len(frames_of)} segmentations, while annotated_image_paths has {len(names)}")
    folder = relative_name("/".join(str(sequence[key]) for key in ("dataset", "seq_name") if sequence.get(key)), where)
    frames = [file_below(root / folder, name, where) for name in names]
    missing = next((frame for frame in frames if not frame.is_file()), None)
    if missing is not None:
        raise DataError(f"{missing}: no such frame; --frames names the folder that holds {folder.parts[0]}")
    size = common_size(frames)
    check_declared_size((sequence.get("height"), sequence.get("width")), size, where, notes)
    masks: dict[str, dict[int, Rle]] = {track: {} for track in category_of}
    for index, entries in enumerate(frames_of):
        if not isinstance(entries, dict):
            raise DataError(f"{where}: segmentations[{index}] is {shortened(entries)}; expected an object by track")
        for track, entry in entries.items():
            here = f"{where}: frame {index}, track {track}"
            if track not in masks:
                raise DataError(f"{here}: not among track_category_ids")
            if isinstance(entry, dict) and "point" in entry:
                raise DataError(
                    f"{here}: a file of first frames (it has point), one mask for each object; take all_classes.json"
                )
            masks[track][index] = _mask(entry, size, here)
            notes.add("masks were made by BURST, not by people (is_gt false)", here, entry.get("is_gt") is False)
    notes.add(
        "videos are not annotated in full for some categories (not_exhaustive_category_ids), which YouTube-VIS form "
        "cannot say: detections of these count as false there",
        where,
        bool(sequence.get("not_exhaustive_category_ids")),
    )
    for track, number in category_of.items():
        if not is_whole(number) or number not in categories:
            raise DataError(
                f"{where}: track {track} is of category {shortened(number)}, which is not among the categories"
            )
    tracks = [SourceTrack(category_of[track], by_frame) for track, by_frame in masks.items()]
    return SourceVideo(str(folder), frames, size, tracks)


def _mask(entry: Any, size: Size, where: str) -> Rle:
    counts = entry.get("rle") if isinstance(entry, dict) else None
    if not isinstance(counts, str):
        raise DataError(f"{where}: {shortened(entry)}; expected an object with rle, a run-length string")
    try:
        return to_rle({"size": list(size), "counts": counts}, *size)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
