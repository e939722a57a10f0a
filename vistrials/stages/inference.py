"""The stage that predicts a split."""

import json
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from vistrials.engine.devices import each_of
from vistrials.engine.inference import PredictionFiles, join_predictions, predict_split
from vistrials.errors import RunError
from vistrials.models.objprop import build_model
from vistrials.runs.directory import result_digest
from vistrials.runs.provenance import describe_device, record_data, record_stage
from vistrials.stages.job import Job, check_categories, gpu_memory
from vistrials.stages.metadata import how_chosen
from vistrials.weights.files import ROUNDED_FROM, digest_of_tensors, load_weights, read_metadata
from vistrials.weights.recorded import check_recorded


def infer(job: Job, split: str) -> None:
    """Predict a split with the weights of the run; videos that an interrupted call has predicted are kept.

    Raises:
        RunError: no weights, or other ones than the run has recorded.
        DataError: the categories of the split are not those of the training data.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    spec, directory = job.spec, job.directory
    if not directory.is_trained():
        raise RunError(f"{directory.path}: no weights to predict with; {directory.how_to_predict(split)}")
    data, video_set = job.splits.load(split)
    data_digest = record_data(directory.provenance, split, data.annotations)
    names = [category.name for category in video_set.categories]
    weights_digest = check_recorded(directory)
    metadata = read_metadata(directory.weights)
    trained = json.loads(metadata.get("category_names", json.dumps(names)))
    check_categories(trained, names, data.annotations)
    model = build_model(spec.model, video_set.num_categories)
    load_weights(model, directory.weights, allow_missing=False)
    chosen = how_chosen(metadata)
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
            gpu_memory(job.device)
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


def _record_inference(job: Job, split: str) -> AbstractContextManager[dict[str, Any]]:
    goes_on = job.directory.partial_predictions(split).exists()
    device = describe_device(str(job.device))
    return record_stage(job.directory.provenance, f"infer/{split}", device, goes_on=goes_on)
