"""The stage that scores the predictions of a split."""

import math
from pathlib import Path

from vistrials.evaluation.stored_matches import StoredMatches, save_matches
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats.amodal import annotations_of
from vistrials.formats.json_file import save_json_atomic
from vistrials.runs.provenance import (
    describe_device,
    describe_environment,
    record_data,
    record_stage,
    update_provenance,
)
from vistrials.specs.truths import scored_name
from vistrials.stages.job import Job


def evaluate(job: Job, split: str) -> None:
    """Score the predictions of a split against each truth that has no figures yet; without annotations, say so.

    Raises:
        RunError: no predictions.
    """
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


def _score(job: Job, split: str, name: str, annotations: Path, video_ids: tuple[int, ...]) -> None:
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


def hold_against_figures(job: Job, split: str) -> None:
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
