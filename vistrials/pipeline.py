"""A trial spec -> its parts -> a finished run; the only file that joins data, models, engine and runs."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from vistrials.data.frame_files import locate_frames
from vistrials.data.loading import build_pair_loader
from vistrials.data.sources import ResolvedSplit, resolve_split
from vistrials.engine.devices import build_fabric, choose_device, each_of, inference_autocast
from vistrials.engine.distribution import launch
from vistrials.engine.finished_files import find_damage
from vistrials.engine.heartbeat import Heartbeat
from vistrials.engine.inference import PredictionFiles, join_predictions, predict_split
from vistrials.engine.inference import infer as infer_split
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.seeding import seed_everything
from vistrials.engine.training import TrainingFiles, fit
from vistrials.engine.validation import Validated, Validation
from vistrials.errors import DataError, RunError
from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.stored_matches import StoredMatches, save_matches
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats.amodal import annotations_of
from vistrials.formats.annotations import load_video_set
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import save_json_atomic
from vistrials.models.objprop import ObjProp, build_model
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.runs.provenance import (
    describe_device,
    describe_environment,
    describe_threads,
    record_data,
    record_stage,
    update_provenance,
)
from vistrials.specs.custom import custom_parts
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.loading import dump_spec, load_trial, overrides_within
from vistrials.specs.training import InitSpec
from vistrials.specs.trial import TrialSpec
from vistrials.specs.truths import scored_name
from vistrials.structures.video import VideoSet
from vistrials.weights.category_rows import category_names, load_for_categories
from vistrials.weights.files import (
    ROUNDED_FROM,
    digest_of_file,
    digest_of_tensors,
    load_weights,
    read_metadata,
    read_tensors,
    save_weights,
)
from vistrials.weights.recorded import check_recorded, read_own_metadata
from vistrials.weights.shipped import weights_file
from vistrials.weights.starts import fills_backbone, holds_backbone

STAGES = ("train", "infer", "evaluate")

# Settings that a trial shares with the one that it starts from.
_PASSED_ON = ("data", "train", "init.backbone")


# In the metadata of weights: figures of the validation that chose them.
_CHOSEN = "validation"


class _Splits:
    """The splits of a data set, each found and read once however many stages and trials use it."""

    def __init__(self, data: DataSpec, reporter: Reporter) -> None:
        self._data, self._reporter = data, reporter
        self._loaded: dict[str, tuple[ResolvedSplit, VideoSet]] = {}
        self._missing: dict[str, str | None] = {}

    def load(self, split: str) -> tuple[ResolvedSplit, VideoSet]:
        """Where a split lies, and its videos; only the training split needs annotations."""
        if split not in self._loaded:
            found = resolve_split(self._data, split, self._show_drawing)
            read = load_video_set(found.annotations, found.frames_dir, require_annotations=split == "train")
            videos, self._missing[split] = locate_frames(read)
            for note in videos.notes:
                self._reporter.warning(f"{found.annotations}: {note}")
            self._loaded[split] = found, videos
        return self._loaded[split]

    def require_frames(self, split: str) -> None:
        """Refuse a split of which a frame is missing, before hours of work come to it."""
        found, _ = self.load(split)
        if missing := self._missing[split]:
            raise DataError(f"{found.annotations}: {missing}; `vistrials data check` finds all that is wrong")

    def _show_drawing(self, done: int, total: int) -> None:
        if done == 1:
            self._reporter.stage("draw the embedded videos", total)
        self._reporter.advance(1)


@dataclass(frozen=True, slots=True)
class _Job:
    """What to run, and where and how; a trial to start from has the same data."""

    spec: TrialSpec
    splits: _Splits
    directory: RunDirectory
    device: torch.device
    num_devices: int
    overrides: tuple[str, ...]
    starts: Mapping[str, TrialSpec]
    reporter: Reporter

    @property
    def seed(self) -> int:
        return self.directory.seed


def run(
    spec: TrialSpec,
    results_dir: Path | str = "results",
    seed: int = 0,
    *,
    device: str = "auto",
    num_devices: int = 1,
    force: bool = False,
    stages: Sequence[str] = STAGES,
    splits: Sequence[str] = (),
    overrides: Sequence[str] = (),
    starts: Mapping[str, TrialSpec] | None = None,
    reporter: Reporter | None = None,
) -> RunDirectory:
    """Train, infer and evaluate; stages that are finished are skipped.

    A trial that starts from another one has that one trained first, under the same profile, data and seed. A run that
    another process works on is waited for; what that one has finished is not done again.

    Args:
        spec: the resolved trial; everything that changes the result is in it.
        results_dir: the run lives in results_dir/<profile>/<trial>/seed<N>/.
        seed: of the run, 0 or more.
        device: auto, cpu, cuda, cuda:N or mps.
        num_devices: processes to train on, one each; of GPUs each also predicts, a video at a time.
        force: redo the stages asked for, and drop what follows from them.
        stages: some of `STAGES`, to do no more than these.
        splits: some of the spec's, to predict and score no more than these.
        overrides: those that went into the spec, for the record.
        starts: specs of trials to start from, by name, where they are not what that name alone means.
        reporter: hears of stages, progress, news and warnings.

    Returns:
        The folder of the run, with the paths of what it holds.

    Raises:
        RunError: the folder holds a run of another spec or data, or a stage asked for needs one that is neither done
            nor asked for.
        VistrialsError: anything else that the user can mend, in one line.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    directory = RunDirectory.for_spec(spec, results_dir, seed)
    heartbeat = Heartbeat(directory.activity, reporter or SilentReporter())
    job = _Job(
        spec,
        _Splits(spec.data, heartbeat),
        directory,
        choose_device(device),
        num_devices,
        tuple(overrides),
        starts or {},
        heartbeat,
    )
    if "train" not in stages:
        directory.check_there()
    with directory.lock(before_wait=lambda: _say_waiting(job)), ExitStack() as stack:
        if not (force and "train" in stages):
            directory.check(spec)  # before its record says that this is what it is doing
        stack.enter_context(heartbeat)
        _check_at_the_door(job, stages, force)
        if force:
            _discard(directory, stages, spec.data.splits)
        todo = [split for split in splits or spec.data.splits if _lacks_something(spec, directory, split, stages)]
        # Looked at before a record that is gone is begun anew.
        damage = [] if todo else find_damage(directory, list(filter(directory.is_evaluated, spec.data.splits)))
        if todo and directory.has_results() and not directory.provenance.exists():
            job.reporter.warning(f"{directory.provenance}: is gone, and with it the record of what was done before")
        _prepare(job)
        if not todo:
            job.reporter.message(f"{directory.path}: done already; {_how_to_redo(directory)}")
            for line in damage:
                job.reporter.warning(line)
        unpredicted = [split for split in todo if not directory.is_inferred(split)]
        if "train" in stages and (unpredicted or "infer" not in stages):
            _train(job)
        for split in todo:
            if "infer" in stages and not directory.is_inferred(split):
                _infer(job, split)
                if directory.is_evaluated(split):
                    _hold_against_figures(job, split)
            if "evaluate" in stages:
                _evaluate(job, split)
    return directory


