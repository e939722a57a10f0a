"""The training loop. It knows no category and no head: a model is something that turns a batch into losses."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vistrials.engine.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from vistrials.engine.interruption import Interrupted, StopRequest
from vistrials.engine.loss_log import LossLog
from vistrials.engine.optimisation import build_optimizer, learning_rate_factor, total_iterations
from vistrials.engine.reporting import Reporter
from vistrials.engine.seeding import seed_step
from vistrials.errors import DataError, VistrialsError
from vistrials.specs.training import TrainSpec

_SHOWN_MEAN_ITERS = 50


class TrainingError(VistrialsError):
    """A training that cannot go on."""


class PairLoader(Protocol):
    """Batches of an epoch; which ones follows from its seed and the epoch alone."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch (0-based) that the next iteration goes through, and the batch that it starts from."""


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Where a training keeps its state and its log."""

    checkpoint: Path
    losses: Path
    tensorboard: Path


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """How a training went. `resumed_from`: steps that an earlier call had finished."""

    iterations: int
    resumed_from: int
    seconds: float


def fit(
    fabric: Fabric,
    model: nn.Module,
    loader: PairLoader,
    spec: TrainSpec,
    files: TrainingFiles,
    *,
    seed: int,
    digest: str,
    reporter: Reporter,
    title: str = "train",
) -> TrainingSummary:
    """Train a model to the end, going on from the checkpoint where there is one.

    Every step draws its random numbers from (seed, iteration, rank), so on the CPU a resumed training equals an
    uninterrupted one bit for bit. With several processes the gradient is the mean over ranks, hence equal to one
    process's only for losses that are means over images: losses divided by counts over the batch (sampled anchors,
    RoIs) and batch statistics are taken per rank.

    Args:
        fabric: device, processes and precision.
        model: batch -> dict of scalar tensors; those whose names start with "loss_" are summed and minimised. Left on
            the device of `fabric`, trained.
        loader: of this rank.
        spec: optimiser, schedule, clip, lengths.
        files: where checkpoint and log live.
        seed: of the run.
        digest: of everything that changes the result; a checkpoint of another digest is refused.
        reporter: hears of each step, with means over the last 50.
        title: of the stage, for the reporter.

    Raises:
        TrainingError: a loss or the gradient is no longer finite.
        Interrupted: stopped by a signal, after the step was finished and saved.
        CheckpointError: the checkpoint belongs to another spec.
        DataError: the loader has no batch.
    """
    if len(loader) == 0:
        raise DataError("training data: expected at least one batch of key frames, found none")
    total_iters = total_iterations(spec, len(loader))
    optimizer = build_optimizer(spec.optimizer, model.parameters(), fused=spec.precision != "16-mixed")
    wrapped_model, wrapped_optimizer = fabric.setup(model, optimizer)
    start = _resume(fabric, model, optimizer, files.checkpoint, digest)
    model.train()

    reporter.stage(title, total_iters)
    reporter.advance(start)
    recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_SHOWN_MEAN_ITERS))
    began = iteration_began = time.perf_counter()
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        log = _open_log(fabric, files, start, stack)
        for iteration, batch in _numbered_batches(loader, start, total_iters, stop):
            data_seconds = time.perf_counter() - iteration_began
            seed_step(seed, iteration, fabric.global_rank)
            lr = spec.optimizer.lr * learning_rate_factor(spec.schedule, iteration, total_iters, spec.epochs)
            for group in optimizer.param_groups:
                group["lr"] = lr

            scalars = wrapped_model(fabric.to_device(batch))
            total = sum_losses(scalars)
            fabric.backward(total)
            values, stopping = _mean_over_ranks(fabric, {**scalars, "loss_total": total}, stop.requested)
            _check_finite(values, iteration)
            grad_norm = fabric.clip_gradients(
                wrapped_model, wrapped_optimizer, max_norm=spec.clip_grad_norm or math.inf, error_if_nonfinite=False
            )
            values |= {"lr": lr, "grad_norm": float(grad_norm)}
            if spec.precision != "16-mixed":  # whose scaler skips a step with such gradients and scales less
                _check_finite({"grad_norm": values["grad_norm"]}, iteration)
            wrapped_optimizer.step()
            wrapped_optimizer.zero_grad()

            done = iteration + 1
            now = time.perf_counter()
            values |= {"seconds": now - iteration_began, "data_seconds": data_seconds}
            iteration_began = now
            if log is not None:
                log.write({"iter": done, "epoch": 1 + iteration // len(loader), **values})
            reporter.advance(1, **_running_means(recent, values))
            if stopping or done == total_iters or done % spec.checkpoint_every_iters == 0:
                _save(fabric, model, optimizer, files.checkpoint, digest, done)
            if stopping and done < total_iters:
                raise Interrupted(f"stopped after iteration {done} of {total_iters}; the same command goes on from there")
        if stop.requested and start == total_iters:
            raise Interrupted("stopped; the same command goes on from here")
    return TrainingSummary(total_iters, start, time.perf_counter() - began)


def sum_losses(scalars: dict[str, Tensor]) -> Tensor:
    """The sum of all entries whose names start with "loss_"."""
    losses = [value for name, value in scalars.items() if name.startswith("loss_")]
    if not losses:
        raise TrainingError(f"the model returned no loss: expected names that start with loss_, found {list(scalars)}")
    return torch.stack([loss.float() if loss.dtype == torch.float16 else loss for loss in losses]).sum()
