"""Scoring a training while it goes on, to keep its best weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from vistrials.engine.inference import PredictionFiles
from vistrials.engine.inference import infer as infer_split
from vistrials.engine.reporting import Reporter
from vistrials.engine.validation import Validated, Validation
from vistrials.errors import DataError, RunError
from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats.files import sha256_of
from vistrials.models.objprop import build_model
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.specs.trial import TrialSpec
from vistrials.stages.job import Job
from vistrials.stages.metadata import CHOSEN, weights_metadata
from vistrials.structures.video import VideoSet
from vistrials.weights.files import digest_of_tensors, save_weights
from vistrials.weights.recorded import read_own_metadata


@dataclass(frozen=True, slots=True)
class Truth:
    """An annotated split that a training is scored on."""

    split: str
    annotations: Path
    video_set: VideoSet


def find_truth(job: Job) -> Truth | None:
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
    return Truth(split, data.annotations, video_set)


def build_validation(fabric: Fabric, spec: TrialSpec, directory: RunDirectory, truth: Truth) -> Validation:
    """What scores a training on `truth` while it goes on, and keeps its best weights in the run's folder."""
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
        metadata = weights_metadata(spec, directory, truth.video_set, found.iteration)
        chosen = {"split": truth.split, **found.figures}
        save_weights(directory.best_weights, model, metadata | {CHOSEN: json.dumps(chosen)})

    return Validation(
        spec.train.validation, truth.split, directory.validation, directory.best_weights, score, save_best
    )


def check_best(directory: RunDirectory, validation: Validation) -> None:
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


def best_of(validation: Validation) -> dict[str, Any]:
    """For the record of a training: which of its validations gave the weights of the run."""
    best = validation.best
    assert best is not None
    return {"split": validation.split, "validations": len(validation.records), "best": best.to_json()}
