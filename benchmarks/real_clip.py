"""A real clip, learnt and tracked: figures of four folds of held-out frames, for one setting or for many.

Run: python -m benchmarks.real_clip --clip DIR [--only NAME ...] [--set A.B=C ...] [--jobs N] [--device cuda]
DIR is a data set in YouTube-VIS form whose annotation files (train.json, valid.json) hold consecutive pieces of one
clip. They are joined at their seams, by the overlap of masks. Each fold holds out 20 consecutive frames and trains on
all others, which are one video before them and one after.

Settings come from benchmarks/real_clip.yaml (--configs FILE): `laptop` alone unless --only names others (or `all`).
--set goes on top of them, under a name of its own. A fold runs in a process of its own; its figures are written to
OUT/NAME/fold<K>-seed<S>.json as soon as it ends, and are not made again where they are there. The table is of all
that are there; --table makes nothing new. With --jobs folds go on side by side, so that their times say little.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vistrials.errors import DataError, RunError, SpecError, VistrialsError
from vistrials.formats.annotations import decode_mask
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.specs.yaml_text import parse_yaml

HELD_OUT_FRAMES = 20
NUM_FOLDS = 4
_DEFAULT = "laptop"
_HERE = Path(__file__).resolve().parent
_SHOWN_ITERS = 50
_MIN_SEAM_IOU = 0.3


class Config(NamedTuple):
    """What is trained and measured.

    Attributes:
        trial, profile: names or YAML files.
        settings: as after --set.
        weights_of: another configuration, whose weights are taken as they are; only inference differs then.
        start_from: another configuration, whose weights the training starts from.
        pseudo: how many pseudo videos are made of the fold's training frames and trained on beside them.
        note: in the table.
    """

    name: str
    trial: str
    profile: str
    settings: tuple[str, ...]
    weights_of: str | None
    start_from: str | None
    pseudo: int
    note: str

    @property
    def earlier(self) -> str | None:
        """The configuration that has to come first."""
        return self.weights_of or self.start_from


class Clip(NamedTuple):
    """A whole clip. document: one video in YouTube-VIS form, and its tracks; frames_dir: its file names start there."""

    document: dict[str, Any]
    frames_dir: Path


class Fold(NamedTuple):
    """A fold of a configuration, with one seed."""

    config: str
    number: int
    seed: int

    def figures(self, out: Path) -> Path:
        """The file of its figures."""
        return out / self.config / f"fold{self.number}-seed{self.seed}.json"

    def results(self, out: Path) -> Path:
        """The folder of its runs, one below it for each profile and trial."""
        return out / self.config / f"fold{self.number}"


_KEYS = {"trial", "profile", "set", "weights_of", "start_from", "pseudo", "note"}


def load_configs(path: Path) -> dict[str, Config]:
    """The configurations of a YAML file, by name: each a mapping of some of `_KEYS`.

    One that takes the weights of another has its trial, profile and settings too, below its own.
    """
    document = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    configs: dict[str, Config] = {}
    for name, values in document.items():
        values = values or {}
        if unknown := values.keys() - _KEYS:
            raise SpecError(
                f"{path}: {name}: unknown key {min(unknown)!r}; expected some of {', '.join(sorted(_KEYS))}"
            )
        weights_of, start_from = values.get("weights_of"), values.get("start_from")
        for earlier in (weights_of, start_from):
            if earlier is not None and earlier not in configs:
                raise SpecError(f"{path}: {name}: no configuration {earlier!r} above it")
        below = configs[weights_of] if weights_of else None
        profile = str(values.get("profile", below.profile if below else "laptop"))
        if profile.endswith(".yaml"):
            profile = str(path.parent / profile)
        settings = (*(below.settings if below else ()), *(str(setting) for setting in values.get("set", ())))
        trial = str(values.get("trial", below.trial if below else "masktrack_rcnn"))
        pseudo, note = int(values.get("pseudo", 0)), str(values.get("note", ""))
        configs[name] = Config(name, trial, profile, settings, weights_of, start_from, pseudo, note)
    return configs


def choose_configs(configs: dict[str, Config], names: Sequence[str], settings: Sequence[str]) -> list[Config]:
    """The named configurations (`all`: every one) under further settings, each after those that it needs."""
    if unknown := [name for name in names if name != "all" and name not in configs]:
        raise SpecError(f"no configuration {unknown[0]!r}; expected all or some of {', '.join(configs)}")
    wanted = list(configs) if "all" in names else list(names)
    chosen: dict[str, Config] = {}

    def take(name: str) -> None:
        if name not in chosen:
            config = configs[name]
            if config.earlier is not None:
                take(config.earlier)
            chosen[name] = config

    for name in wanted:
        if settings:
            own = configs[name]
            if own.earlier is not None:
                take(own.earlier)
            new_name = re.sub(r"[^\w.+=-]+", "_", "+".join([name, *settings]))
            chosen[new_name] = own._replace(name=new_name, settings=(*own.settings, *settings))
        else:
            take(name)
    return list(chosen.values())


def load_clip(folder: Path) -> Clip:
    """One clip from the annotation files of a folder, whose videos are its consecutive pieces."""
    paths = [folder / name for name in ("train.json", "valid.json") if (folder / name).is_file()]
    if not paths:
        raise DataError(f"{folder}: expected train.json or valid.json, found neither")
    pieces = []
    for path in paths:
        document = load_json(path)
        for video in document["videos"]:
            tracks = [track for track in document["annotations"] if track["video_id"] == video["id"]]
            pieces.append((video, tracks))
    pieces.sort(key=lambda piece: piece[0]["file_names"][0])
    video, tracks = pieces[0]
    for next_video, next_tracks in pieces[1:]:
        video, tracks = _join(video, tracks, next_video, next_tracks)
    head = {key: document[key] for key in ("info", "licenses", "categories") if key in document}
    frames_dir = next(
        (d for d in (folder / "JPEGImages", folder) if (d / video["file_names"][0]).is_file()), folder / "JPEGImages"
    )
    return Clip(head | {"videos": [video], "annotations": tracks}, frames_dir.resolve())


def _join(
    video: dict[str, Any], tracks: list[dict[str, Any]], after: dict[str, Any], tracks_after: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Two pieces as one; a track goes on in the one that it overlaps most across the seam."""
    size = video["height"], video["width"]
    if (after["height"], after["width"]) != size:
        raise DataError(f"{after['file_names'][0]}: expected frames of {size[1]} x {size[0]}, as in the piece before")
    before_length, after_length = len(video["file_names"]), len(after["file_names"])
    ious = np.array([[_seam_iou(a, b, size) for b in tracks_after] for a in tracks]).reshape(-1, len(tracks_after))
    goes_on = {int(a): int(b) for a, b in zip(*linear_sum_assignment(-ious), strict=True) if ious[a, b] > _MIN_SEAM_IOU}
    joined = []
    for index, track in enumerate(tracks):
        later = tracks_after[goes_on[index]] if index in goes_on else None
        joined.append(_concatenated(track, later, before_length, after_length))
    for index, track in enumerate(tracks_after):
        if index not in goes_on.values():
            joined.append(_concatenated(None, track, before_length, after_length))
    for number, track in enumerate(joined, start=1):
        track |= {"id": number, "video_id": video["id"], "length": before_length + after_length}
    names = [*video["file_names"], *after["file_names"]]
    return video | {"file_names": names, "length": len(names)}, joined


