"""What propagation at inference costs, by what its masks are drawn on, and how good its masks are one frame ahead.

Run: python -m benchmarks.propagation [RUN ...] [--split SPLIT ...] [--train-videos 75] [--write FILE.json]

RUN is the folder of a trained trial with a propagation head and its weights, by default that of `make demo`. Of the
runs in results/ only seed 0 of baseline has weights: `OMP_NUM_THREADS=1 vistrials run baseline --profile demo --results
build --seed 1` trains another again.

AP: each split is predicted with propagation and without it. Associations and detected masks are the same both times, so
that what only the first has was propagated. The *object* of a predicted track is the true track of its category that it
overlaps most over the video. A propagated mask lies on a hidden object in a frame where its object has no mask, on a
visible one where it has, on none where the track has no object. AP is taken again without the masks of either sort;
scores stay as they are.

One frame ahead: see vistrials/finished_runs/one_frame_ahead.py, on the splits and on the first training videos.
"""

import argparse
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vistrials.data.frames import iter_frames
from vistrials.data.sources import resolve_split
from vistrials.engine.inference import its_threads
from vistrials.errors import VistrialsError
from vistrials.evaluation.errors.analysis import diagnose
from vistrials.evaluation.youtube_vis import evaluate
from vistrials.finished_runs.one_frame_ahead import GROUPS, VALUES, measure_ahead
from vistrials.formats.annotations import load_video_set
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.models.folding import for_inference
from vistrials.models.objprop import ObjProp, build_model
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec
from vistrials.structures.video import VideoSet
from vistrials.tracking.online import track_video
from vistrials.weights.files import load_weights

DEFAULT_RUN = Path("build/demo/baseline/seed0")

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
    model = build_model(model_spec, num_categories)
    load_weights(model, directory.weights, allow_missing=False)
    return for_inference(model)


def predict(model: ObjProp, video_set: VideoSet, spec: TrialSpec) -> list[Prediction]:
    """All tracks of a split, whatever their length, as predictions.json holds them."""
    inference = spec.inference.model_copy(update={"min_track_frames": 1})
    category_ids = [category.id for category in video_set.categories]
    with its_threads(model):
        return [
            track.to_json()
            for video in video_set.videos
            for track in track_video(
                model,
                iter_frames(video_set, video, spec.data.image_size_px),
                video.id,
                category_ids,
                inference,
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


def without_sorts(predictions: list[Prediction], sorts: Mapping[str, set[Place]]) -> dict[str, list[Prediction]]:
    """The predictions as they are, and without the masks on hidden objects, on visible ones, on either."""
    return {
        "on": predictions,
        "without_hidden": without(predictions, sorts["hidden"]),
        "without_visible": without(predictions, sorts["visible"]),
        "without_both": without(predictions, sorts["hidden"] | sorts["visible"]),
    }


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
    variants = without_sorts(on, sorts) | {"off": off}
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
    return {"AP50": found.score.AP50, **causes}


def measure(run: Path, splits: Sequence[str], num_train_videos: int) -> dict[str, Any]:
    """Everything that this file measures of one run."""
    directory, spec = RunDirectory.open(run)
    ahead = {}
    for split in (*splits, "train"):
        ahead[split] = measure_ahead(run, split, num_train_videos if split == "train" else None)
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
    titles = {
        "on": "as it is",
        "without_hidden": "without propagated masks on hidden objects",
        "without_visible": "without those on visible objects",
        "without_both": "without either",
        "off": "propagation off",
    }
    seeds = [f"seed {run['seed']}" for run in runs]
    lines = [f"| AP on `{split}` | {' | '.join(seeds)} |", "|---|" + "---:|" * len(runs)]
    for variant, title in titles.items():
        figures = [run["splits"][split]["AP"] for run in runs]
        cells = [f"{100 * ap[variant]:.1f}" for ap in figures]
        if variant.startswith("without"):
            cells = [f"{c} ({100 * share_regained(ap, variant):.0f} %)" for c, ap in zip(cells, figures, strict=True)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for sort, title in {"hidden": "hidden objects", "visible": "visible objects", "none": "no object"}.items():
        counts = [str(run["splits"][split]["num_propagated"][sort]) for run in runs]
        lines.append(f"| propagated masks on {title} | {' | '.join(counts)} |")
    return "\n".join(lines)


def share_regained(ap: Mapping[str, float], variant: str) -> float:
    """The part of what propagation costs that a variant regains; nan where it costs nothing."""
    loss = ap["off"] - ap["on"]
    return (ap[variant] - ap["on"]) / loss if loss else float("nan")


def render_errors(runs: Sequence[Mapping[str, Any]], split: str) -> str:
    """Markdown: gap and leak errors with propagation and without it; in a cell the runs one after the other."""
    errors = [run["splits"][split]["errors"] for run in runs]
    lines = [f"| `{split}` | propagation on | propagation off |", "|---|---:|---:|"]

    def add(title: str, value: Callable[[Mapping[str, Any]], str]) -> None:
        on, off = (", ".join(value(own[name]) for own in errors) for name in ("on", "off"))
        lines.append(f"| {title} | {on} | {off} |")

    add("AP50", lambda own: f"{100 * own['AP50']:.1f}")
    for cause in ("gap", "leak"):
        add(f"{cause} errors, mean over the thresholds", lambda own, c=cause: f"{own[c]['errors']:.1f}")  # type: ignore[misc]
        add(f"ΔAP of {cause} errors", lambda own, c=cause: f"{100 * own[c]['gain_AP']:.2f}")  # type: ignore[misc]
        add(f"frames of {cause}s", lambda own, c=cause: str(own[c]["frames"]))  # type: ignore[misc]
    return "\n".join(lines)


def render_ahead(runs: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row by split and group; in a cell the runs one after the other.

    Args:
        runs: for each run, by split, what `measure_ahead` returns.
    """
    lines = ["| one frame ahead | objects | IoU of propagated masks | under the best attention | mask head |"]
    lines[0] += " strongest cell on the object |"
    lines.append("|---|" + "---:|" * 5)
    for split in runs[0]:
        for group, title in GROUPS.items():
            if group in runs[0][split]:
                found = [run[split][group] for run in runs]
                cells = [str(found[0]["num"])]
                cells += [", ".join(f"{one[value]:.2f}" for one in found) for value in VALUES[:-1]]
                cells.append(", ".join(f"{100 * one[VALUES[-1]]:.0f} %" for one in found))
                lines.append(f"| `{split}`: {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render(runs: Sequence[Mapping[str, Any]]) -> str:
    """All tables of some runs with the same splits."""
    parts = []
    for split in runs[0]["splits"]:
        parts += [render_ap(runs, split), render_errors(runs, split)]
    return "\n\n".join([*parts, render_ahead([run["one_frame_ahead"] for run in runs])])


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
