"""What propagation at inference costs, by what its masks are drawn on, and how good its masks are one frame ahead.

Run: python -m benchmarks.propagation [RUN ...] [--split SPLIT ...] [--train-videos 75] [--write FILE.json]

RUN is the folder of a trained trial with a propagation head, weights included; runs that come with the source have none,
and OMP_NUM_THREADS=1 vistrials run baseline --profile demo --results build --seed 0 trains the first of them again.

AP: each split is predicted with propagation and without it. Associations and detected masks are the same both times, so
that what only the first has was propagated. The *object* of a predicted track is the true track of its category that it
overlaps most over the video. A propagated mask lies on a hidden object in a frame where its object has no mask, on a
visible one where it has, on none where the track has no object. AP is taken again without the masks of either sort;
scores stay as they are.

One frame ahead: every object is propagated from its true box in a frame to the next frame, and compared with its true
mask there. It is *whole* if its box touches no edge of the frame and meets no other object's box, in either frame, and
its area changes by a tenth at most: something that hides a part of it rarely leaves the area alone. Beside that stand

- the same decoder under the best attention that the affinity could give: all mass from inside the box in the true box
  of the frame propagated to, all from outside elsewhere;
- the mask head, given the true box of that frame: what these features and this training can do;
- whether the cell of strongest attention lies on the object.
"""

import argparse
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from vistrials.data.frames import iter_frames
from vistrials.data.sampling import is_usable
from vistrials.data.sources import resolve_split
from vistrials.data.transforms import inclusive_boxes, padded_size
from vistrials.errors import VistrialsError
from vistrials.evaluation.errors.analysis import diagnose
from vistrials.evaluation.youtube_vis import evaluate
from vistrials.formats.annotations import decode_mask, load_video_set
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.models.affinity import spatial_weight
from vistrials.models.mask_head import paste_mask
from vistrials.models.objprop import ObjProp, build_model
from vistrials.models.propagation_head import STRIDE
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec
from vistrials.structures.frames import Frame
from vistrials.structures.video import AnnotatedTrack, Video, VideoSet
from vistrials.tracking.online import track_video
from vistrials.weights.files import load_weights

DEFAULT_RUN = Path("build/demo/baseline/seed0")
SMALL_PX, LARGE_PX = 10, 24
"""Bounds of the sizes told apart: root of the mask's area."""
MAX_AREA_CHANGE = 0.1

Prediction = dict[str, Any]
Place = tuple[int, int]
"""A mask among predictions: index of the track, frame."""


def load_model(directory: RunDirectory, spec: TrialSpec, num_categories: int, *, propagates: bool) -> ObjProp:
    """A run's network with its weights, and with propagation at inference on or off."""
    if spec.model.propagation is None:
        raise SystemExit(f"{directory.path}: this trial has no propagation head; name a run of one that has")
    if not directory.is_trained():
        raise SystemExit(
            f"{directory.path}: no weights here; OMP_NUM_THREADS=1 vistrials run {spec.name} --profile {spec.profile} "
            f"--results FOLDER --seed {directory.seed} makes them elsewhere"
        )
    propagation = spec.model.propagation.model_copy(update={"at_inference": propagates})
    model_spec = spec.model.model_copy(update={"propagation": propagation})
    model = build_model(model_spec, num_categories, spec.released_behaviour)
    load_weights(model, directory.weights, allow_missing=False)
    return model.eval()


# --- AP, by what propagated masks are drawn on


def predict(model: ObjProp, video_set: VideoSet, spec: TrialSpec) -> list[Prediction]:
    """All tracks of a split, whatever their length, as predictions.json holds them."""
    inference = spec.inference.model_copy(update={"min_track_frames": 1})
    category_ids = [category.id for category in video_set.categories]
    return [
        track.to_json()
        for video in video_set.videos
        for track in track_video(
            model,
            iter_frames(video_set, video, spec.data.image_size_px),
            video.id,
            category_ids,
            inference,
            spec.released_behaviour,
        )
    ]


