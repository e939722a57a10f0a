"""Settings that somebody wrote although another one leaves them without effect: refused, with the reason."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vistrials.errors import SpecError
from vistrials.specs.merging import Layer, layer_number, value_at
from vistrials.specs.trial import TrialSpec


@dataclass(frozen=True, slots=True)
class _Rule:
    """`reason` tells why the setting at `path` is without effect beside the one at `beside`, or None where it has one.

    What stands in a trial may still be for another profile; with `by_hand_only` just overrides are refused.
    """

    path: str
    beside: str
    reason: Callable[[TrialSpec, bool], str | None]
    by_hand_only: bool = False


def refuse_without_effect(spec: TrialSpec, layers: Sequence[Layer], num_given: int) -> None:
    """Refuse what a layer sets, where a setting of the same or a lower layer leaves it without effect.

    A layer above may do that: `train.max_iters=5` over a trial that counts epochs makes it short.

    Args:
        spec: that the layers make.
        layers: lowest first.
        num_given: how many of them stand below the overrides by hand, which count as one layer; the first says what is
            there to begin with and is never refused.

    Raises:
        SpecError: naming the layer, the setting and the reason.
    """
    for rule in _RULES:
        written, ruled = (layer_number(path, layers) for path in (rule.path, rule.beside))
        if written < (num_given if rule.by_hand_only else 1) or not value_at(rule.path, layers[written].values):
            continue
        written_level, ruled_level = min(written, num_given), min(ruled, num_given)
        if written_level < ruled_level:
            continue
        reason = rule.reason(spec, written_level == ruled_level)
        if reason is not None:
            raise SpecError(f"{layers[written].source}: {rule.path}: without effect in {spec.name}: {reason}")


def _epochs(spec: TrialSpec, together: bool) -> str | None:
    train = spec.train
    if train.max_iters is None or (together and train.schedule.kind == "step"):  # whose milestones refer to epochs
        return None
    return f"train.max_iters says how long it trains, {train.max_iters}; set that to null to train for epochs"


def _num_workers(spec: TrialSpec, together: bool) -> str | None:
    if not spec.train.cache_frames:
        return None
    return (
        "train.cache_frames keeps the frames in the training process, which loads them itself; "
        "set that to false to load in other processes"
    )


def _num_samples(spec: TrialSpec, together: bool) -> str | None:
    affinity = spec.model.propagation.affinity if spec.model.propagation else None
    if affinity is None or affinity.kind != "weighted" or affinity.scope == "per_sample":
        return None
    return f"it counts the matrices of scope per_sample, and the scope is {affinity.scope}; leave it out"


def _propagation_at_inference(spec: TrialSpec, together: bool) -> str | None:
    if spec.model.propagation is None or spec.model.propagation.at_inference:
        return None
    return "model.propagation.at_inference is false, so nothing is propagated then; leave it out"


def _validation(spec: TrialSpec, together: bool) -> str | None:
    if spec.train.validation is None or spec.train.max_iters != 0:
        return None
    return "train.max_iters is 0, so there is no training to score; leave it out"


def _num_references(spec: TrialSpec, together: bool) -> str | None:
    if spec.train.max_iters != 0 or spec.data.num_references == 1:
        return None
    return "train.max_iters is 0, so there is no training to take samples for; leave it out"


def _start(spec: TrialSpec, together: bool) -> str | None:
    if spec.init.source[0] != "weights":
        return None
    return f"it starts from init.weights, {spec.init.weights}; set that to null as well"


_OF_PROPAGATION_AT_INFERENCE = (
    "sigma_cells",
    "history_frames",
    "mask_threshold",
    "network_px_propagation",
    "min_peak",
    "visible_only",
    "keep_alive_frames",
    "score_decay",
    "gap_frames",
    "affinity.at_inference",
)


def _rules() -> Iterator[_Rule]:
    yield _Rule("train.epochs", "train.max_iters", _epochs)
    yield _Rule("train.num_workers", "train.cache_frames", _num_workers)
    yield _Rule("train.validation", "train.max_iters", _validation)
    yield _Rule("data.num_references", "train.max_iters", _num_references)
    yield _Rule("model.propagation.affinity.num_samples", "model.propagation.affinity.scope", _num_samples)
    for field in _OF_PROPAGATION_AT_INFERENCE:
        yield _Rule(f"model.propagation.{field}", "model.propagation.at_inference", _propagation_at_inference)
    for field in ("from", "backbone"):
        yield _Rule(f"init.{field}", "init.weights", _start, by_hand_only=True)


_RULES = tuple(_rules())
