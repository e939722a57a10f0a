"""How good propagated masks are one frame ahead: how much the propagation head has learnt, whatever is lost in a split.

Every object is propagated from its true box in a frame to the next frame, and compared with its true mask there. It
is *whole* if its box touches no edge of the frame and meets no other object's box, in either frame, and its area
changes by a tenth at most: something that hides a part of it rarely leaves the area alone. Beside that stand

- the same decoder under the best attention that the affinity could give: in the true box of the frame propagated to all
  mass from inside the reference box, elsewhere all from outside;
- the mask head, given that true box: what these features and this training can do;
- whether the cell of strongest attention lies on the object.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from vistrials.data.frames import iter_frames
from vistrials.data.sampling import is_usable
from vistrials.data.sources import resolve_split
from vistrials.data.transforms import inclusive_boxes, pad_alone
from vistrials.engine.inference import its_threads
from vistrials.errors import RunError, SpecError
from vistrials.formats.annotations import decode_mask, load_video_set
from vistrials.models.folding import for_inference
from vistrials.models.mask_head import crop_mask, paste
from vistrials.models.objprop import ObjProp, build_model
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec
from vistrials.structures.frames import Frame
from vistrials.structures.video import AnnotatedTrack, Video, VideoSet
from vistrials.tracking.online import to_frame
from vistrials.weights.files import load_weights
from vistrials.weights.recorded import check_recorded

JUDGED_PX = 16
"""Above this size (root of the mask's area) visible objects tell whether the head has learnt its task."""
SMALL_PX, LARGE_PX = 10, 24
"""Bounds of the sizes told apart among whole objects."""
MAX_AREA_CHANGE = 0.1

GROUPS = {
    "all": "visible objects",
    "judged": f"visible objects above {JUDGED_PX} px",
    "whole": "whole objects",
    "small": f"whole, below {SMALL_PX} px",
    "middle": f"whole, {SMALL_PX} to {LARGE_PX} px",
    "large": f"whole, above {LARGE_PX} px",
}
VALUES = ("iou", "iou_best_attention", "iou_mask_head", "strongest_on_object")


@dataclass(frozen=True)
class FrameAhead:
    """An object carried from its true box in a frame to the next frame.

    Attributes:
        size_px: root of the true mask's area in the next frame.
        is_whole: see `is_whole`.
        iou: of the propagated mask with the true one.
        iou_best_attention: under the best attention that the affinity could give.
        iou_mask_head: of the mask head's mask, given the true box in the next frame.
        strongest_on_object: whether the cell of strongest attention holds a pixel of the true mask.
    """

    size_px: float
    is_whole: bool
    iou: float
    iou_best_attention: float
    iou_mask_head: float
    strongest_on_object: bool


def measure_ahead(
    run: Path | str, split: str | None = None, num_videos: int | None = None
) -> dict[str, dict[str, float]]:
    """Carry the objects of a split one frame ahead with a run's network; by group as `summarise` returns.

    Args:
        run: a run's folder.
        split: one that the run predicts, by default its main one, or train.
        num_videos: from the first; all by default.

    Raises:
        RunError: no such run, or it has no weights.
        SpecError: no such split, or a trial without propagation head.
        DataError: the data are not there.
    """
    directory, spec = RunDirectory.open(run)
    if spec.model.propagation is None:
        raise SpecError(f"{directory.path}: {spec.name} has no propagation head; expected a trial that has one")
    if not directory.is_trained():
        raise RunError(f"{directory.path}: no weights here to propagate with; vistrials run {spec.name} trains them")
    data = resolve_split(spec.data, split if split == "train" else directory.find_split(spec, split))
    video_set = load_video_set(data.annotations, data.frames_dir)
    model = build_model(spec.model, video_set.num_categories)
    load_weights(model, directory.weights, allow_missing=False)
    check_recorded(directory)
    model = for_inference(model)
    with its_threads(model):
        return summarise(list(propagate_one_frame(model, video_set, spec, num_videos or len(video_set.videos))))


@torch.inference_mode()
def propagate_one_frame(model: ObjProp, video_set: VideoSet, spec: TrialSpec, num_videos: int) -> Iterator[FrameAhead]:
    """Propagate every object that is visible in two frames in a row from the first to the second.

    Args:
        model: with a propagation head.
        video_set: annotated videos.
        spec: of the model's trial.
        num_videos: how many of the videos, from the first.
    """
    assert model.propagation is not None
    for video in video_set.videos[:num_videos]:
        earlier: Tensor | None = None
        for number, frame in enumerate(iter_frames(video_set, video, spec.data.image_size_px)):
            levels = model.pyramid(pad_alone(frame.image))
            tracks = [t for t in video.tracks if number and is_usable(t, number - 1) and is_usable(t, number)]
            if earlier is not None and tracks:
                labels = torch.tensor([video_set.label_by_category_id[track.category_id] for track in tracks])
                old_boxes, boxes = (
                    inclusive_boxes([track.bboxes[n] for track in tracks])  # type: ignore[misc]
                    for n in (number - 1, number)
                )
                drawn = _draw(model, frame, levels, earlier, old_boxes, boxes, labels, spec.inference.mask_threshold)
                for track, carried, best, own, attention in zip(tracks, *drawn, strict=True):
                    mask = torch.from_numpy(decode_mask(track.segmentations[number], video.height, video.width)).bool()
                    yield FrameAhead(
                        size_px=float(mask.sum()) ** 0.5,
                        is_whole=is_whole(video, track, number),
                        iou=mask_iou(carried, mask),
                        iou_best_attention=mask_iou(best, mask),
                        iou_mask_head=mask_iou(own, mask),
                        strongest_on_object=strongest_is_on(
                            attention, mask, model.propagation.spec.stride / frame.scale
                        ),
                    )
            earlier = model.propagation.extract(levels)[0]


def _draw(
    model: ObjProp,
    frame: Frame,
    levels: list[Tensor],
    reference: Tensor,
    old_boxes: Tensor,
    boxes: Tensor,
    labels: Tensor,
    mask_threshold: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Masks of n objects in a frame, three times, and the attention to them.

    Args:
        model: with a propagation head.
        frame, levels: the frame and its pyramid.
        reference: propagation features of the frame before.
        old_boxes, boxes: (n, 4) in the frame before and in this one, inclusive corners in pixels of the file.
        labels: (n,) in 1..K.
        mask_threshold: of the mask head.

    Returns:
        Propagated masks, those under the best attention, those of the mask head, (n, H, W) bool each, and attention
        (n, h, w), by cell.
    """
    head = model.propagation
    assert head is not None
    key = head.extract(levels)[0]
    height, width = key.shape[-2:]
    inside, outside = head.attend_nearby(key, reference, old_boxes * frame.scale, labels)
    carried = head.propagate(key, [reference], [old_boxes * frame.scale], [labels])
    best = best_attention(boxes * frame.scale, head.spec.stride * height, head.spec.stride * width)
    decoded = head.mask_logits(head.attended_features(key, best), labels).sigmoid()
    own = [
        paste(
            *crop_mask(probs, (int(x1), int(y1), int(x2), int(y2)), frame.original_size, mask_threshold),
            frame.original_size,
        )
        for probs, (x1, y1, x2, y2) in zip(
            model.mask_probs(levels, [boxes * frame.scale], labels), boxes.tolist(), strict=True
        )
    ]
    carried, decoded = (to_frame(probs, frame) >= head.spec.mask_threshold for probs in (carried, decoded))
    return carried, decoded, torch.stack(own), inside - outside


def best_attention(boxes: Tensor, height: int, width: int) -> Tensor:
    """Sigmoid of +1 in each box (inclusive corners, in network pixels) and of -1 outside: (n, height, width)."""
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(dim=1))
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows, in_columns = (rows >= y1) & (rows <= y2), (columns >= x1) & (columns <= x2)
    return torch.where(in_rows[:, :, None] & in_columns[:, None, :], 1.0, -1.0).sigmoid()


def is_whole(video: Video, track: AnnotatedTrack, frame: int) -> bool:
    """Whether nothing seems to hide a part of a track's object in a frame and in the one before; see the top."""
    before, now = track.areas[frame - 1], track.areas[frame]
    if before is None or now is None or abs(now - before) > MAX_AREA_CHANGE * before:
        return False
    return all(_stands_alone(video, track, number) for number in (frame - 1, frame))


def _stands_alone(video: Video, track: AnnotatedTrack, frame: int) -> bool:
    """Whether a track's box touches no edge of the frame and meets no other track's box there."""
    box = track.bboxes[frame]
    assert box is not None
    x, y, w, h = box
    others = [other.bboxes[frame] for other in video.tracks if other is not track]
    meets = [
        x < other[0] + other[2] and other[0] < x + w and y < other[1] + other[3] and other[1] < y + h
        for other in others
        if other is not None
    ]
    return x > 0 and y > 0 and x + w < video.width and y + h < video.height and not any(meets)


def mask_iou(mask: Tensor, other: Tensor) -> float:
    """Pixels in common over pixels of either, of bool masks; 0 where both are empty."""
    return float((mask & other).sum()) / max(float((mask | other).sum()), 1.0)


def strongest_is_on(attention: Tensor, mask: Tensor, cell_px: float) -> bool:
    """Whether the cell of highest attention holds a pixel of a mask.

    Args:
        attention: (h, w), by cell.
        mask: (H, W) bool, in pixels of the frame.
        cell_px: side of a cell in those pixels.
    """
    row, column = divmod(int(attention.argmax()), attention.shape[1])
    top, bottom, left, right = (round(cell * cell_px) for cell in (row, row + 1, column, column + 1))
    return bool(mask[top:bottom, left:right].any())


def summarise(objects: Sequence[FrameAhead]) -> dict[str, dict[str, float]]:
    """Count and mean values of all objects, of the whole ones, and of those by size."""
    whole = [one for one in objects if one.is_whole]
    groups = {
        "all": objects,
        "judged": [one for one in objects if one.size_px > JUDGED_PX],
        "whole": whole,
        "small": [one for one in whole if one.size_px < SMALL_PX],
        "middle": [one for one in whole if SMALL_PX <= one.size_px <= LARGE_PX],
        "large": [one for one in whole if one.size_px > LARGE_PX],
    }
    return {
        name: {"num": len(group)} | {value: mean(float(getattr(one, value)) for one in group) for value in VALUES}
        for name, group in groups.items()
        if group
    }


def ahead_rows(found: Mapping[str, Mapping[str, float]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a table of what `summarise` returns."""
    columns = ("objects", "number", "IoU", "under the best attention", "of the mask head", "strongest cell on it, %")
    rows = [
        (
            GROUPS[group],
            str(values["num"]),
            *(f"{values[value]:.2f}" for value in VALUES[:-1]),
            f"{100 * values[VALUES[-1]]:.0f}",
        )
        for group, values in found.items()
    ]
    return columns, rows