def long_enough(predictions: Iterable[Prediction], min_track_frames: int) -> list[Prediction]:
    """The tracks that have so many masks."""
    return [p for p in predictions if sum(m is not None for m in p["segmentations"]) >= min_track_frames]


def find_propagated(predictions: Sequence[Prediction], detected: Iterable[Prediction]) -> set[Place]:
    """The masks that no track holds that is predicted without propagation.

    Args:
        predictions: with propagation.
        detected: all tracks without it, those of a single frame too.
    """
    masks = {
        (track["video_id"], frame, mask["counts"])
        for track in detected
        for frame, mask in enumerate(track["segmentations"])
        if mask is not None
    }
    return {
        (index, frame)
        for index, track in enumerate(predictions)
        for frame, mask in enumerate(track["segmentations"])
        if mask is not None and (track["video_id"], frame, mask["counts"]) not in masks
    }


def sort_by_object(
    ground_truth: dict[str, Any], predictions: list[Prediction], places: Iterable[Place]
) -> dict[str, set[Place]]:
    """Masks by whether they lie on a "hidden" object, on a "visible" one, or on "none"."""
    object_of: dict[int, list[Any]] = {}
    for match in evaluate(ground_truth, predictions).matches:
        for index, ious in zip(match.prediction_indices.tolist(), match.ious, strict=True):
            if ious.max(initial=0) > 0:
                truth = ground_truth["annotations"][match.truth_indices[ious.argmax()]]
                object_of[index] = truth["segmentations"]
    sorts: dict[str, set[Place]] = {"hidden": set(), "visible": set(), "none": set()}
    for index, frame in places:
        own = object_of.get(index)
        sorts["none" if own is None else "visible" if own[frame] is not None else "hidden"].add((index, frame))
    return sorts


def without(predictions: Sequence[Prediction], places: Collection[Place]) -> list[Prediction]:
    """The predictions without these masks; a track that is left without any goes."""
    kept = []
    for index, track in enumerate(predictions):
        masks = [None if (index, frame) in places else mask for frame, mask in enumerate(track["segmentations"])]
        if any(mask is not None for mask in masks):
            kept.append(track | {"segmentations": masks})
    return kept


def measure_ap(directory: RunDirectory, spec: TrialSpec, split: str) -> dict[str, Any]:
    """AP of a split as it is, without either sort of propagated masks, without both, and with propagation off."""
    data = resolve_split(spec.data, split)
    video_set, ground_truth = load_video_set(data.annotations, data.frames_dir), load_json(data.annotations)
    on, detected = (
        predict(load_model(directory, spec, video_set.num_categories, propagates=propagates), video_set, spec)
        for propagates in (True, False)
    )
    on = long_enough(on, spec.inference.min_track_frames)
    off = long_enough(detected, spec.inference.min_track_frames)
    sorts = sort_by_object(ground_truth, on, find_propagated(on, detected))
    variants = {
        "on": on,
        "without_hidden": without(on, sorts["hidden"]),
        "without_visible": without(on, sorts["visible"]),
        "without_both": without(on, sorts["hidden"] | sorts["visible"]),
        "off": off,
    }
    return {
        "num_propagated": {name: len(places) for name, places in sorts.items()},
        "AP": {name: evaluate(ground_truth, variant).figures["AP"] for name, variant in variants.items()},
        "errors": {name: _gaps_and_leaks(ground_truth, variants[name]) for name in ("on", "off")},
    }


def _gaps_and_leaks(ground_truth: dict[str, Any], predictions: list[Prediction]) -> dict[str, Any]:
    found = diagnose(ground_truth, predictions)
    causes = {
        cause: {
            "errors": found.temporal[cause].num_mean,
            "gain_AP": found.temporal[cause].gain.AP,
            "frames": found.frames[cause],
        }
        for cause in ("gap", "leak")
    }
    num_frames = sum(count for fate, count in found.frames.items() if fate != "leak")
    return {"AP50": found.score.AP50, "num_frames": num_frames, **causes}


