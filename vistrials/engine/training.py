"""The training loop. It knows no category and no head: a model is what turns a batch into losses."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.loss_log import LossLog, check_log
from vistrials.engine.optimisation import build_optimizer, learning_rate_factor
from vistrials.engine.reporting import Reporter
from vistrials.engine.seeding import seed_step
from vistrials.engine.shared_batch import Ranks, share_batch_norms
from vistrials.engine.training_state import TrainingState, load_last_checkpoint, save_checkpoint
from vistrials.engine.validation import CHOSEN_BY, Validation
from vistrials.errors import CheckpointError, ProcessDied, VistrialsError
from vistrials.freed_memory import keep_freed_memory
from vistrials.models.shared_batch import part_of
from vistrials.specs.training import TrainSpec

SHOWN_MEAN_ITERS = 50

_STOPPING = (
    "stopping: finishes this step and saves it; Ctrl-C again stops at once and loses the steps since the last save"
)

_DIVERGED = (
    "expected finite numbers; nothing of it was saved; lower train.optimizer.lr or train.clip_grad_norm, "
    "or check the data with `vistrials data check`"
)


class TrainingError(VistrialsError):
    """A training that cannot continue."""


class BatchLoader(Protocol):
    """Batches without end; each follows from the seed and its number alone."""

    iters_per_epoch: int

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Where a training keeps its last two states and its log."""

    checkpoint: Path
    previous_checkpoint: Path
    losses: Path
    tensorboard: Path


