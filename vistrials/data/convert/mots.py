"""MOTS of any classes: PNGs of class_id * 1000 + instance_id, or the same as text with run-length masks.

Source: vision.rwth-aachen.de/page/mots (KITTI MOTS, MOTSChallenge); labels.txt as CVAT's and datumaro's MOTS PNG.
"""

from collections.abc import Sequence
from pathlib import Path

from vistrials.data.convert.notes import Notes
from vistrials.data.convert.writing import (
    Size,
    SourceSet,
    SourceTrack,
    SourceVideo,
    check_mask_size,
    common_size,
    folders_in,
    images_in,
    label_sizes,
    pair_frames,
    read_label_image,
)
from vistrials.errors import DataError
from vistrials.formats.files import read_lines, refuse_special
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import Rle, encode_labels, to_rle
from vistrials.structures.video import Category

CATEGORIES = (Category(1, "car"), Category(2, "pedestrian"))
IDS_PER_CLASS = 1000
IGNORE_ID = 10_000
CATEGORIES_FILE, LABELS_FILE = "categories.json", "labels.txt"
IMAGE_FOLDERS = ("images", "image_02", "training/image_02")

Masks = dict[int, dict[int, Rle]]  # object id -> frame -> mask


def read_mots(root: Path | str, categories: Path | str | None = None) -> SourceSet:
    """Read a data set in one of the layouts of MOTS.

    Class ids become ids of categories. What is to be ignored (10000) belongs to no class, so it becomes a crowd track
    of each.

    Args:
        root: holds instances/<video>/*.png or instances_txt/<video>.txt, and the frames in images/<video>/
            (or image_02, training/image_02); or <video>/gt/gt.txt and <video>/img1/; or instances/*.png and images/
            of a single video.
        categories: JSON {class id: name}; by default ROOT/categories.json, or ROOT/instances/labels.txt (a name per
            line, from class 1); where there is neither, class 1 is car and class 2 pedestrian, as in KITTI MOTS.

    Raises:
        DataError: files are missing or contradict each other, or an object is of a class without a name.
    """
    root = Path(root)
    classes = _read_classes(root, categories)
    if (root / "instances").is_dir() and any((root / "instances").glob("*.png")):
        videos = [(root.resolve().name, root / "images", root / "instances")]
    elif (root / "instances").is_dir():
        videos = [(folder.name, _frames_of(root, folder.name), folder) for folder in folders_in(root / "instances")]
    elif (root / "instances_txt").is_dir():
        files = sorted((root / "instances_txt").glob("*.txt"))
        videos = [(file.stem, _frames_of(root, file.stem), file) for file in files]
    else:
        files = sorted(root.glob("*/gt/gt.txt"))
        videos = [(file.parents[1].name, file.parents[1] / "img1", file) for file in files]
    if not videos:
        raise DataError(
            f"{root}: no video found; expected instances/<video>/*.png or instances_txt/<video>.txt with the frames "
            "in images/<video>, or <video>/gt/gt.txt with the frames in <video>/img1"
        )
    notes = Notes()
    return SourceSet(root, classes, len(videos), (_read_video(*video, classes, notes) for video in videos), notes)


def _read_classes(root: Path, path: Path | str | None) -> Sequence[Category]:
    """The classes by id."""
    if path is None and (root / CATEGORIES_FILE).is_file():
        path = root / CATEGORIES_FILE
    if path is None:
        labels = root / "instances" / LABELS_FILE
        if not labels.exists():
            return CATEGORIES
        return [Category(number, name) for number, name in enumerate(read_lines(labels), 1)]
    content = load_json(path)
    if (
        not isinstance(content, dict)
        or not content
        or not all(key.isascii() and key.isdigit() and int(key) for key in content)
        or not all(isinstance(name, str) and name for name in content.values())
    ):
        raise DataError(f'{path}: expected {{class id: name}}, such as {{"1": "car"}}, with ids from 1')
    return [Category(number, name) for number, name in sorted((int(key), name) for key, name in content.items())]


def _frames_of(root: Path, video: str) -> Path:
    folders = [root / name / video for name in IMAGE_FOLDERS]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise DataError(f"{root}: no frames of video {video}; looked for {', '.join(map(str, folders))}")
    return found


