"""When a training is scored, which weights are the best, when it ends early; and that it is none the wiser."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.validation import Validated, Validation
from vistrials.errors import RunError
from vistrials.specs.training import ValidationSpec


class Scripted:
    """Gives one AP after the other; AP50 is twice that."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = list(scores)
        self.saved: list[int] = []

    def score(self, model: nn.Module, reporter: Reporter) -> dict[str, float]:
        score = self.scores.pop(0)
        return {"AP": score, "AP50": 2 * score}

    def save(self, model: nn.Module, found: Validated) -> None:
        self.saved.append(found.iteration)


class Hearing(SilentReporter):
    def __init__(self) -> None:
        self.news: list[str] = []
        self.steps: list[tuple[int, dict[str, float]]] = []

    def message(self, text: str) -> None:
        self.news.append(text)

    def advance(self, steps: int = 1, **values: float) -> None:
        self.steps.append((steps, values))


MODEL = nn.Linear(1, 1)


def validation(folder: Path, scripted: Scripted, every: int = 10, patience: int | None = None) -> Validation:
    spec = ValidationSpec(every_iters=every, patience=patience)
    log, best = folder / "validation.jsonl", folder / "weights-best.safetensors"
    best.touch()
    return Validation(spec, "valid", log, best, scripted.score, scripted.save)


def test_it_is_due_every_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    of_ten = validation(tmp_path, Scripted([]), every=4)
    assert [step for step in range(11) if of_ten.is_due(step, 10)] == [4, 8, 10]
    assert not of_ten.is_due(0, 0)


def test_the_first_of_the_best_is_kept_and_all_are_told(tmp_path: Path) -> None:
    scripted, hearing = Scripted([0.125, 0.25, 0.25, 0.2]), Hearing()
    training = validation(tmp_path, scripted)
    training.resume(0)
    for step in (10, 20, 30, 40):
        training.take(MODEL, step, hearing)
    assert scripted.saved == [10, 20]
    assert training.best == Validated(20, {"AP": 0.25, "AP50": 0.5})
    assert hearing.news[1:3] == [
        "iteration 20: AP 25.0, AP50 50.0 on valid, the best so far",
        "iteration 30: AP 25.0, AP50 50.0 on valid",
    ]
    lines = (tmp_path / "validation.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"iter": 10, "AP": 0.125, "AP50": 0.25} and len(lines) == 4


@pytest.mark.parametrize(
    ("patience", "scores", "after"),
    [
        (None, [0.5, 0.1, 0.1, 0.1], []),
        (2, [0.5, 0.1, 0.1, 0.6], [3]),
        (2, [0.1, 0.05, 0.2, 0.1, 0.2], [5]),  # as good as the best is not better
        (1, [0.1, 0.2, 0.3], []),
    ],
)
def test_patience_counts_validations_since_the_best(
    tmp_path: Path, patience: int | None, scores: list[float], after: list[int]
) -> None:
    training = validation(tmp_path, Scripted(scores), patience=patience)
    ended = []
    assert not training.has_lost_patience
    for number in range(1, len(scores) + 1):
        training.take(MODEL, number, SilentReporter())
        if training.has_lost_patience:
            ended.append(number)
    assert ended[:1] == after


def test_a_training_that_continues_repeats_what_came_after_its_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    first = validation(tmp_path, Scripted([0.1, 0.3, 0.2]))
    for step in (10, 20, 30):
        first.take(MODEL, step, SilentReporter())
    log = tmp_path / "validation.jsonl"
    log.write_text(log.read_text() + '{"iter": 40, "A')  # cut off while it was written
    scripted = Scripted([0.4])
    again = validation(tmp_path, scripted)
    again.resume(20)
    assert [record.iteration for record in again.records] == [10, 20]
    assert again.best == Validated(20, {"AP": 0.3, "AP50": 0.6})
    assert again.take(MODEL, 20, SilentReporter()) is None and scripted.saved == []
    assert again.take(MODEL, 30, SilentReporter()) is not None and scripted.saved == [30]
    assert [json.loads(line)["iter"] for line in log.read_text().splitlines()] == [10, 20, 30]


def test_best_weights_that_are_gone_and_a_broken_log_are_one_line(tmp_path: Path) -> None:
    training = validation(tmp_path, Scripted([0.1]))
    training.take(MODEL, 10, SilentReporter())
    (tmp_path / "weights-best.safetensors").unlink()
    with pytest.raises(RunError, match=r"weights-best\.safetensors: expected the weights of iteration 10"):
        training.resume(10)
    (tmp_path / "validation.jsonl").write_text('{"iter": 5, "AP": 0.5}\n')
    with pytest.raises(RunError, match=r"validation\.jsonl: expected a record with iter, AP and AP50"):
        training.resume(10)


def test_random_numbers_go_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()

    def score(model: nn.Module, reporter: Reporter) -> dict[str, float]:
        draw()
        return {"AP": 0.0, "AP50": 0.0}

    drawn = []
    for validates in (True, False):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        if validates:
            spec = ValidationSpec(every_iters=1)
            one = Validation(spec, "valid", tmp_path / "log", tmp_path / "best", score, lambda model, found: None)
            one.take(MODEL, 1, SilentReporter())
        drawn.append(draw())
    assert drawn[0] == drawn[1]


def test_the_stage_of_the_training_goes_on_beside_it(tmp_path: Path) -> None:
    def score(model: nn.Module, reporter: Reporter) -> dict[str, float]:
        reporter.stage("infer", 8)
        reporter.advance(2)
        reporter.advance(4)
        return {"AP": 0.0, "AP50": 0.0}

    hearing = Hearing()
    spec = ValidationSpec(every_iters=1)
    Validation(spec, "valid", tmp_path / "log", tmp_path / "best", score, lambda model, found: None).take(
        MODEL, 1, hearing
    )
    assert hearing.steps == [(0, {"validated": 2 / 8}), (0, {"validated": 6 / 8})]