def _say_waiting(job: _Job) -> None:
    job.reporter.stage("wait for another process", None)
    job.reporter.message(f"waiting: another process works on {job.directory.path}")


def _lacks_something(spec: TrialSpec, directory: RunDirectory, split: str, stages: Sequence[str]) -> bool:
    if "evaluate" not in stages or directory.unscored(spec, split):
        return True
    # Published figures may come without weights and predictions, and are no reason to train anew.
    return "infer" in stages and directory.is_trained() and not directory.is_inferred(split)


def _how_to_redo(directory: RunDirectory) -> str:
    split = directory.main_split
    return "--force redoes it" if directory.is_inferred(split) else directory.how_to_predict(split)


def _check_at_the_door(job: _Job, stages: Sequence[str], force: bool) -> None:
    """Find mistakes now that would break the run hours later, or after --force has removed its results."""
    spec, directory = job.spec, job.directory
    if custom_parts(spec):
        build_model(spec.model, num_categories=1)
    if "infer" in stages:
        inference_autocast(spec.inference.precision, job.device)
    is_to_train = "train" in stages and (force or not directory.is_trained())
    if is_to_train and (force or not directory.has_checkpoint()):
        _check_start(job)
    todo = [split for split in spec.data.splits if force or directory.unscored(spec, split)]
    if not todo:
        return
    found = []
    for split in (["train"] if is_to_train else []) + todo:
        data, video_set = job.splits.load(split)
        found.append((data.annotations, [category.name for category in video_set.categories]))
        if split in todo and "evaluate" in stages:
            for scored_against in spec.data.truths:
                annotations_of(data.annotations, scored_against)
    if is_to_train and (truth := _validation_truth(job)):
        inference_autocast(spec.inference.precision, job.device)
        found.append((truth.annotations, [category.name for category in truth.video_set.categories]))
    unpredicted = [split for split in todo if force or not directory.is_inferred(split)] if "infer" in stages else []
    for split in (["train"] if is_to_train else []) + unpredicted:
        job.splits.require_frames(split)
    for annotations, names in found[1:]:
        _check_categories(found[0][1], names, annotations)
    if is_to_train:
        _check_known_categories(spec, found[0][1])


