import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from tests.engine.small import (
    ITERS_PER_EPOCH,
    SmallLoader,
    SmallModel,
    SmallValidation,
    files_in,
    published_spec,
    small_spec,
)
from vistrials.engine import seeding
from vistrials.engine.devices import build_fabric
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import SilentReporter
from vistrials.engine.training import RunningMeans, TrainingError, fit, sum_losses
from vistrials.engine.training_state import load_checkpoint, save_checkpoint
from vistrials.errors import CheckpointError, ProcessDied, RunError
from vistrials.specs.training import SGDSpec, StepSchedule, TrainSpec


def train(
    folder: Path,
    spec: TrainSpec | None = None,
    model: nn.Module | None = None,
    loader: type[SmallLoader] = SmallLoader,
    reporter: SilentReporter | None = None,
    digest: str = "digest",
    seed: int = 3,
    validation: SmallValidation | None = None,
) -> tuple[nn.Module, int]:
    spec = spec or small_spec()
    if model is None:
        torch.manual_seed(0)
        model = SmallModel()
    iterations = fit(
        build_fabric(torch.device("cpu"), spec.precision),
        model,
        loader,
        spec,
        files_in(folder),
        seed=seed,
        digest=digest,
        reporter=reporter or SilentReporter(),
        validation=validation,
    )
    return model, iterations


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


class Recording(SilentReporter):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def stage(self, name: str, total: int | None) -> None:
        self.stages.append((name, total))

    def advance(self, steps: int = 1, **values: float) -> None:
        self.steps.append((steps, values))


class PowerCut(Exception):
    pass


def cut_off_after(num_batches: int) -> type[SmallLoader]:
    """A loader that fails, without any chance to save, when more batches are asked for."""

    class CutOff(SmallLoader):
        def __iter__(self) -> Iterator[Tensor]:
            for number, batch in enumerate(super().__iter__()):
                if number == num_batches:
                    raise PowerCut
                yield batch

    return CutOff


def interrupting_after(num_batches: int, number: int = signal.SIGINT) -> type[SmallLoader]:
    class Interrupting(SmallLoader):
        def __iter__(self) -> Iterator[Tensor]:
            for count, batch in enumerate(super().__iter__(), start=1):
                if count == num_batches:
                    os.kill(os.getpid(), number)
                yield batch

    return Interrupting