def _read_video(name: str, frames_dir: Path, labels: Path, classes: Sequence[Category], notes: Notes) -> SourceVideo:
    if labels.is_dir():
        pairs = pair_frames(frames_dir, labels)
        frames = [frame for frame, _ in pairs]
        size = common_size(frames, label_sizes(path for _, path in pairs))
        masks = _read_pngs([path for _, path in pairs], size, classes)
    else:
        refuse_special(labels)
        frames = images_in(frames_dir)
        size = common_size(frames, [_declared_size(labels)] * len(frames))
        masks = _read_text(labels, frames, size, classes)
        # The text lists objects, not frames: one without a line may show nothing, or never have been looked at.
        labelled = {index for by_frame in masks.values() for index in by_frame}
        empty = [frame for index, frame in enumerate(frames) if index not in labelled]
        notes.add("frames have no line and were taken to show no object", empty[0] if empty else "", len(empty))
    ignored = masks.pop(IGNORE_ID, None)
    tracks = [SourceTrack(object_id // IDS_PER_CLASS, by_frame) for object_id, by_frame in sorted(masks.items())]
    if ignored:
        tracks += [SourceTrack(category.id, ignored, is_crowd=True) for category in classes]
    return SourceVideo(name, frames, size, tracks)


def _read_pngs(paths: list[Path], size: Size, classes: Sequence[Category]) -> Masks:
    masks: Masks = {}
    for index, path in enumerate(paths):
        values, _ = read_label_image(path, size)
        for object_id, mask in encode_labels(values).items():
            _check_class(object_id, f"{path}: value {object_id}", classes)
            masks.setdefault(object_id, {})[index] = mask
    return masks


def _read_text(path: Path, frames: list[Path], size: Size, classes: Sequence[Category]) -> Masks:
    """Lines of `frame id class_id height width rle`; a frame's number is the one in its file's name."""
    index_of = _frame_numbers(frames)
    masks: Masks = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            *numbers, counts = line.split()
            frame, object_id, class_id, height, width = map(int, numbers)
        except ValueError:
            raise DataError(f"{where}: expected `frame id class_id height width rle`") from None
        _check_class(object_id, f"{where}: id {object_id}", classes)
        if class_id != object_id // IDS_PER_CLASS:
            raise DataError(f"{where}: class_id {class_id}, while id {object_id} is of class {object_id // 1000}")
        if frame not in index_of:
            raise DataError(f"{where}: no frame {frame} in {frames[0].parent} (it begins with {frames[0].name})")
        check_mask_size((height, width), size, where)
        by_frame = masks.setdefault(object_id, {})
        if index_of[frame] in by_frame:
            raise DataError(f"{where}: object {object_id} occurs twice in frame {frame}")
        try:
            by_frame[index_of[frame]] = to_rle({"size": [height, width], "counts": counts}, height, width)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
    return masks


def _declared_size(path: Path) -> Size | None:
    """Height and width of the first line; None where it is broken, which is said later."""
    first = next(iter(path.read_text(errors="replace").split("\n", 1)), "").split()
    return (int(first[3]), int(first[4])) if len(first) == 6 and first[3].isdigit() and first[4].isdigit() else None


def _frame_numbers(frames: list[Path]) -> dict[int, int]:
    try:
        return {int(frame.stem): index for index, frame in enumerate(frames)}
    except ValueError:
        raise DataError(f"{frames[0].parent}: expected frames named by their numbers, such as 000000.png") from None


def _check_class(object_id: int, where: str, classes: Sequence[Category]) -> None:
    known = {category.id: category.name for category in classes}
    if object_id != IGNORE_ID and object_id // IDS_PER_CLASS not in known:
        names = ", ".join(f"{number} ({name})" for number, name in known.items())
        raise DataError(
            f"{where} is of class {object_id // IDS_PER_CLASS}; expected class_id * {IDS_PER_CLASS} + instance_id "
            f"with a class of {names}, or {IGNORE_ID} for what is to be ignored; name others with --categories FILE, "
            '{"3": "cyclist"}'
        )