def _check_start(job: _Job) -> None:
    """Make sure that the weights that this training starts from are available."""
    match job.spec.init.source:
        case "weights", file:
            _check_weights(job.spec, weights_file(file))
        case "trial", trial:
            earlier = _job_of_start(job, trial)
            if not (earlier.directory.is_trained() or earlier.directory.has_checkpoint()):
                earlier.directory.check_trainable()
                _check_start(earlier)
        case "backbone", _:
            _check_backbone(job.spec)


def _check_weights(spec: TrialSpec, weights: Path) -> None:
    read_metadata(weights)
    if not holds_backbone(weights, spec.model):
        _check_backbone(spec)


def _check_known_categories(spec: TrialSpec, names: list[str]) -> None:
    """Weights that are used as they are must know the categories that they are to predict."""
    kind, name = spec.init.source
    trained = category_names(weights_file(name)) if kind == "weights" else None
    if spec.train.max_iters != 0 or trained is None:
        return
    unknown = [name for name in names if name not in trained]
    if unknown:
        raise DataError(
            f"{name}: expected weights of all {len(names)} categories of the data, found none of {_some(unknown)}; it "
            f"knows {_some(trained)}: train on the data (without train.max_iters=0), or predict data of its categories"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f", .. ({len(names)} in all)" if len(names) > 3 else "")


def _check_backbone(spec: TrialSpec) -> None:
    from vistrials.weights.backbones import read_backbone

    read_backbone(spec.model, spec.init.backbone)


def _discard(directory: RunDirectory, stages: Sequence[str], splits: Sequence[str]) -> None:
    """Remove what the stages made, and what was made from that."""
    if "train" in stages:
        directory.clear()
    for split in splits:
        if "infer" in stages:
            directory.clear_split(split)
        directory.clear_figures(split)


def _prepare(job: _Job) -> None:
    job.directory.remove_leftovers()
    job.directory.prepare(job.spec)
    if not job.directory.provenance.exists():
        update_provenance(
            job.directory.provenance,
            trial=job.spec.name,
            profile=job.spec.profile,
            seed=job.seed,
            overrides=list(job.overrides),
        )