@pytest.mark.parametrize("spec", [small_spec(), published_spec()], ids=["adamw", "sgd"])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path: Path, spec: TrainSpec) -> None:
    whole, _ = train(tmp_path / "whole", spec)
    with pytest.raises(PowerCut):
        train(tmp_path / "cut", spec, loader=cut_off_after(7))
    assert [record["iter"] for record in records(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6, 7]
    torch.manual_seed(99)  # whatever the second process drew before
    reporter = Recording()
    resumed, _ = train(tmp_path / "cut", spec, model=SmallModel(), reporter=reporter)
    assert reporter.steps[0] == (4, {})  # a checkpoint every 4 steps; 5 to 7 are done again
    assert same_weights(whole, resumed)
    without_times = [
        [{key: value for key, value in record.items() if not key.endswith("seconds")} for record in records(folder)]
        for folder in (tmp_path / "whole", tmp_path / "cut")
    ]
    assert without_times[0] == without_times[1]


def test_another_seed_gives_another_training(tmp_path: Path) -> None:
    assert not same_weights(train(tmp_path / "a", seed=1)[0], train(tmp_path / "b", seed=2)[0])


def test_every_iteration_is_logged_once_with_all_its_figures(tmp_path: Path) -> None:
    train(tmp_path)
    logged = records(tmp_path)
    assert [record["iter"] for record in logged] == list(range(1, 2 * ITERS_PER_EPOCH + 1))
    assert [record["epoch"] for record in logged] == [1] * ITERS_PER_EPOCH + [2] * ITERS_PER_EPOCH
    for record in logged:
        assert record["loss_total"] == pytest.approx(record["loss_fit"] + record["loss_size"], rel=1e-6)
        assert {"acc", "lr", "grad_norm", "seconds", "data_seconds"} <= record.keys()
        assert 0 <= record["data_seconds"] <= record["seconds"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_learning_rates_follow_the_schedule(tmp_path: Path) -> None:
    train(tmp_path, published_spec())
    rates = [record["lr"] for record in records(tmp_path)]
    warm_up = [0.05 * (1 - (1 - i / 3) * (2 / 3)) for i in range(3)]
    assert rates == pytest.approx([*warm_up, 0.05, 0.05, *[0.005] * 5])


@pytest.mark.parametrize("rank", [0, 1])
def test_each_step_draws_by_seed_iteration_and_rank(tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    class Drawing(SmallModel):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            drawn.append(torch.rand(()).item())
            return super().forward(images)

    monkeypatch.setattr(Fabric, "global_rank", rank)
    train(tmp_path, small_spec(max_iters=3), Drawing(), seed=3)
    expected = []
    for iteration in range(3):
        seeding.seed_step(3, iteration, rank)
        expected.append(torch.rand(()).item())
    assert drawn == expected and len(set(drawn)) == 3


class Slope(nn.Module):
    """loss = slope * weight, so its gradient is the slope."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.slope = slope

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"loss_a": 0.75 * self.slope * self.weight, "loss_b": 0.25 * self.slope * self.weight}


@pytest.mark.parametrize(("clip", "step"), [(None, 8.0), (35.0, 8.0), (2.0, 2.0)])
def test_the_total_norm_is_clipped_once_and_logged_before(tmp_path: Path, clip: float | None, step: float) -> None:
    spec = TrainSpec(
        epochs=1,
        max_iters=1,
        optimizer=SGDSpec(lr=0.5, momentum=0, weight_decay=0),
        schedule=StepSchedule(milestones_epochs=(), warmup_iters=0),
        clip_grad_norm=clip,
    )
    model, _ = train(tmp_path, spec, Slope(8.0))
    assert model.weight.item() == pytest.approx(-0.5 * step, rel=1e-5)
    assert records(tmp_path)[0]["grad_norm"] == pytest.approx(8.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves_it(tmp_path: Path, number: int) -> None:
    answered = Recording()
    with pytest.raises(Interrupted, match="after iteration 6 of 10"):
        train(tmp_path / "cut", loader=interrupting_after(6, number), reporter=answered)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt", "digest").iteration == 6
    assert [message.split(":")[0] for message in answered.messages] == ["stopping"]
    reporter = Recording()
    resumed, _ = train(tmp_path / "cut", reporter=reporter)
    assert [steps for steps, _ in reporter.steps] == [6, 1, 1, 1, 1]
    assert same_weights(train(tmp_path / "whole")[0], resumed)


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(tmp_path, small_spec(max_iters=1))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_loader_processes_that_die_of_the_same_signal_do_not_cost_the_work_done(tmp_path: Path) -> None:
    class Dying(SmallLoader):
        def __iter__(self) -> Iterator[Tensor]:
            for count, batch in enumerate(super().__iter__()):
                if count == 6:
                    os.kill(os.getpid(), signal.SIGINT)
                    raise ProcessDied("a loader was killed")
                yield batch

    with pytest.raises(Interrupted):
        train(tmp_path, loader=Dying)
    assert load_checkpoint(tmp_path / "checkpoint.pt", "digest").iteration == 6


def test_a_loader_process_that_dies_alone_costs_nothing_that_was_done(tmp_path: Path) -> None:
    class Dying(SmallLoader):
        def __iter__(self) -> Iterator[Tensor]:
            for count, batch in enumerate(super().__iter__()):
                if count == 6:
                    raise ProcessDied("a loader was killed; less memory")
                yield batch

    with pytest.raises(
        TrainingError, match="^a loader was killed; less memory; stopped after iteration 6 of 10; the same"
    ):
        train(tmp_path / "cut", loader=Dying)
    resumed, _ = train(tmp_path / "cut")
    assert same_weights(train(tmp_path / "whole")[0], resumed)


def test_an_error_of_the_loader_is_not_taken_for_an_interruption(tmp_path: Path) -> None:
    class Failing(SmallLoader):
        def __iter__(self) -> Iterator[Tensor]:
            raise RuntimeError("broken frame")

    with pytest.raises(RuntimeError, match="broken frame"):
        train(tmp_path, loader=Failing)


class BreaksAtStep(SmallModel):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        scalars = super().forward(images)
        if self.seen == self.step:
            scalars["loss_size"] = scalars["loss_size"] * float("nan")
        return scalars


def test_a_loss_that_is_not_finite_stops_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="iteration 6: loss_size is nan") as caught:
        train(tmp_path, model=BreaksAtStep(6))
    assert "\n" not in str(caught.value)
    assert "loss_fit" not in str(caught.value)
    state = load_checkpoint(tmp_path / "checkpoint.pt", "digest")
    assert state.iteration == 4
    assert all(torch.isfinite(value).all() for value in state.model.values())
    assert len(records(tmp_path)) == 5


def test_a_gradient_that_is_not_finite_stops(tmp_path: Path) -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"loss_root": self.weight.sqrt()}  # 0, but with an infinite slope

    with pytest.raises(TrainingError, match="grad_norm is inf"):
        train(tmp_path, model=Root())


def test_a_step_that_makes_weights_infinite_is_not_saved_even_as_the_last(tmp_path: Path) -> None:
    spec = small_spec(max_iters=1, optimizer=SGDSpec(lr=1e25, momentum=0, weight_decay=0), clip_grad_norm=None)
    # Loss and gradient are finite, and no step follows whose loss would not be.
    with pytest.raises(
        TrainingError, match="iteration 1: weight holds infinity or NaN .* train.optimizer.lr"
    ) as caught:
        train(tmp_path, spec, model=Slope(1e15))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_damaged_checkpoint_costs_no_more_than_its_steps(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole")
    path = tmp_path / "cut" / "checkpoint.pt"
    with pytest.raises(PowerCut):
        train(tmp_path / "cut", loader=cut_off_after(9))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    reporter = Recording()
    resumed, _ = train(tmp_path / "cut", reporter=reporter)
    assert same_weights(resumed, whole)
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")
    assert reporter.steps[0][0] == 4 and "continues from checkpoint-previous.pt" in reporter.warnings[0]


@pytest.mark.parametrize("iteration", [11, 10**12])
def test_a_checkpoint_beyond_the_end_is_refused(tmp_path: Path, iteration: int) -> None:
    train(tmp_path)
    files = files_in(tmp_path)
    state = load_checkpoint(files.checkpoint, "digest")
    save_checkpoint(files.checkpoint, files.previous_checkpoint, replace(state, iteration=iteration))
    if iteration == 11:
        with open(files.losses, "a") as log:
            log.write('{"iter": 11}\n')
    expected = "at most 10" if iteration == 11 else f"each of the {iteration} iterations"
    with pytest.raises((CheckpointError, RunError), match=f"{expected}.*--force"):
        train(tmp_path)


def test_a_checkpoint_of_another_network_is_told_in_a_line(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(CheckpointError, match="of another network .*--force") as caught:
        train(tmp_path, model=Slope(1.0))
    assert "\n" not in str(caught.value)


def test_a_log_that_lacks_steps_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        train(tmp_path, loader=cut_off_after(9))
    (tmp_path / "losses.jsonl").unlink()
    with pytest.raises(RunError, match="none of iteration 1"):
        train(tmp_path)


def test_no_iterations_keep_the_weights_and_leave_an_empty_log(tmp_path: Path) -> None:
    torch.manual_seed(0)
    untouched = SmallModel()
    model, iterations = train(tmp_path, small_spec(max_iters=0))
    assert same_weights(model, untouched)
    assert iterations == 0
    assert records(tmp_path) == []


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    model, _ = train(tmp_path)
    assert model.frozen.item() == 1


def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path) -> None:
    train(tmp_path, digest="one")
    with pytest.raises(CheckpointError, match="another spec"):
        train(tmp_path, digest="two")


def test_a_finished_training_does_nothing_more(tmp_path: Path) -> None:
    once, _ = train(tmp_path)
    reporter = Recording()
    again, iterations = train(tmp_path, model=SmallModel(), reporter=reporter)
    assert iterations == 10
    assert [steps for steps, _ in reporter.steps] == [10]
    assert same_weights(once, again)


def test_the_reporter_hears_of_every_step_and_of_means(tmp_path: Path) -> None:
    reporter = Recording()
    train(tmp_path, reporter=reporter)
    assert reporter.stages == [("train", 10)]
    assert sum(steps for steps, _ in reporter.steps) == 10
    mean = sum(record["loss_total"] for record in records(tmp_path)) / 10
    assert reporter.steps[-1][1]["loss_total"] == pytest.approx(mean)


def test_running_means_forget_what_is_older_than_their_length() -> None:
    means = RunningMeans(2)
    means.update({"a": 1.0})
    means.update({"a": 2.0, "b": 10.0})
    assert means.update({"a": 6.0}) == {"a": (2 + 6) / 2, "b": 10.0}


def test_only_losses_are_summed() -> None:
    scalars = {"loss_a": torch.tensor(1.0), "loss_b": torch.tensor(2.0), "acc": torch.tensor(50.0)}
    assert sum_losses(scalars).item() == 1 + 2
    with pytest.raises(TrainingError, match="no loss"):
        sum_losses({"acc": torch.tensor(1.0)})


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(tmp_path: Path, precision: str) -> None:
    train(tmp_path, small_spec(precision=precision))
    losses = [record["loss_total"] for record in records(tmp_path)]
    assert len(losses) == 10


def test_mixed_precision_leaves_the_batch_in_full_precision(tmp_path: Path) -> None:
    class Checking(SmallModel):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            assert images.dtype == torch.float32
            assert self.conv(images).dtype == torch.bfloat16
            return super().forward(images)

    train(tmp_path, small_spec(precision="bf16-mixed", max_iters=1), Checking())


# --- Validation


def without_times(folder: Path) -> list[dict[str, float]]:
    times = ("seconds", "data_seconds")
    return [{name: value for name, value in record.items() if name not in times} for record in records(folder)]


def validated(folder: Path) -> list[int]:
    return [json.loads(line)["iter"] for line in (folder / "validation.jsonl").read_text().splitlines()]


def test_a_training_that_is_scored_is_the_same_training(tmp_path: Path) -> None:
    plain, _ = train(tmp_path / "plain")
    validation, reporter = SmallValidation(tmp_path / "scored"), Recording()
    model, iterations = train(tmp_path / "scored", validation=validation, reporter=reporter)
    assert iterations == 10 and validation.scored == validated(tmp_path / "scored") == [4, 8, 10]
    assert (tmp_path / "scored" / "best").read_text() == "8"
    assert same_weights(model, plain) and model.training
    assert without_times(tmp_path / "scored") == without_times(tmp_path / "plain")
    assert "AP" not in reporter.steps[1][1]
    shown = reporter.steps[-1][1]
    assert (shown["AP"], shown["best_AP"]) == (1, 1)
    assert reporter.stages == [("train", 10)]


def test_it_ends_early_when_the_ap_no_longer_rises(tmp_path: Path) -> None:
    spec = small_spec(epochs=8)
    model, iterations = train(tmp_path, spec, validation=SmallValidation(tmp_path, patience=2))
    assert iterations == 16 and validated(tmp_path) == [4, 8, 12, 16]
    again = SmallValidation(tmp_path, patience=2)
    resumed, iterations = train(tmp_path, spec, SmallModel(), validation=again)
    assert iterations == 16 and again.scored == [] and same_weights(model, resumed)


@pytest.mark.parametrize("stop", [PowerCut, lambda: Interrupted("after a video")])
def test_a_validation_that_was_broken_off_is_made_again(tmp_path: Path, stop: Callable[[], Exception]) -> None:
    def break_off(seen: int) -> None:
        if seen == 8:
            raise stop()

    # Its checkpoints alone would come at step 9.
    spec = small_spec(checkpoint_every_iters=9)
    with pytest.raises((PowerCut, Interrupted)) as caught:
        train(tmp_path / "cut", spec, validation=SmallValidation(tmp_path / "cut", at_score=break_off))
    if caught.type is Interrupted:
        expected = "in the validation, stopped after iteration 8 of 10; the same command continues from there"
        assert str(caught.value) == expected
    assert validated(tmp_path / "cut") == [4]
    validation = SmallValidation(tmp_path / "cut")
    model, _ = train(tmp_path / "cut", spec, validation=validation)
    whole, _ = train(tmp_path / "whole", spec, validation=SmallValidation(tmp_path / "whole"))
    assert validation.scored == [8, 10] and same_weights(model, whole)
    for name in ("validation.jsonl", "best"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


def test_a_signal_in_a_validation_ends_the_next_step(tmp_path: Path) -> None:
    validation = SmallValidation(tmp_path, at_score=lambda seen: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="after iteration 5 of 10"):
        train(tmp_path, validation=validation)
    assert validated(tmp_path) == [4]


def test_no_iterations_are_not_scored(tmp_path: Path) -> None:
    validation = SmallValidation(tmp_path)
    train(tmp_path, small_spec(max_iters=0), validation=validation)
    assert validation.scored == [] and validation.best is None