# --- One frame ahead


@dataclass(frozen=True)
class FrameAhead:
    """An object carried from its true box in a frame to the next frame.

    Attributes:
        size_px: root of the true mask's area in the next frame.
        is_whole: see the top of this file.
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
            levels = _pyramid(model, frame)
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
                        strongest_on_object=strongest_is_on(attention, mask, STRIDE / frame.scale),
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
    spatial = spatial_weight(height, width, head.spec.sigma_cells, key.device, key.dtype)
    inside, outside = head.attend(key, reference, old_boxes * frame.scale, labels, spatial=spatial)
    carried = head.propagate(key, reference, old_boxes * frame.scale, labels)
    best = best_attention(boxes * frame.scale, STRIDE * height, STRIDE * width)
    decoded = head.mask_logits(head.attended_features(key, best), labels).sigmoid()
    own = [
        paste_mask(probs, (int(x1), int(y1), int(x2), int(y2)), frame.original_size, mask_threshold)
        for probs, (x1, y1, x2, y2) in zip(
            model.mask_probs(levels, boxes * frame.scale, labels), boxes.tolist(), strict=True
        )
    ]
    carried, decoded = (_to_frame(probs, frame) >= head.spec.mask_threshold for probs in (carried, decoded))
    return carried, decoded, torch.stack(own), inside - outside


def _pyramid(model: ObjProp, frame: Frame) -> list[Tensor]:
    height, width = frame.image.shape[-2:]
    padded_height, padded_width = padded_size([(height, width)])
    return model.pyramid(pad(frame.image, (0, padded_width - width, 0, padded_height - height))[None])


def _to_frame(probs: Tensor, frame: Frame) -> Tensor:
    height, width = frame.image.shape[-2:]
    return interpolate(probs[:, None, :height, :width], size=frame.original_size, mode="bilinear")[:, 0]


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
        "whole": whole,
        "small": [one for one in whole if one.size_px < SMALL_PX],
        "middle": [one for one in whole if SMALL_PX <= one.size_px <= LARGE_PX],
        "large": [one for one in whole if one.size_px > LARGE_PX],
    }
    values = ("iou", "iou_best_attention", "iou_mask_head", "strongest_on_object")
    return {
        name: {"num": len(group)} | {value: mean(float(getattr(one, value)) for one in group) for value in values}
        for name, group in groups.items()
        if group
    }


# --- Command


def measure(run: Path, splits: Sequence[str], num_train_videos: int) -> dict[str, Any]:
    """Everything that this file measures of one run."""
    directory, spec = RunDirectory.open(run)
    ahead = {}
    for split in (*splits, "train"):
        data = resolve_split(spec.data, split)
        video_set = load_video_set(data.annotations, data.frames_dir)
        model = load_model(directory, spec, video_set.num_categories, propagates=True)
        num_videos = num_train_videos if split == "train" else len(video_set.videos)
        ahead[split] = summarise(list(propagate_one_frame(model, video_set, spec, num_videos)))
    return {
        "trial": spec.name,
        "profile": spec.profile,
        "seed": directory.seed,
        "weights_sha256": sha256_of(directory.weights),
        "train_videos": num_train_videos,
        "splits": {split: measure_ap(directory, spec, split) for split in splits},
        "one_frame_ahead": ahead,
    }


def render_ap(runs: Sequence[Mapping[str, Any]], split: str) -> str:
    """Markdown: AP of each variant, with the share of the loss that it regains; a column for each run."""
    rows = {
        "on": "as it is",
        "without_hidden": "without propagated masks on hidden objects",
        "without_visible": "without those on visible objects",
        "without_both": "without either",
        "off": "propagation off",
    }
    lines = [f"| AP on `{split}` | " + " | ".join(f"seed {run['seed']}" for run in runs) + " |"]
    lines.append("|---|" + "---:|" * len(runs))
    for variant, title in rows.items():
        cells = []
        for run in runs:
            ap = run["splits"][split]["AP"]
            cell = f"{100 * ap[variant]:.1f}"
            if variant.startswith("without"):
                cell += f" ({100 * share_regained(ap, variant):.0f} %)"
            cells.append(cell)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    names = {"hidden": "propagated masks on hidden objects", "visible": "on visible ones", "none": "on none"}
    for name, title in names.items():
        cells = [str(run["splits"][split]["num_propagated"][name]) for run in runs]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def share_regained(ap: Mapping[str, float], variant: str) -> float:
    """The part of what propagation costs that a variant regains; nan where it costs nothing."""
    loss = ap["off"] - ap["on"]
    return (ap[variant] - ap["on"]) / loss if loss else float("nan")


def render_errors(runs: Sequence[Mapping[str, Any]], split: str) -> str:
    """Markdown: gap and leak errors with propagation and without it, the runs side by side in a cell."""
    lines = [f"| `{split}` | propagation on | propagation off |", "|---|---:|---:|"]
    own = [run["splits"][split]["errors"] for run in runs]
    rows = {"AP50": lambda e: f"{100 * e['AP50']:.1f}"}
    for cause in ("gap", "leak"):
        rows |= {
            f"{cause} errors, mean over the thresholds": lambda e, c=cause: f"{e[c]['errors']:.1f}",
            f"ΔAP of {cause} errors": lambda e, c=cause: f"{100 * e[c]['gain_AP']:.2f}",
            f"frames of {cause}s": lambda e, c=cause: str(e[c]["frames"]),
        }
    for title, value in rows.items():
        cells = [", ".join(value(errors[name]) for errors in own) for name in ("on", "off")]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def render_ahead(runs: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: masks one frame ahead by split and group, the runs side by side in a cell."""
    groups = {
        "all": "all visible objects",
        "whole": "whole objects",
        "small": f"whole, below {SMALL_PX} px",
        "middle": f"whole, {SMALL_PX} to {LARGE_PX} px",
        "large": f"whole, above {LARGE_PX} px",
    }
    lines = [
        "| one frame ahead | objects | IoU of propagated masks | under the best attention | mask head | strongest cell on it |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for split in runs[0]["one_frame_ahead"]:
        for group, title in groups.items():
            found = [run["one_frame_ahead"][split][group] for run in runs if group in run["one_frame_ahead"][split]]
            if not found:
                continue
            cells = [", ".join(dict.fromkeys(str(one["num"]) for one in found))]
            cells += [
                ", ".join(f"{one[value]:.2f}" for one in found)
                for value in ("iou", "iou_best_attention", "iou_mask_head")
            ]
            cells.append(", ".join(f"{100 * one['strongest_on_object']:.0f} %" for one in found))
            lines.append(f"| `{split}`: {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def render(runs: Sequence[Mapping[str, Any]]) -> str:
    """All tables of some runs with the same splits."""
    parts = []
    for split in runs[0]["splits"]:
        parts += [render_ap(runs, split), render_errors(runs, split)]
    return "\n\n".join([*parts, render_ahead(runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", default=[DEFAULT_RUN])
    parser.add_argument("--split", nargs="+", default=["occlusion"])
    parser.add_argument("--train-videos", type=int, default=75)
    parser.add_argument("--write", type=Path, help="JSON file for what was measured")
    arguments = parser.parse_args()
    try:
        measured = [measure(run, arguments.split, arguments.train_videos) for run in arguments.runs]
    except VistrialsError as error:
        raise SystemExit(str(error)) from None
    if arguments.write:
        save_json_atomic(arguments.write, {"runs": measured}, indent=2)
    print(render(measured))


if __name__ == "__main__":
    main()
