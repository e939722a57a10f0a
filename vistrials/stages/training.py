"""The stage that trains, in one process or several."""

import os
from typing import Any

import torch
from lightning_fabric import Fabric

from vistrials.data.loading import build_pair_loader
from vistrials.engine.devices import build_fabric
from vistrials.engine.distribution import launch
from vistrials.engine.reporting import Reporter
from vistrials.engine.seeding import seed_everything
from vistrials.engine.training import TrainingFiles, fit
from vistrials.formats.files import sha256_of
from vistrials.models.objprop import build_model
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.runs.provenance import describe_device, describe_threads, record_data, record_stage, update_provenance
from vistrials.specs.trial import TrialSpec
from vistrials.stages.job import Job, gpu_memory
from vistrials.stages.metadata import weights_metadata
from vistrials.stages.starts import Start, find_start
from vistrials.stages.validating import Truth, best_of, build_validation, check_best, find_truth
from vistrials.structures.video import VideoSet
from vistrials.weights.files import digest_of_file, save_weights
from vistrials.weights.recorded import read_own_metadata


def train(job: Job) -> None:
    """Train a run that has no weights yet, from its last checkpoint if there is one; writes weights and losses.

    Raises:
        RunError: outputs of other weights are there, or a file of an interrupted training is damaged.
        VistrialsError: as for what it starts from, and for its data.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    spec, directory = job.spec, job.directory
    if directory.is_trained():
        return
    directory.check_trainable()
    fabric = build_fabric(job.device, spec.train.precision, job.num_devices)
    start = find_start(job, train)
    data, video_set = job.splits.load("train")
    data_digest = record_data(directory.provenance, "train", data.annotations)
    digest = result_digest(spec, data_digest, str(job.seed))
    truth = find_truth(job)
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
            "network_sha256": digest_of_file(trained),
        }
    os.replace(trained, directory.weights)
    # Beyond the weights they have only what a training needs to continue, and this one is over.
    directory.remove_leftovers()


def _train_process(
    fabric: Fabric,
    reporter: Reporter,
    spec: TrialSpec,
    directory: RunDirectory,
    video_set: VideoSet,
    start: Start,
    digest: str,
    truth: Truth | None,
) -> dict[str, Any]:
    """One process of a training; rank 0 writes the files. Returns entries for the record of the stage."""
    validation = build_validation(fabric, spec, directory, truth) if truth is not None else None
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
        metadata = weights_metadata(spec, directory, video_set, iterations)
        save_weights(directory.last_weights, model, metadata)
        if validation is not None and validation.best is not None:
            check_best(directory, validation)
            entry["validation"] = best_of(validation)
            reporter.message(f"keeps the best weights, {validation.best.describe(validation.split)}")
    return entry | gpu_memory(fabric.device)