_PER_FRAME = ("segmentations", "bboxes", "areas")


def _concatenated(
    before: dict[str, Any] | None, after: dict[str, Any] | None, before_length: int, after_length: int
) -> dict[str, Any]:
    track = dict(before or after or {})
    for key in _PER_FRAME:
        first = before[key] if before else [None] * before_length
        track[key] = [*first, *(after[key] if after else [None] * after_length)]
    return track


def _seam_iou(before: dict[str, Any], after: dict[str, Any], size: tuple[int, int]) -> float:
    ends = before["segmentations"][-1], after["segmentations"][0]
    if None in ends or before["category_id"] != after["category_id"]:
        return 0.0
    one, other = (decode_mask(segmentation, *size).astype(bool) for segmentation in ends)
    return float((one & other).sum() / max((one | other).sum(), 1))


def held_out(num_frames: int, fold: int) -> range:
    """Frames that a fold scores on; the folds are spread evenly over the clip."""
    if num_frames < HELD_OUT_FRAMES + 2:
        raise DataError(f"a clip of {num_frames} frames is too short: a fold holds out {HELD_OUT_FRAMES}")
    first = round(fold * (num_frames - HELD_OUT_FRAMES) / (NUM_FOLDS - 1))
    return range(first, first + HELD_OUT_FRAMES)


