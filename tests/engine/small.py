"""A model and a loader small enough to train in a test; losses are means over images."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from vistrials.engine.reporting import Reporter
from vistrials.engine.training import TrainingFiles
from vistrials.engine.validation import Validated, Validation
from vistrials.specs.training import AdamWSpec, CosineSchedule, SGDSpec, StepSchedule, TrainSpec, ValidationSpec

ITERS_PER_EPOCH = 5
BATCH_SIZE = 4


class SmallModel(nn.Module):
    """A convolution with noise (as the sampling of RoIs is) and a running mean (as batch norms have)."""

    def __init__(self, noise: float = 0.1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 1)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.noise = noise

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.seen += 1
        features = self.conv(images).relu().mean((2, 3))
        features = features + self.noise * torch.randn_like(features)
        wanted = images.mean((1, 2, 3))
        error = self.head(features).squeeze(1) - wanted
        return {
            "loss_fit": error.pow(2).mean(),
            "loss_size": features.abs().mean() * 0.01,
            "acc": wanted.mean(),
        }


class SmallLoader:
    """Batches by number: each follows from its number alone; a rank gets its slice."""

    iters_per_epoch = ITERS_PER_EPOCH

    def __init__(self, start: int, rank: int = 0, world_size: int = 1) -> None:
        self.start, self.rank, self.world_size = start, rank, world_size

    def __iter__(self) -> Iterator[Tensor]:
        share = BATCH_SIZE // self.world_size
        for number in count(self.start):
            generator = torch.Generator().manual_seed(number)
            images = torch.rand(BATCH_SIZE, 3, 6, 6, generator=generator)
            yield images[self.rank * share : (self.rank + 1) * share]


def small_spec(**changes: object) -> TrainSpec:
    """Two epochs of AdamW, a checkpoint every fourth step."""
    values = {
        "epochs": 2,
        "optimizer": AdamWSpec(lr=0.01),
        "schedule": CosineSchedule(),
        "checkpoint_every_iters": 4,
        "clip_grad_norm": 1.0,
    }
    return TrainSpec(**(values | changes))


class SmallValidation(Validation):
    """Of `SmallModel` every fourth step; the AP rises until it has seen eight batches, then it falls."""

    def __init__(
        self, folder: Path, patience: int | None = None, at_score: Callable[[int], None] | None = None
    ) -> None:
        self.scored: list[int] = []

        def score(model: nn.Module, reporter: Reporter) -> dict[str, float]:
            seen = int(cast(SmallModel, model).seen)
            torch.rand(3)
            self.scored.append(seen)
            if at_score is not None:
                at_score(seen)
            figure = 1 / (1 + abs(seen - 8))
            return {"AP": figure, "AP50": figure}

        def save_best(model: nn.Module, found: Validated) -> None:
            (folder / "best").write_text(str(found.iteration))

        spec = ValidationSpec(every_iters=4, patience=patience)
        super().__init__(spec, "valid", folder / "validation.jsonl", folder / "best", score, save_best)


def published_spec(**changes: object) -> TrainSpec:
    """The same with SGD and steps."""
    schedule = StepSchedule(milestones_epochs=(1,), warmup_iters=3)
    return small_spec(optimizer=SGDSpec(lr=0.05), schedule=schedule, **changes)


def files_in(folder: Path) -> TrainingFiles:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("checkpoint.pt", "checkpoint-previous.pt", "losses.jsonl", "tensorboard")
    return TrainingFiles(*(folder / name for name in names))