def _train(job: _Job) -> None:
    spec, directory = job.spec, job.directory
    if directory.is_trained():
        return
    directory.check_trainable()
    fabric = build_fabric(job.device, spec.train.precision, job.num_devices)
    start = _find_start(job)
    data, video_set = job.splits.load("train")
    data_digest = record_data(directory.provenance, "train", data.annotations)
    digest = result_digest(spec, data_digest, str(job.seed))
    truth = _validation_truth(job)
    if truth is not None:
        record_data(directory.provenance, truth.split, truth.annotations)
        if truth.split in spec.data.splits:
            job.reporter.warning(
                f"the weights of {spec.name} are chosen by their AP on split {truth.split}, which the run scores too: "
                "its figures there are the best of several, and so too high; those of other splits are not"
            )
    goes_on = directory.has_checkpoint()
    if directory.best_weights.exists():  # now, and not where they are needed, after the last step
        read_own_metadata(directory, directory.best_weights)
    if goes_on and (line := describe_threads(directory.provenance, "train")):
        job.reporter.warning(line)
    device = describe_device(str(job.device), job.num_devices)
    with record_stage(directory.provenance, "train", device, goes_on=goes_on) as entry:
        arguments = (spec, directory, video_set, start, digest, truth)
        entry |= launch(fabric, _train_process, job.reporter, *arguments)
        trained = directory.best_weights if "validation" in entry else directory.last_weights
        entry |= {
            "weights_sha256": sha256_of(trained),
            "network_sha256": digest_of_tensors(read_tensors(trained)),
        }
    os.replace(trained, directory.weights)
    # Beyond the weights they have only what a training needs to continue, and this one is over.
    directory.remove_leftovers()


@dataclass(frozen=True, slots=True)
class _Truth:
    """An annotated split that a training is scored on."""

    split: str
    annotations: Path
    video_set: VideoSet


def _validation_truth(job: _Job) -> _Truth | None:
    """What the training is to be scored on while it goes on; None where it is not.

    Raises:
        DataError: nothing is annotated there.
    """
    validation = job.spec.train.validation
    if validation is None or job.spec.train.max_iters == 0:
        return None
    split = validation.split or job.directory.main_split
    data, video_set = job.splits.load(split)
    job.splits.require_frames(split)
    if all(track.is_crowd for video in video_set.videos for track in video.tracks):
        raise DataError(
            f"{data.annotations}: found no annotated objects, but train.validation is to score split {split}; "
            "`vistrials data split TRAIN.json` makes a split that can be scored; or train without validation"
        )
    return _Truth(split, data.annotations, video_set)


def _train_process(
    fabric: Fabric,
    reporter: Reporter,
    spec: TrialSpec,
    directory: RunDirectory,
    video_set: VideoSet,
    start: "_Start",
    digest: str,
    truth: _Truth | None,
) -> dict[str, Any]:
    """One process of a training; rank 0 writes the files. Returns entries for the record of the stage."""
    validation = _build_validation(fabric, spec, directory, truth) if truth is not None else None
    seed_everything(directory.seed)
    model = build_model(spec.model, video_set.num_categories)
    if not directory.has_checkpoint():
        report = start.apply(model, spec.init, [category.name for category in video_set.categories], reporter)
        if fabric.is_global_zero:
            update_provenance(directory.provenance, initial_weights=report)
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(fabric.device)
    iterations = fit(
        fabric,
        model,
        lambda start_iter: build_pair_loader(
            video_set,
            spec.data,
            spec.train,
            directory.seed,
            fabric.global_rank,
            fabric.world_size,
            start_iter,
            fabric.device.type == "cuda",
        ),
        spec.train,
        TrainingFiles(directory.checkpoint, directory.previous_checkpoint, directory.losses, directory.tensorboard),
        seed=directory.seed,
        digest=digest,
        reporter=reporter,
        title=f"train {spec.name}",
        validation=validation,
    )
    entry: dict[str, Any] = {"iterations": iterations}
    if fabric.is_global_zero:
        metadata = _weights_metadata(spec, directory, video_set, iterations)
        save_weights(directory.last_weights, model, metadata)
        if validation is not None and validation.best is not None:
            _check_best(directory, validation)
            entry["validation"] = _best_of(validation)
            reporter.message(f"keeps the best weights, {validation.best.describe(validation.split)}")
    return entry | _gpu_memory(fabric.device)