def write_fold(clip: Clip, fold: int, root: Path) -> None:
    """Write a fold's train.json (a video before and one after what is held out) and valid.json."""
    num_frames = len(clip.document["videos"][0]["file_names"])
    scored = held_out(num_frames, fold)
    others = [range(scored.start), range(scored.stop, num_frames)]
    root.mkdir(parents=True, exist_ok=True)
    save_json_atomic(root / "train.json", _cut(clip.document, [part for part in others if len(part) > 1]))
    save_json_atomic(root / "valid.json", _cut(clip.document, [scored]))


def write_pseudo(clip: Clip, config: Config, fold: Fold, out: Path) -> Path:
    """Make pseudo videos of a fold's train.json, behind the fold's own; the annotation file of both."""
    from vistrials.data.pseudo.clips import Clips
    from vistrials.data.pseudo.dataset import write_pseudo_set
    from vistrials.formats.annotations import load_video_set

    folder = (out / "data" / f"{fold.config}-fold{fold.number}-seed{fold.seed}").resolve()
    if not folder.exists():
        train = load_video_set(out / "data" / f"fold{fold.number}" / "train.json", clip.frames_dir)
        write_pseudo_set(Clips([train]), folder, config.pseudo, HELD_OUT_FRAMES, seed=fold.seed)
    return folder / "train.json"


def _cut(document: dict[str, Any], parts: Sequence[range]) -> dict[str, Any]:
    videos, annotations = [], []
    (video,) = document["videos"]
    for video_id, part in enumerate(parts, start=1):
        names = video["file_names"][part.start : part.stop]
        videos.append(video | {"id": video_id, "file_names": names, "length": len(names)})
        for track in document["annotations"]:
            cut = {key: track[key][part.start : part.stop] for key in _PER_FRAME}
            if any(cut["segmentations"]):
                own = {"id": len(annotations) + 1, "video_id": video_id, "length": len(names)}
                annotations.append(track | cut | own)
    return document | {"videos": videos, "annotations": annotations}


def run_fold(clip: Clip, config: Config, fold: Fold, out: Path, device: str) -> dict[str, Any]:
    """Train, track and score one fold in this process; its figures, as they are written."""
    from vistrials import pipeline
    from vistrials.commands.display import RichReporter
    from vistrials.specs.loading import load_trial

    data = (out / "data" / f"fold{fold.number}").resolve()
    write_fold(clip, fold.number, data)
    frames = json.dumps([str(clip.frames_dir)])
    source = f"kind: files, root: {json.dumps(str(data))}, valid_frames: {frames}"
    if config.pseudo:
        made = write_pseudo(clip, config, fold, out)
        source += f", train_annotations: {json.dumps([str(made)])}"
        frames = json.dumps([str(made.parent / "JPEGImages")])
    source += f", train_frames: {frames}"
    settings = [f"data.source={{{source}}}", "data.splits=[valid]"]
    if config.earlier is not None:
        weights = load_json(fold._replace(config=config.earlier).figures(out))["weights"]
        settings.append(f"init.weights={json.dumps(weights)}")
    # Beside weights a backbone to start from would be without effect.
    settings += [own for own in config.settings if config.earlier is None or not own.startswith("init.backbone=")]
    if config.weights_of is not None:
        settings.append("train.max_iters=0")
    spec = load_trial(config.trial, config.profile, settings)
    began = time.perf_counter()
    with RichReporter(f"{fold.config} fold {fold.number}") as reporter:
        run = pipeline.run(spec, fold.results(out), fold.seed, device=device, overrides=settings, reporter=reporter)
    provenance = load_json(run.provenance)
    figures = {
        "config": fold.config,
        "fold": fold.number,
        "seed": fold.seed,
        "note": config.note,
        "trial": config.trial,
        "profile": Path(config.profile).stem,
        "settings": list(config.settings),
        "seconds": round(time.perf_counter() - began, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "metrics": run.read_metrics(),
        **_quality(data / "valid.json", run.predictions(run.main_split)),
        "last_steps": _last_steps(run.losses),
        "stages": provenance["stages"],
        "initial_weights": provenance.get("initial_weights"),
        "environment": provenance.get("environment"),
        "weights": str(run.weights.resolve()),
    }
    save_json_atomic(fold.figures(out), figures, indent=2)
    return figures


def _quality(annotations: Path, predictions: Path) -> dict[str, Any]:
    """Of true tracks, in the order of the annotations: IoU with the best prediction as it is, with perfect identities,
    and the mean over frames of the best mask's, whichever track it is in."""
    from vistrials.evaluation.errors.analysis import diagnose
    from vistrials.evaluation.errors.ladders import perfect_identities
    from vistrials.evaluation.errors.overlap import read_videos
    from vistrials.evaluation.reading import read_ground_truth

    truth, predicted = load_json(annotations), load_json(predictions)
    (video,) = read_videos(read_ground_truth(truth), predicted)
    diagnosis = diagnose(truth, predicted)
    found: dict[str, Any] = {
        "AP_perfect_identities": diagnosis.ladders["perfect identities"].AP,
        "identities": diagnosis.to_dict()["identities"],
    }
    if not len(video.scores):
        return found
    exists = video.truth_areas > 0
    frame_ious = np.where(exists, video.frame_ious.max(axis=0), 0.0).sum(axis=1) / exists.sum(axis=1)
    found["track_iou"] = video.ious.max(axis=0).round(3).tolist()
    found["track_iou_perfect_identities"] = perfect_identities(video).ious.max(axis=0).round(3).tolist()
    found["best_mask_iou"] = frame_ious.round(3).tolist()
    return found


def _last_steps(losses: Path) -> dict[str, float]:
    """Means of the losses and accuracies of the last steps, and of all steps' seconds."""
    if not losses.is_file():
        return {}
    rows = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()]
    if not rows:
        return {}
    names = [name for name in rows[-1] if name.startswith("loss_") or name.endswith("acc")]
    found = {name: round(mean(row[name] for row in rows[-_SHOWN_ITERS:]), 4) for name in names}
    return found | {"seconds_per_step": round(mean(row["seconds"] for row in rows), 4), "steps": len(rows)}


