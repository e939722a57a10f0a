"""What is looked at before a run works: mistakes that would otherwise break it hours later."""

from collections.abc import Sequence

from vistrials.engine.devices import inference_autocast
from vistrials.errors import CheckpointError, DataError
from vistrials.formats.amodal import annotations_of
from vistrials.models.objprop import build_model
from vistrials.specs.custom import custom_parts
from vistrials.specs.trial import TrialSpec
from vistrials.stages.job import Job, check_categories
from vistrials.stages.starts import job_of_start
from vistrials.stages.validating import find_truth
from vistrials.weights.category_rows import category_names
from vistrials.weights.files import name_weights, read_metadata
from vistrials.weights.shipped import weights_file
from vistrials.weights.starts import holds_backbone


def check_before_work(job: Job, stages: Sequence[str], force: bool) -> None:
    """Find mistakes now that would break the run hours later, or after --force has removed its results."""
    spec, directory = job.spec, job.directory
    if custom_parts(spec):
        build_model(spec.model, num_categories=1)
    if "infer" in stages:
        inference_autocast(spec.inference.precision, job.device)
    is_to_train = "train" in stages and (force or not directory.is_trained())
    first = _find_first(job) if is_to_train and (force or not directory.has_checkpoint()) else None
    todo = [split for split in spec.data.splits if force or directory.unscored(spec, split)]
    if todo:
        _check_data(job, todo, stages, force, is_to_train)
    # Last, since it may download: nobody waits for that to hear that there are no data.
    if first is not None:
        _check_initial_weights(first)


def _find_first(job: Job) -> TrialSpec | None:
    """The spec whose training comes first: this one's, or that of a trial it starts from; None where that one goes on.

    Raises:
        RunError: that one has outputs of weights that are not here.
    """
    kind, trial = job.spec.init.source
    if kind != "trial":
        return job.spec
    earlier = job_of_start(job, trial)
    if earlier.directory.is_trained() or earlier.directory.has_checkpoint():
        return None
    earlier.directory.check_trainable()
    return _find_first(earlier)


def _check_data(job: Job, todo: Sequence[str], stages: Sequence[str], force: bool, is_to_train: bool) -> None:
    """Make sure that splits to train on, to predict and to score are there, with frames and the same categories."""
    spec, directory, found = job.spec, job.directory, []
    for split in (["train"] if is_to_train else []) + list(todo):
        data, video_set = job.splits.load(split)
        found.append((data.annotations, [category.name for category in video_set.categories]))
        if split in todo and "evaluate" in stages:
            for scored_against in spec.data.truths:
                annotations_of(data.annotations, scored_against)
    if is_to_train and (truth := find_truth(job)):
        inference_autocast(spec.inference.precision, job.device)
        found.append((truth.annotations, [category.name for category in truth.video_set.categories]))
    unpredicted = [split for split in todo if force or not directory.is_inferred(split)] if "infer" in stages else []
    for split in (["train"] if is_to_train else []) + unpredicted:
        job.splits.require_frames(split)
    for annotations, names in found[1:]:
        check_categories(found[0][1], names, annotations)
    if is_to_train:
        _check_known_categories(spec, found[0][1])


def _check_initial_weights(spec: TrialSpec) -> None:
    """Make sure that the weights that a training starts from are available."""
    kind, name = spec.init.source
    if kind == "backbone":
        _check_backbone(spec)
        return
    weights = weights_file(name)
    read_metadata(weights)
    if holds_backbone(weights, spec.model):
        return
    try:
        _check_backbone(spec)
    except CheckpointError as error:
        raise CheckpointError(
            f"{name_weights(weights)}: nothing fits the backbone of {spec.name}, profile {spec.profile}, and {error}"
        ) from None


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
