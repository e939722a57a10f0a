"""MOTS: PNGs of class_id * 1000 + instance_id or their text form, as `data.convert.mots` reads them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from vistrials.data.convert.mots import CATEGORIES_FILE, IDS_PER_CLASS, IGNORE_ID
from vistrials.data.export.folders import new_folder, place_frames
from vistrials.data.export.label_images import Labels, draw_labels
from vistrials.data.export.source import ExportSet, ExportTrack, ExportVideo
from vistrials.errors import DataError
from vistrials.formats.json_file import save_json_atomic
from vistrials.formats.rle import encode_labels

IGNORE_CLASS = IGNORE_ID // IDS_PER_CLASS
MAX_CLASS = 64
"""The largest class whose every instance fits 16 bit."""

Progress = Callable[[int, int], None]


def write_mots(
    source: ExportSet, out: Path, as_text: bool = False, copy: bool = False, progress: Progress | None = None
) -> int:
    """Write OUT/instances/<video>/000000.png or instances_txt/<video>.txt, OUT/images/<video>/ and OUT/categories.json.

    Category ids are the classes where they can be (1 to 64, not 10); where one cannot, all are numbered anew, in their
    order. Instances are numbered from 1 in each class and video; crowds are to be ignored (10000).

    Returns:
        How many label images, or lines, were written.

    Raises:
        DataError: too many classes or instances, a mask is broken, a frame is missing, or OUT is not new.
    """
    classes = _classes(source)
    count = 0
    with new_folder(out) as draft:
        for done, video in enumerate(source.videos, 1):
            values = _number(video, classes, source)
            stems = [f"{frame:06d}" for frame in range(len(video.video))]
            images = draw_labels(video, values, source.notes)
            folder = draft / "instances_txt" if as_text else draft / "instances" / video.name
            folder.mkdir(parents=True, exist_ok=True)
            if as_text:
                lines = [line for frame, labels in enumerate(images) for line in _lines(frame, labels)]
                (folder / f"{video.name}.txt").write_text("".join(lines))
                count += len(lines)
            else:
                for stem, labels in zip(stems, images, strict=True):
                    Image.fromarray(labels).save(folder / f"{stem}.png")
                    count += 1
            if source.frames_dir is not None:
                place_frames(video, source.frames_dir, draft / "images" / video.name, stems, copy)
            if progress is not None:
                progress(done, len(source.videos))
        names = {str(classes[category.id]): category.name for category in source.categories}
        save_json_atomic(draft / CATEGORIES_FILE, names, indent=2)
    return count


def _classes(source: ExportSet) -> dict[int, int]:
    """Category id -> class."""
    ids = [category.id for category in source.categories]
    allowed = [number for number in range(1, MAX_CLASS + 1) if number != IGNORE_CLASS]
    if set(ids) <= set(allowed):
        return {number: number for number in ids}
    if len(ids) > len(allowed):
        raise DataError(
            f"{source.origin}: {len(ids)} categories; MOTS has numbers for {len(allowed)}: export coco or youtube-vis"
        )
    source.notes.add("categories were numbered anew, see categories.json", source.origin, len(ids))
    return dict(zip(ids, allowed, strict=False))


def _number(video: ExportVideo, classes: dict[int, int], source: ExportSet) -> list[tuple[int, ExportTrack]]:
    values: list[tuple[int, ExportTrack]] = []
    seen: Counter[int] = Counter()
    for track in video.tracks:
        if track.is_crowd:
            source.notes.add("crowd tracks are to be ignored there (10000), whatever their category", track.where)
            values.append((IGNORE_ID, track))
            continue
        seen[track.category_id] += 1
        if seen[track.category_id] >= IDS_PER_CLASS:
            raise DataError(
                f"{source.origin}: video {video.video.id} has more than {IDS_PER_CLASS - 1} tracks of category "
                f"{track.category_id}; raise --min-score, or export coco"
            )
        values.append((classes[track.category_id] * IDS_PER_CLASS + seen[track.category_id], track))
    return values


def _lines(frame: int, labels: Labels) -> list[str]:
    """`frame id class_id height width rle`, of what is seen."""
    height, width = labels.shape
    return [
        f"{frame} {value} {value // IDS_PER_CLASS} {height} {width} {mask['counts']}\n"
        for value, mask in encode_labels(labels).items()
    ]