def run_in_processes(
    configs: Sequence[Config], folds: Sequence[Fold], out: Path, arguments: Sequence[str], num_jobs: int
) -> list[Fold]:
    """Make the folds that are not there, in a process each; those of a configuration after those that it needs.

    Returns: folds that failed; the last line of their logs has been printed.
    """
    failed: list[Fold] = []
    waiting = {config.name: config for config in configs}
    while waiting:
        ready = [name for name, config in waiting.items() if config.earlier not in waiting]
        jobs = [fold for fold in folds if fold.config in ready and not fold.figures(out).is_file()]
        with ThreadPoolExecutor(num_jobs) as pool:
            done = pool.map(lambda fold: _run_in_process(fold, out, arguments, num_jobs), jobs)
            failed += [fold for fold, is_done in zip(jobs, done, strict=True) if not is_done]
        for name in ready:
            del waiting[name]
    return failed


def _run_in_process(fold: Fold, out: Path, arguments: Sequence[str], num_jobs: int) -> bool:
    own = ["--one", fold.config, "--folds", str(fold.number), "--seeds", str(fold.seed)]
    command = [sys.executable, "-m", "benchmarks.real_clip", *arguments, *own]
    environment = dict(os.environ)
    if num_jobs > 1:
        environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // num_jobs))
    log = fold.figures(out).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as stderr:
        code = subprocess.run(command, env=environment, stderr=stderr, cwd=_HERE.parent).returncode
    if code:
        last = (log.read_text(encoding="utf-8").splitlines() or ["no output"])[-1]
        print(f"{fold.config} fold {fold.number} seed {fold.seed}: failed with {code}: {last} ({log})", flush=True)
        return False
    figures = load_json(fold.figures(out))
    print(f"{fold.config} fold {fold.number} seed {fold.seed}: {_short(figures)}", flush=True)
    return True


def _short(figures: dict[str, Any]) -> str:
    metrics = figures["metrics"]
    return f"AP {100 * metrics['AP']:.1f}, AP50 {100 * metrics['AP50']:.1f}, {figures['seconds']:.0f} s"


