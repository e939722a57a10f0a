"""Scoring a network while it trains: what was found so far, whether it is the best, and when to stop early."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from vistrials.engine.loss_log import keep_iterations
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.seeding import random_numbers_kept
from vistrials.errors import RunError
from vistrials.specs.training import ValidationSpec

CHOSEN_BY = "AP"
"""The figure by which weights are the best; of equal ones the first are."""


@dataclass(frozen=True, slots=True)
class Validated:
    """What one validation found: after how many iterations, and the figures by name, as fractions."""

    iteration: int
    figures: Mapping[str, float]

    @property
    def score(self) -> float:
        return self.figures[CHOSEN_BY]

    def to_json(self) -> dict[str, float]:
        """A record of validation.jsonl."""
        return {"iter": self.iteration, **self.figures}

    def describe(self, split: str) -> str:
        """In words, such as `iteration 200: AP 35.2, AP50 60.1 on minival`; figures in percent."""
        figures = ", ".join(f"{name} {100 * self.figures[name]:.1f}" for name in ("AP", "AP50"))
        return f"iteration {self.iteration}: {figures} on {split}"


class Score(Protocol):
    """Figures of a network, AP and AP50 among them, that leave it as it is; it may raise Interrupted."""

    def __call__(self, model: nn.Module, reporter: Reporter) -> Mapping[str, float]: ...


class Validation:
    """The validations of one training; one process makes them, all others only ask when.

    Each is a line of a log: iter (steps finished) and the figures. A training that continues takes them from there.
    """

    def __init__(
        self,
        spec: ValidationSpec,
        split: str,
        log: Path,
        best_weights: Path,
        score: Score,
        save_best: Callable[[nn.Module, Validated], None],
    ) -> None:
        """
        Args:
            spec: when to validate and when to stop.
            split: that is scored, for messages.
            log: validation.jsonl.
            best_weights: where `save_best` puts them.
            score: of a network.
            save_best: saves the weights of a network that is better than those before it.
        """
        self._spec, self.split = spec, split
        self._log, self._best_weights = log, best_weights
        self._score, self._save_best = score, save_best
        self.records: list[Validated] = []

    def resume(self, iteration: int) -> None:
        """Take up the validations of the first `iteration` steps, and forget later ones: they will be made again.

        Raises:
            RunError: the log holds something else, lacks a validation, or the best weights that it speaks of are gone.
        """
        keep_iterations(self._log, iteration)
        self.records = [_read(line, self._log) for line in self._log.read_text(encoding="utf-8").splitlines()]
        made = {record.iteration for record in self.records}
        # That of the last step may have been broken off, and is made again.
        missing = [due for due in range(self._spec.every_iters, iteration, self._spec.every_iters) if due not in made]
        if missing:
            raise RunError(
                f"{self._log}: expected the validation of iteration {missing[0]}, found none; put the file back, or "
                "train again with --force"
            )
        if self.best is not None and not self._best_weights.exists():
            raise RunError(
                f"{self._best_weights}: expected the weights of iteration {self.best.iteration}, the best so far, "
                "found no file; put it back, or train again with --force"
            )

    def is_due(self, iteration: int, total_iters: int) -> bool:
        """Whether a validation follows after so many steps: every now and then, and after the last one."""
        return iteration > 0 and (iteration % self._spec.every_iters == 0 or iteration == total_iters)

    def take(self, model: nn.Module, iteration: int, reporter: Reporter) -> Validated | None:
        """Score a network after so many steps, and keep its weights if they are the best; None where that is done.

        Global random numbers go on afterwards as if nothing had been.
        """
        if any(record.iteration == iteration for record in self.records):
            return None
        with random_numbers_kept():
            found = Validated(iteration, self._score(model, _Within(reporter)))
        is_best = self.best is None or found.score > self.best.score
        if is_best:
            # Before the record, which says that they are there.
            self._save_best(model, found)
        with open(self._log, "a", encoding="utf-8") as log:
            log.write(json.dumps(found.to_json()) + "\n")
            log.flush()
            os.fsync(log.fileno())  # later checkpoints, which take it for made, survive a power cut
        self.records.append(found)
        reporter.message(found.describe(self.split) + ", the best so far" * is_best)
        return found

    @property
    def best(self) -> Validated | None:
        """The one with the highest AP, of equal ones the first; None before any."""
        return max(self.records, key=lambda record: record.score, default=None)

    @property
    def has_lost_patience(self) -> bool:
        """Whether so many in a row brought nothing better that the training is to end."""
        if self._spec.patience is None or self.best is None:
            return False
        return len(self.records) - 1 - self.records.index(self.best) >= self._spec.patience


class _Within(SilentReporter):
    """Shows the progress of a validation beside that of the training around it, whose stage goes on."""

    def __init__(self, training: Reporter) -> None:
        self._training = training
        self._done, self._total = 0, 0

    def stage(self, name: str, total: int | None) -> None:
        self._done, self._total = 0, total or 0

    def advance(self, steps: int = 1, **values: float) -> None:
        self._done += steps
        if self._total:
            self._training.advance(0, validated=self._done / self._total)

    def warning(self, text: str) -> None:
        self._training.warning(text)


def _read(line: str, log: Path) -> Validated:
    try:
        record = json.loads(line)
        return Validated(record.pop("iter"), {name: float(record[name]) for name in ("AP", "AP50", *record)})
    except (ValueError, TypeError, KeyError):
        raise RunError(
            f"{log}: expected a record with iter, AP and AP50, found {line[:60]!r}; train again with --force"
        ) from None
