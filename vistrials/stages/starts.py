"""What a training starts from: weights of a file or of another trial, which is trained first, or a backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vistrials.engine.heartbeat import Heartbeat
from vistrials.engine.reporting import Reporter
from vistrials.formats.files import sha256_of
from vistrials.models.objprop import ObjProp
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import record_data
from vistrials.specs.loading import load_trial, overrides_within
from vistrials.specs.training import InitSpec
from vistrials.stages.job import Job, prepare
from vistrials.weights.category_rows import load_for_categories
from vistrials.weights.files import digest_of_file
from vistrials.weights.recorded import check_recorded
from vistrials.weights.shipped import weights_file
from vistrials.weights.starts import fills_backbone

# Settings that a trial shares with the one that it starts from.
_PASSED_ON = ("data", "train", "init.backbone")


@dataclass(frozen=True, slots=True)
class Start:
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


def find_start(job: Job, train: Callable[[Job], None]) -> Start:
    """What the spec names as its start; a trial is trained first, by `train`, if it is not yet."""
    kind, name = job.spec.init.source
    if kind == "weights":
        return Start(name, weights_file(name))
    if kind == "backbone":
        return Start(f"backbone {name}", None)
    return _train_start(job, job_of_start(job, name), train)


def _train_start(job: Job, earlier: Job, train: Callable[[Job], None]) -> Start:
    """The weights of the trial that this one starts from, which is trained here if it is not yet."""
    directory, name = earlier.directory, earlier.spec.name

    def say_waiting() -> None:
        job.reporter.stage(f"wait for {name}", None)
        job.reporter.message(f"waiting: {job.spec.name} starts from {name}, which another process is training")

    with directory.lock(before_wait=say_waiting):
        if not directory.is_trained():
            settings = f" with {', '.join(earlier.overrides)}" if earlier.overrides else ""
            job.reporter.message(f"{job.spec.name} starts from {name}, which is trained first{settings}")
            prepare(earlier)
            with Heartbeat(directory.activity, job.reporter) as heartbeat:
                train(replace(earlier, reporter=heartbeat))
        elif differences := directory.differences(earlier.spec):
            job.reporter.warning(f"starts from {directory.path}, trained with other settings: {differences}")
        check_recorded(directory)
        # Also where it was trained before: on other data its categories and videos would be others.
        record_data(directory.provenance, "train", job.splits.load("train")[0].annotations)
    return Start(f"trial {name}, seed {job.seed}", directory.weights)


def passed_on(overrides: Sequence[str]) -> tuple[str, ...]:
    """Settings given by hand that reach the trial that another one starts from."""
    return overrides_within(overrides, _PASSED_ON)


def job_of_start(job: Job, trial: str) -> Job:
    """The trial that another one starts from, on the same data.

    Settings given by hand reach it where they say how to train at all; those of model and inference are the trial's.
    """
    overrides = passed_on(job.overrides)
    spec = job.starts.get(trial) or load_trial(trial, job.spec.profile, overrides)
    data = spec.data.model_copy(update={"source": job.spec.data.source, "splits": job.spec.data.splits})
    spec = spec.model_copy(update={"data": data})
    directory = RunDirectory.for_spec(spec, job.directory.results_dir, job.seed)
    return replace(job, spec=spec, directory=directory, overrides=overrides)