def render(all_figures: Iterable[dict[str, Any]]) -> str:
    """Markdown: a row for each configuration, by falling mean AP."""
    by_config: dict[str, list[dict[str, Any]]] = {}
    for figures in all_figures:
        by_config.setdefault(figures["config"], []).append(figures)
    rows = [(_means(found), name, found) for name, found in by_config.items()]
    lines = [
        "| configuration | AP of folds | AP50 of folds | mean AP | AP50 | AP, perfect identities | best mask's IoU "
        "| match_acc | steps | s a step | s a fold | ms a frame | MiB |",
        "|---|---|---|" + "---:|" * 10,
    ]
    for means, name, found in sorted(rows, key=lambda row: -row[0]["AP"]):
        found.sort(key=lambda figures: (figures["seed"], figures["fold"]))
        folds = [", ".join(f"{100 * one['metrics'][key]:.1f}" for one in found) for key in ("AP", "AP50")]
        cells = [f"{100 * means[key]:.1f}" for key in ("AP", "AP50", "AP_perfect_identities")]
        cells += [f"{means[key]:.2f}" for key in ("best_mask_iou", "match_acc")]
        cells += [f"{means['steps']:.0f}", f"{means['seconds_per_step']:.2f}", f"{means['seconds']:.0f}"]
        cells += [f"{1000 * means['seconds_per_frame']:.0f}", f"{means['peak_memory_mib']:.0f}"]
        lines.append(f"| {name} | {' | '.join([*folds, *cells])} |")
    return "\n".join(lines)


def _means(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    flat = []
    for one in found:
        infer = next((stage for name, stage in one["stages"].items() if name.startswith("infer")), {})
        flat.append(
            {
                "AP": one["metrics"]["AP"],
                "AP50": one["metrics"]["AP50"],
                "AP_perfect_identities": one["AP_perfect_identities"],
                "best_mask_iou": mean(one.get("best_mask_iou") or [0.0]),
                "match_acc": one["last_steps"].get("match_acc", float("nan")),
                "steps": one["last_steps"].get("steps", 0),
                "seconds_per_step": one["last_steps"].get("seconds_per_step", float("nan")),
                "seconds": one["seconds"],
                "seconds_per_frame": infer.get("seconds_per_frame", float("nan")),
                "peak_memory_mib": one["peak_memory_mib"],
            }
        )
    return {key: mean(one[key] for one in flat) for key in flat[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clip", type=Path, required=True, help="folder with train.json, valid.json and JPEGImages")
    parser.add_argument("--out", type=Path, default=Path("build/real_clip"))
    parser.add_argument("--configs", type=Path, default=_HERE / "real_clip.yaml")
    parser.add_argument("--only", nargs="+", default=["laptop"], metavar="NAME")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="A.B=C")
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(NUM_FOLDS)), choices=range(NUM_FOLDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--jobs", type=int, default=1, help="folds side by side")
    parser.add_argument("--table", action="store_true", help="only the table of what is there")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        return _main(options)
    except VistrialsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _main(options: argparse.Namespace) -> int:
    out = options.out.resolve()
    configs = choose_configs(load_configs(options.configs), options.only, options.settings)
    folds = [Fold(c.name, number, seed) for c in configs for seed in options.seeds for number in options.folds]
    clip_folder = options.clip.resolve()
    if options.one:
        config = next(config for config in configs if config.name == options.one)
        (fold,) = (fold for fold in folds if fold.config == options.one)
        run_fold(load_clip(clip_folder), config, fold, out, options.device)
        return 0
    failed: list[Fold] = []
    if not options.table:
        load_clip(clip_folder)  # what is wrong with it should be said once
        _check_settings(configs, folds, out)
        arguments = ["--clip", str(clip_folder), "--out", str(out), "--configs", str(options.configs.resolve())]
        arguments += ["--only", *options.only, "--device", options.device]
        arguments += [text for setting in options.settings for text in ("--set", setting)]
        failed = run_in_processes(configs, folds, out, arguments, options.jobs)
    found = [load_json(path) for path in sorted(out.glob("*/fold*-seed*.json"))]
    if found:
        print(render(found))
    return 1 if failed else 0


def _check_settings(configs: Sequence[Config], folds: Sequence[Fold], out: Path) -> None:
    """Refuse figures that are there and were made with other settings."""
    by_name = {config.name: config for config in configs}
    for fold in folds:
        path, settings = fold.figures(out), list(by_name[fold.config].settings)
        if path.is_file() and (found := load_json(path)["settings"]) != settings:
            raise RunError(f"{path}: made with {found}, asked for {settings}; delete the file or choose another --out")


if __name__ == "__main__":
    raise SystemExit(main())