def _build_validation(fabric: Fabric, spec: TrialSpec, directory: RunDirectory, truth: _Truth) -> Validation:
    assert spec.train.validation is not None
    files = PredictionFiles(directory.validation_predictions, directory.partial_validation_predictions)
    data_digest = sha256_of(truth.annotations)

    def score(model: nn.Module, reporter: Reporter) -> dict[str, float]:
        # What a file of weights would hold, whatever the precision of the training.
        network = build_model(spec.model, truth.video_set.num_categories)
        network.load_state_dict(model.state_dict())
        digests = (data_digest, digest_of_tensors(network.state_dict()))
        infer_split(
            network.to(fabric.device),
            truth.video_set,
            spec.data.image_size_px,
            spec.inference,
            files,
            digest=result_digest(spec, *digests, sections=("model", "inference")),
            reporter=reporter,
        )
        figures = evaluate_files(truth.annotations, files.predictions).figures
        files.predictions.unlink()
        return {name: figures[name] for name in TABLE_FIGURES}

    def save_best(model: nn.Module, found: Validated) -> None:
        metadata = _weights_metadata(spec, directory, truth.video_set, found.iteration)
        chosen = {"split": truth.split, **found.figures}
        save_weights(directory.best_weights, model, metadata | {_CHOSEN: json.dumps(chosen)})

    return Validation(
        spec.train.validation, truth.split, directory.validation, directory.best_weights, score, save_best
    )


def _check_best(directory: RunDirectory, validation: Validation) -> None:
    """Refuse best weights of another iteration than the log says.

    Where a training went back to an earlier checkpoint, and its steps came out otherwise (on a GPU), the file may be of
    a validation that is no longer on record.
    """
    assert validation.best is not None
    found = read_own_metadata(directory, directory.best_weights)["iteration"]
    if found != str(validation.best.iteration):
        raise RunError(
            f"{directory.best_weights}: expected the best weights, of iteration {validation.best.iteration}, found "
            f"those of iteration {found}; train again with --force"
        )


def _best_of(validation: Validation) -> dict[str, Any]:
    """For the record of a training: which of its validations gave the weights of the run."""
    best = validation.best
    assert best is not None
    return {"split": validation.split, "validations": len(validation.records), "best": best.to_json()}


def _gpu_memory(device: torch.device) -> dict[str, Any]:
    """Peak of the stage, which must have reset the device's statistics when it began."""
    if device.type != "cuda":
        return {}
    return {"peak_gpu_memory_mib": round(torch.cuda.max_memory_allocated(device) / 2**20)}


def _weights_metadata(spec: TrialSpec, directory: RunDirectory, video_set: VideoSet, iterations: int) -> dict[str, str]:
    return {
        "trial": spec.name,
        "profile": spec.profile,
        "seed": str(directory.seed),
        "iteration": str(iterations),
        "spec_sha256": sha256_of(directory.spec),
        "num_categories": str(video_set.num_categories),
        "category_names": json.dumps([category.name for category in video_set.categories]),
        "category_ids": json.dumps([category.id for category in video_set.categories]),
        "spec": dump_spec(_without_place(spec)),
    }


def _without_place(spec: TrialSpec) -> TrialSpec:
    """The spec without the folder of its data, which means nothing elsewhere."""
    if not isinstance(spec.data.source, FileSource):
        return spec
    source = spec.data.source.model_copy(update={"root": None})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})


@dataclass(frozen=True, slots=True)
class _Start:
    """What a training starts from: a file of weights, or None for the backbone alone."""

    source: str
    weights: Path | None

    def apply(
        self, model: ObjProp, init: InitSpec, category_names: Sequence[str], reporter: Reporter
    ) -> dict[str, Any]:
        """Put the weights into a fresh model of these categories; the record of it for provenance.json."""
        if self.weights is not None:
            report = load_for_categories(model, self.weights, category_names, allow_mismatch=init.allow_mismatch)
            reporter.message(f"starts from {self.source}: {report.summary()}")
            record = {
                "source": self.source,
                "sha256": sha256_of(self.weights),
                "network_sha256": digest_of_file(self.weights),
                "report": report.summary(),
            }
            if fills_backbone(report):
                return record
            return record | {"backbone": _start_backbone(model, init, reporter)}
        return {"source": self.source, "sha256": None, "report": _start_backbone(model, init, reporter)}


def _start_backbone(model: ObjProp, init: InitSpec, reporter: Reporter) -> str | None:
    """Put trained weights into a fresh backbone, and say which; None where it starts from random numbers."""
    from vistrials.weights.backbones import load_backbone

    report = load_backbone(model, init.backbone)
    if report is not None:
        reporter.message(f"backbone starts from {init.backbone}: {report}")
    return report