def fit(
    fabric: Fabric,
    model: nn.Module,
    load_batches: Callable[[int], BatchLoader],
    spec: TrainSpec,
    files: TrainingFiles,
    *,
    seed: int,
    digest: str,
    reporter: Reporter,
    title: str = "train",
    validation: Validation | None = None,
) -> int:
    """Train a model to the end, from its checkpoint if there is one.

    Every step draws its random numbers from (seed, iteration, rank), so on the CPU a resumed training equals
    an uninterrupted one bit for bit. Several processes are parts of one batch (`engine.shared_batch`): counts that
    losses are divided by, samples of anchors and RoIs and batch statistics are those of the whole, so that they equal
    one process but for rounding. What a module of the user's own draws (dropout, a sampler) differs by rank.

    Validations change nothing in all that. Each has a checkpoint before it, so that one that is broken off is made
    again when the training continues; rank 0 scores, and the others wait.

    Args:
        fabric: device, processes and precision, launched.
        model: batch -> dict of scalar tensors; those whose names start with "loss_" are summed and minimised.
            Ends up trained, on the device of `fabric`.
        load_batches: number of the first batch -> loader of this rank.
        spec: optimiser, schedule, clip, lengths.
        files: where checkpoint and log live.
        seed: of the run.
        digest: of everything that changes the result; a checkpoint of another digest is refused.
        reporter: hears of each step, with means over the last 50.
        title: of the stage, for the reporter.
        validation: scores the model now and then, and may end the training early.

    Returns:
        Steps of the whole training, those of earlier calls among them.

    Raises:
        TrainingError: a loss, the gradient or a weight is no longer finite; or, after all steps were saved, a process
            that loads data died.
        Interrupted: stopped by a signal, after the step was finished and saved.
        CheckpointError: both checkpoints are damaged, or the last belongs to another spec.
        RunError: the log lacks steps that the checkpoint holds.
        VistrialsError: the validation could not be made.
    """
    optimizer = build_optimizer(spec.optimizer, model.parameters(), fused=spec.precision != "16-mixed")
    step = _Step(fabric, model, optimizer, spec, seed)
    checkpoints = _Checkpoints(fabric, model, optimizer, files, digest)
    start = checkpoints.resume(reporter)
    check_log(files.losses, start)
    loader = load_batches(start)
    total_iters = spec.total_iters(loader.iters_per_epoch)
    if start > total_iters:
        raise CheckpointError(
            f"{files.checkpoint}: iteration: expected at most {total_iters}, the length of the training, found "
            f"{start}; train from the start with --force"
        )
    model.train()
    reporter.stage(title, total_iters)
    reporter.advance(start)
    means = RunningMeans(SHOWN_MEAN_ITERS)

    announce = partial(reporter.message, _STOPPING)
    with keep_freed_memory(), StopRequest(announce=announce) as stop, _open_log(fabric, files, start) as log:
        batches = _until_stopped(loader, stop)
        validations = _Validations(fabric, model, validation, total_iters, log, reporter)
        if validations.resume(start):
            return start
        for done in range(start, total_iters):
            step_began = time.perf_counter()
            try:
                batch = next(batches, None)
            except ProcessDied as error:
                checkpoints.save(done, log)
                raise TrainingError(f"{error}; {_how_to_go_on(done, total_iters)}") from None
            if batch is None:
                checkpoints.save(done, log)
                raise Interrupted(_how_to_go_on(done, total_iters))
            data_seconds = time.perf_counter() - step_began
            values, stopping = step.take(batch, done, total_iters, stop)
            values |= {"seconds": time.perf_counter() - step_began, "data_seconds": data_seconds}
            if log is not None:
                log.write({"iter": done + 1, "epoch": 1 + done // loader.iters_per_epoch} | values)
            shown = means.update({name: values[name] for name in ("loss_total", "seconds")})
            reporter.advance(1, **shown, lr=values["lr"], **validations.shown)
            is_due = validations.is_due(done + 1)
            if stopping or is_due or (done + 1) % spec.checkpoint_every_iters == 0 or done + 1 == total_iters:
                checkpoints.save(done + 1, log)
            if stopping:
                raise Interrupted(_how_to_go_on(done + 1, total_iters))
            if is_due and validations.take(done + 1):
                return done + 1
    return total_iters


class _Step:
    """One optimiser step: random numbers, learning rate, losses, gradient, clip, update."""

    def __init__(self, fabric: Fabric, model: nn.Module, optimizer: Optimizer, spec: TrainSpec, seed: int) -> None:
        """Moves the model to its device."""
        self._fabric, self._spec, self._seed = fabric, spec, seed
        self._optimizer = optimizer
        self._ranks: Ranks | None = None
        if fabric.world_size > 1:
            self._ranks = Ranks(fabric.world_size, fabric.global_rank)
            share_batch_norms(model)
        self._wrapped_model, self._wrapped_optimizer = fabric.setup(model, optimizer)

    def take(self, batch: Any, done: int, total_iters: int, stop: StopRequest) -> tuple[dict[str, float], bool]:
        """Take the step after `done` of them.

        Returns:
            The scalars that the model returned, averaged over ranks, loss_total, lr, and grad_norm before the clip; and
            whether any rank was asked to stop.

        Raises:
            TrainingError: a loss or the gradient is no longer finite; the weights stay as they were.
        """
        fabric, spec = self._fabric, self._spec
        seed_step(self._seed, done, fabric.global_rank)
        lr = self._set_learning_rate(done, total_iters)

        with self._as_part(done):
            scalars = self._wrapped_model(fabric.to_device(batch))
        total = sum_losses(scalars)
        fabric.backward(total)
        values, stopping = _mean_over_ranks(fabric, scalars | {"loss_total": total}, stop.requested)
        _check_finite(values, done + 1)

        grad_norm = fabric.clip_gradients(
            self._wrapped_model,
            self._wrapped_optimizer,
            max_norm=spec.clip_grad_norm or math.inf,
            error_if_nonfinite=False,
        )
        values |= {"lr": lr, "grad_norm": float(cast(Tensor, grad_norm))}
        if spec.precision != "16-mixed":  # whose scaler skips such a step and scales the next one less
            _check_finite(values, done + 1)
        self._wrapped_optimizer.step()
        self._wrapped_optimizer.zero_grad()
        return values, stopping

    def _as_part(self, done: int) -> AbstractContextManager[None]:
        if self._ranks is None:
            return nullcontext()
        self._ranks.begin_step(self._seed, done)
        return part_of(self._ranks)

    def _set_learning_rate(self, done: int, total_iters: int) -> float:
        spec = self._spec
        lr = spec.optimizer.lr * learning_rate_factor(spec.schedule, done, total_iters, spec.epochs)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        return lr


@dataclass(frozen=True, slots=True)
class _Checkpoints:
    """The saved state that a training continues from; rank 0 writes it."""

    fabric: Fabric
    model: nn.Module
    optimizer: Optimizer
    files: TrainingFiles
    digest: str

    def resume(self, reporter: Reporter) -> int:
        """Put the saved state in place; the number of steps that it had finished, 0 without one."""
        path, previous = self.files.checkpoint, self.files.previous_checkpoint
        if not (path.exists() or previous.exists()):
            return 0
        state, problem = load_last_checkpoint(path, previous, self.digest)
        try:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.fabric.strategy.precision.load_state_dict(state.grad_scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{path}: of another network ({reason}); train from the start with --force") from None
        if problem is not None:
            reporter.warning(problem)
            self.fabric.barrier()  # until all ranks have read it
            if self.fabric.is_global_zero:
                previous.replace(path)
        return state.iteration

    def save(self, iteration: int, log: LossLog | None) -> None:
        """Save the state after so many steps, and before it what was logged of them.

        Raises:
            TrainingError: the last step has made a weight infinite or NaN; what was saved before stays.
        """
        model = self.model.state_dict()
        broken = next((name for name, value in model.items() if not torch.isfinite(value).all()), None)
        if broken is not None:
            raise TrainingError(f"iteration {iteration}: {broken} holds infinity or NaN after the step: {_DIVERGED}")
        if log is not None:
            log.sync()
        if self.fabric.is_global_zero:
            scaler = self.fabric.strategy.precision.state_dict()
            state = TrainingState(iteration, self.digest, model, self.optimizer.state_dict(), scaler)
            save_checkpoint(self.files.checkpoint, self.files.previous_checkpoint, state)


@dataclass(frozen=True, slots=True)
class _Validations:
    """Lets rank 0 validate while the others wait, so that all end together; does nothing without a validation."""

    fabric: Fabric
    model: nn.Module
    validation: Validation | None
    total_iters: int
    log: LossLog | None
    reporter: Reporter

    @property
    def shown(self) -> dict[str, float]:
        """The last figure, and the best."""
        if self.validation is None or self.validation.best is None:
            return {}
        return {CHOSEN_BY: self.validation.records[-1].score, f"best_{CHOSEN_BY}": self.validation.best.score}

    def is_due(self, iteration: int) -> bool:
        return self.validation is not None and self.validation.is_due(iteration, self.total_iters)

    def resume(self, iteration: int) -> bool:
        """Take up what was found before, and make the validation that was broken off; as `take`."""
        if self.validation is not None and self.fabric.is_global_zero:
            self.validation.resume(iteration)
        return self.is_due(iteration) and self.take(iteration)

    def take(self, iteration: int) -> bool:
        """Validate after so many steps, unless that is done; whether the training is to end here, before its time."""
        validation = self.validation
        fault: Exception | None = None
        assert validation is not None
        if self.fabric.is_global_zero:
            try:
                found = validation.take(self.model, iteration, self.reporter)
                if found is not None and self.log is not None:
                    self.log.write_validation(found.to_json())
            except Interrupted:
                fault = Interrupted(f"in the validation, {_how_to_go_on(iteration, self.total_iters)}")
            except VistrialsError as error:
                fault = error
        ends, fault = self.fabric.broadcast((validation.has_lost_patience, fault))
        if fault is not None:
            raise fault
        if ends and iteration < self.total_iters:
            self.reporter.message(f"stops after iteration {iteration} of {self.total_iters}: the AP no longer rises")
        return ends


def sum_losses(scalars: dict[str, Tensor]) -> Tensor:
    """The sum of all entries whose names start with "loss_"."""
    losses = [value for name, value in scalars.items() if name.startswith("loss_")]
    if not losses:
        raise TrainingError(f"the model returned no loss: expected names that start with loss_, found {list(scalars)}")
    return torch.stack(losses).sum()


class RunningMeans:
    """Means over the last `length` updates, name by name; names need not come every time."""

    def __init__(self, length: int) -> None:
        self._last: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=length))

    def update(self, values: dict[str, float]) -> dict[str, float]:
        """Take in new values; the means of all names seen so far."""
        for name, value in values.items():
            self._last[name].append(value)
        return {name: sum(last) / len(last) for name, last in self._last.items()}


def _open_log(fabric: Fabric, files: TrainingFiles, start: int) -> Any:
    return LossLog(files.losses, files.tensorboard, start) if fabric.is_global_zero else nullcontext()


def _until_stopped(loader: Iterable[Any], stop: StopRequest) -> Iterator[Any]:
    """The batches, until loader processes die of what is to stop the training as well."""
    try:
        yield from loader
    except ProcessDied:
        if not stop.requested:
            raise


def _mean_over_ranks(fabric: Fabric, scalars: dict[str, Tensor], stop: bool) -> tuple[dict[str, float], bool]:
    """Scalars as floats, averaged over ranks in one message, and whether any rank was asked to stop."""
    flag = next(iter(scalars.values())).new_full((), float(stop))
    stacked = torch.stack([*(value.detach() for value in scalars.values()), flag])
    reduced = cast(Tensor, fabric.all_reduce(stacked, reduce_op="mean"))
    *means, stopping = reduced.tolist()
    return dict(zip(scalars, means, strict=True)), stopping > 0


def _check_finite(values: dict[str, float], iteration: int) -> None:
    checked = {name: value for name, value in values.items() if name.startswith("loss_") or name == "grad_norm"}
    broken = [f"{name} is {value}" for name, value in checked.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(f"iteration {iteration}: {', '.join(broken)}: {_DIVERGED}")


def _how_to_go_on(done: int, total_iters: int) -> str:
    return f"stopped after iteration {done} of {total_iters}; the same command continues from there"
