"""A trial, resolved: everything that changes its result."""

from typing import Self

from pydantic import model_validator

from vistrials.specs.base import PlainName, Spec
from vistrials.specs.data import DataSpec
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import ModelSpec, NeckSpec
from vistrials.specs.training import InitSpec, TrainSpec


class TrialSpec(Spec):
    """A trial under a profile."""

    name: PlainName
    """Name of the trial; also the folder of its runs."""
    description: str = ""
    """One line for `vistrials list`."""
    profile: PlainName
    """Profile that it was resolved under."""
    init: InitSpec = InitSpec()
    """Initial weights."""
    data: DataSpec = DataSpec()
    """Data."""
    model: ModelSpec = ModelSpec()
    """Network."""
    train: TrainSpec = TrainSpec()
    """Training."""
    inference: InferenceSpec = InferenceSpec()
    """Inference."""

    @model_validator(mode="after")
    def _other_videos_in_batch(self) -> Self:
        if isinstance(self.model.neck, NeckSpec) and self.model.neck.reference == "other_video":
            expected = "model.neck.reference: other_video takes the frame of another pair of the batch: expected"
            if self.train.batch_size < 2:
                raise ValueError(f"{expected} train.batch_size of 2 or more, found {self.train.batch_size}")
            if self.data.batching != "orientation":
                raise ValueError(f"{expected} data.batching orientation, found {self.data.batching}")
        return self

    @model_validator(mode="after")
    def _frames_to_remember(self) -> Self:
        if self.model.track_head.memory is not None and self.data.num_references < 2:
            raise ValueError(
                "model.track_head.memory remembers objects over several reference frames: expected "
                f"data.num_references of 2 or more, found {self.data.num_references}"
            )
        return self

    @model_validator(mode="after")
    def _not_its_own_start(self) -> Self:
        if self.init.from_trial == self.name:
            raise ValueError(f"init.from names the trial itself ({self.name}); name another trial or null")
        return self