def _find_start(job: _Job) -> _Start:
    """What the spec names as its start; a trial is trained first."""
    kind, name = job.spec.init.source
    if kind == "weights":
        return _Start(name, weights_file(name))
    if kind == "backbone":
        return _Start(f"backbone {name}", None)
    return _train_start(job, _job_of_start(job, name))


def _train_start(job: _Job, earlier: _Job) -> _Start:
    """The weights of the trial that this one starts from, which is trained here if it is not yet."""
    directory, name = earlier.directory, earlier.spec.name

    def say_waiting() -> None:
        job.reporter.stage(f"wait for {name}", None)
        job.reporter.message(f"waiting: {job.spec.name} starts from {name}, which another process is training")

    with directory.lock(before_wait=say_waiting):
        if not directory.is_trained():
            settings = f" with {', '.join(earlier.overrides)}" if earlier.overrides else ""
            job.reporter.message(f"{job.spec.name} starts from {name}, which is trained first{settings}")
            _prepare(earlier)
            with Heartbeat(directory.activity, job.reporter) as heartbeat:
                _train(replace(earlier, reporter=heartbeat))
        elif differences := directory.differences(earlier.spec):
            job.reporter.warning(f"starts from {directory.path}, trained with other settings: {differences}")
        check_recorded(directory)
        # Also where it was trained before: on other data its categories and videos would be others.
        record_data(directory.provenance, "train", job.splits.load("train")[0].annotations)
    return _Start(f"trial {name}, seed {job.seed}", directory.weights)


def passed_on(overrides: Sequence[str]) -> tuple[str, ...]:
    """Settings given by hand that reach the trial that another one starts from."""
    return overrides_within(overrides, _PASSED_ON)


def _job_of_start(job: _Job, trial: str) -> _Job:
    """The trial that another one starts from, on the same data.

    Settings given by hand reach it where they say how to train at all; those of model and inference are the trial's.
    """
    overrides = passed_on(job.overrides)
    spec = job.starts.get(trial) or load_trial(trial, job.spec.profile, overrides)
    data = spec.data.model_copy(update={"source": job.spec.data.source, "splits": job.spec.data.splits})
    spec = spec.model_copy(update={"data": data})
    directory = RunDirectory.for_spec(spec, job.directory.results_dir, job.seed)
    return replace(job, spec=spec, directory=directory, overrides=overrides)


def _infer(job: _Job, split: str) -> None:
    spec, directory = job.spec, job.directory
    if not directory.is_trained():
        raise RunError(f"{directory.path}: no weights to predict with; {directory.how_to_predict(split)}")
    data, video_set = job.splits.load(split)
    data_digest = record_data(directory.provenance, split, data.annotations)
    names = [category.name for category in video_set.categories]
    weights_digest = check_recorded(directory)
    metadata = read_metadata(directory.weights)
    trained = json.loads(metadata.get("category_names", json.dumps(names)))
    _check_categories(trained, names, data.annotations)
    model = build_model(spec.model, video_set.num_categories)
    load_weights(model, directory.weights, allow_missing=False)
    chosen = _how_chosen(directory.weights)
    if chosen:
        job.reporter.message(
            f"predicts with the best weights of the training, of iteration {chosen['weights_iteration']}"
        )
    # What is recorded of a split with figures is how these came about.
    record = nullcontext({}) if directory.is_evaluated(split) else _record_inference(job, split)
    files = PredictionFiles(directory.predictions(split), directory.partial_predictions(split))
    with record as entry:
        network_digest = digest_of_tensors(model.state_dict())
        if job.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(job.device)
        summary = predict_split(
            model.to(job.device),
            video_set,
            spec.data.image_size_px,
            spec.inference,
            files,
            digest=result_digest(spec, data_digest, weights_digest, sections=("model", "inference")),
            reporter=job.reporter,
            title=f"infer {spec.name} on {split}",
            devices=each_of(job.device, job.num_devices),
        )
        entry |= (
            _gpu_memory(job.device)
            | chosen
            | {
                "weights_sha256": weights_digest,
                "network_sha256": network_digest,
                **({ROUNDED_FROM: metadata[ROUNDED_FROM]} if ROUNDED_FROM in metadata else {}),
                "videos": summary.videos,
                "frames": summary.frames,
                "tracks": summary.tracks,
                "seconds_per_frame": round(summary.seconds / summary.frames, 5),
                "processes": summary.processes,
            }
        )
    join_predictions(files)


