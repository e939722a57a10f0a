"""Optimisation, and what a training starts from."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from vistrials.specs.base import Spec


class SGDSpec(Spec):
    """Stochastic gradient descent (published)."""

    kind: Literal["sgd"] = "sgd"
    """SGD with momentum."""
    lr: PositiveFloat = 0.005
    """Learning rate for the batch size of the spec."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum."""
    weight_decay: NonNegativeFloat = 1e-4
    """On all trainable parameters, norms and biases included."""


class AdamWSpec(Spec):
    """AdamW (embedded data)."""

    kind: Literal["adamw"] = "adamw"
    """AdamW."""
    lr: PositiveFloat = 2e-3
    """Learning rate."""
    weight_decay: NonNegativeFloat = 1e-2
    """Decoupled weight decay."""


class StepSchedule(Spec):
    """Linear warm-up, then a tenth of the learning rate after each milestone (published)."""

    kind: Literal["step"] = "step"
    """Steps at epochs."""
    milestones_epochs: tuple[PositiveInt, ...] = (8, 11)
    """After these epochs the learning rate is multiplied by gamma."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor at a milestone."""
    warmup_iters: NonNegativeInt = 500
    """Length of the linear warm-up."""
    warmup_start: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    """Learning-rate factor at iteration 0."""


class CosineSchedule(Spec):
    """Linear warm-up from 0, then a cosine to 0 (embedded data)."""

    kind: Literal["cosine"] = "cosine"
    """Cosine."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Part of the iterations spent on the warm-up."""


class ValidationSpec(Spec):
    """Scoring while a training goes on; the weights with the best score become those of the run."""

    every_iters: PositiveInt
    """Iterations between validations; one more comes after the last iteration."""
    split: str | None = None
    """Annotated split to score on; null for the first of data.splits."""
    patience: PositiveInt | None = None
    """Stop after this many validations in a row without a better AP; null trains to the end."""


class TrainSpec(Spec):
    """Training."""

    epochs: PositiveInt = 12
    """Passes over all key frames; with max_iters only what the schedule's milestones refer to."""
    max_iters: NonNegativeInt | None = None
    """Stop after this many iterations and fit the schedule's length to it; 0 keeps the initial weights."""
    batch_size: PositiveInt = 4
    """Frame pairs per optimiser step, over all devices."""
    optimizer: SGDSpec | AdamWSpec = Field(default=SGDSpec(), discriminator="kind")
    """Optimiser."""
    schedule: StepSchedule | CosineSchedule = Field(default=StepSchedule(), discriminator="kind")
    """Learning-rate schedule."""
    clip_grad_norm: PositiveFloat | None = 35.0
    """Clip of the total gradient norm."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    """Arithmetic; published 32-true. Mixed precisions need a device that has them."""
    checkpoint_every_iters: PositiveInt = 500
    """Iterations between checkpoints."""
    validation: ValidationSpec | None = None
    """Scoring while it trains, and keeping the best weights; null for none: the weights are the last."""
    num_workers: NonNegativeInt = 4
    """Loader processes per device; none with cache_frames."""
    cache_frames: bool = False
    """Keep decoded frames in memory as uint8 (small data sets only)."""

    def total_iters(self, iters_per_epoch: int) -> int:
        """Optimiser steps of a whole training: `max_iters` where given, more or less than the epochs have."""
        return self.epochs * iters_per_epoch if self.max_iters is None else self.max_iters

    @model_validator(mode="after")
    def _milestones_within(self) -> Self:
        if self.schedule.kind == "step" and self.max_iters is None:
            late = [m for m in self.schedule.milestones_epochs if m >= self.epochs]
            if late:
                raise ValueError(
                    f"schedule.milestones_epochs has {late[0]} but train.epochs is {self.epochs}: "
                    "the step would never come; lower the milestone or train longer"
                )
        return self


class InitSpec(Spec):
    """What the weights start from: `weights`, else `from`, else `backbone` with fresh layers for the rest."""

    from_trial: str | None = Field(default=None, alias="from")
    """Trial whose last checkpoint (same profile, same seed) to start from; trained first if missing."""
    weights: str | None = None
    """A checkpoint file, or shipped:NAME, used in the place of `from`."""
    backbone: str = "imagenet"
    """Without the two above, or for a backbone they lack: imagenet, coco, coco_v2, coco_320, random, or a file."""
    allow_mismatch: bool = False
    """Leave layers of another shape fresh instead of refusing; layers absent from the file always are."""

    @property
    def source(self) -> tuple[Literal["weights", "trial", "backbone"], str]:
        """The kind of start that these settings choose, and which: file or shipped:NAME, trial, or backbone."""
        if self.weights is not None:
            return "weights", self.weights
        if self.from_trial is not None:
            return "trial", self.from_trial
        return "backbone", self.backbone