def _how_chosen(weights: Path) -> dict[str, Any]:
    """Iteration and figures of weights that validations chose; nothing of those of a last iteration."""
    metadata = read_metadata(weights)
    if _CHOSEN not in metadata:
        return {}
    return {"weights_iteration": int(metadata["iteration"]), "weights_chosen_by": json.loads(metadata[_CHOSEN])}


def _record_inference(job: _Job, split: str) -> AbstractContextManager[dict[str, Any]]:
    goes_on = job.directory.partial_predictions(split).exists()
    device = describe_device(str(job.device))
    return record_stage(job.directory.provenance, f"infer/{split}", device, goes_on=goes_on)


def _hold_against_figures(job: _Job, split: str) -> None:
    """Say so where a split that is predicted again has other figures than those that are here, which stay."""
    directory = job.directory
    data, _ = job.splits.load(split)
    recorded, found = directory.read_metrics(split), evaluate_files(data.annotations, directory.predictions(split))
    if all(math.isclose(recorded.get(name, math.nan), value, abs_tol=1e-9) for name, value in found.figures.items()):
        return
    again = {"environment": describe_environment(), "figures": found.figures}
    update_provenance(directory.provenance, predicted_again={split: again})
    job.reporter.warning(
        f"split {split}, predicted again here, has AP {100 * found.figures['AP']:.2f}, but "
        f"{100 * recorded['AP']:.2f} in {directory.metrics(split).name}, which stays: another processor or library "
        f"rounds otherwise; `{directory.command('run', '--force')}` redoes all of the run"
    )


def _check_categories(expected: list[str], found: list[str], annotations: Path) -> None:
    """A label means the same in the data that trained the weights and in the data to predict."""
    if found != expected:
        first = next((pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), None)
        detail = f"{first[0]!r} was trained where {first[1]!r} is listed" if first else "the others agree"
        raise DataError(
            f"{annotations}: expected the {len(expected)} categories of the training data in their order, "
            f"found {len(found)}: {detail}"
        )


def _evaluate(job: _Job, split: str) -> None:
    spec, directory = job.spec, job.directory
    if not directory.unscored(spec, split):
        return
    directory.check_predicted(split)
    data, video_set = job.splits.load(split)
    if not any(video.tracks for video in video_set.videos):
        record_data(directory.provenance, split, data.annotations)
        job.reporter.warning(
            f"{data.annotations.name} has no annotations, so split {split} is predicted but not scored; "
            "`vistrials data split TRAIN.json` makes a split that can be scored here, "
            f"and {directory.predictions(split)} is what an evaluation server reads"
        )
        return
    video_ids = tuple(sorted(video.id for video in video_set.videos))
    for truth in directory.unscored(spec, split):
        _score(job, split, scored_name(split, truth), annotations_of(data.annotations, truth), video_ids)


def _score(job: _Job, split: str, name: str, annotations: Path, video_ids: tuple[int, ...]) -> None:
    spec, directory = job.spec, job.directory
    record_data(directory.provenance, name, annotations)
    with record_stage(directory.provenance, f"evaluate/{name}", describe_device("cpu"), goes_on=False):
        job.reporter.stage(f"evaluate {spec.name} on {name}", None)
        evaluation = evaluate_files(annotations, directory.predictions(split))
        for warning in evaluation.warnings:
            job.reporter.warning(f"{name}: {warning}")
        matches = StoredMatches(video_ids, evaluation.category_ids, evaluation.matches)
        save_matches(directory.matches(name), matches)
    # The figures come last: they say that the split is evaluated.
    figures = {"trial": spec.name, "profile": spec.profile, "seed": job.seed, "split": name}
    save_json_atomic(directory.metrics(name), figures | evaluation.to_dict(), indent=2)
