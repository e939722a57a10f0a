import math

import pytest
import torch
from torch import nn

from vistrials.engine.optimisation import build_optimizer, learning_rate_factor
from vistrials.specs.training import AdamWSpec, CosineSchedule, SGDSpec, StepSchedule, TrainSpec

PUBLISHED = StepSchedule()


@pytest.mark.parametrize("iteration", [0, 1, 250, 499])
def test_published_warm_up(iteration: int) -> None:
    factor = learning_rate_factor(PUBLISHED, iteration, 12 * 1000, 12)
    assert factor == pytest.approx(1 - (1 - iteration / 500) * (2 / 3), rel=1e-12)


def test_published_steps_come_after_epochs_8_and_11() -> None:
    rates = [learning_rate_factor(PUBLISHED, i, 12_000, 12) for i in (500, 7999, 8000, 10_999, 11_000, 11_999)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_steps_move_in_proportion_where_max_iters_sets_the_length() -> None:
    # 8 / 12 of 1200 iterations is 800, 11 / 12 is 1100.
    rates = [learning_rate_factor(PUBLISHED, i, 1200, 12) for i in (799, 800, 1099, 1100)]
    assert rates == pytest.approx([1, 0.1, 0.1, 0.01])


def test_a_milestone_does_not_suffer_from_rounding() -> None:
    # 7 epochs of 3 iterations: in floating point 5 / 7 * 21 is 15.000000000000002.
    schedule = StepSchedule(milestones_epochs=(5,), warmup_iters=0)
    assert [learning_rate_factor(schedule, i, 21, 7) for i in (14, 15)] == pytest.approx([1, 0.1])


def test_no_warm_up() -> None:
    assert learning_rate_factor(StepSchedule(warmup_iters=0), 0, 100, 12) == 1


def test_warm_up_and_milestone_multiply() -> None:
    schedule = StepSchedule(milestones_epochs=(1,), warmup_iters=10, warmup_start=0.5)
    assert learning_rate_factor(schedule, 5, 10, 2) == pytest.approx(0.1 * 0.75)


def test_cosine_rises_linearly_and_falls_to_almost_nothing() -> None:
    rates = [learning_rate_factor(CosineSchedule(warmup_fraction=0.1), i, 100, 12) for i in range(100)]
    assert rates[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert rates[55] == pytest.approx(0.5)  # half way between 10 and 100
    assert rates[99] == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)
    assert all(later < earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))


@pytest.mark.parametrize("total", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_every_cosine_step_learns(total: int, warmup: float) -> None:
    rates = [learning_rate_factor(CosineSchedule(warmup_fraction=warmup), i, total, 1) for i in range(total)]
    assert all(0 < rate <= 1 for rate in rates)


def test_length_of_a_training() -> None:
    assert TrainSpec(epochs=12).total_iters(10) == 120
    assert TrainSpec(epochs=12, max_iters=7).total_iters(10) == 7
    assert TrainSpec(epochs=12, max_iters=700).total_iters(10) == 700
    assert TrainSpec(epochs=12, max_iters=0).total_iters(10) == 0


def test_all_trainable_parameters_are_in_one_group_that_decays() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    (group,) = build_optimizer(SGDSpec(), model.parameters()).param_groups
    assert len(group["params"]) == 2 + 2 + 1
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.005, 0.9, 1e-4)


def test_sgd_step_by_hand() -> None:
    weight = nn.Parameter(torch.tensor(2.0))
    optimizer = build_optimizer(SGDSpec(lr=0.1, momentum=0.9, weight_decay=0.5), [weight])
    for _ in range(2):
        optimizer.zero_grad()
        (3 * weight).backward()
        optimizer.step()
    first = 2 - 0.1 * (3 + 0.5 * 2)
    velocity = 0.9 * (3 + 0.5 * 2) + (3 + 0.5 * first)
    assert weight.item() == pytest.approx(first - 0.1 * velocity)


def test_adamw_is_fused_unless_told_otherwise() -> None:
    weight = nn.Parameter(torch.ones(1))
    assert build_optimizer(AdamWSpec(), [weight]).param_groups[0]["fused"] is True
    assert build_optimizer(AdamWSpec(), [weight], fused=False).param_groups[0]["fused"] is False


def test_adamw_step_by_hand() -> None:
    weight = nn.Parameter(torch.tensor(2.0))
    optimizer = build_optimizer(AdamWSpec(lr=0.1, weight_decay=0.5), [weight], fused=False)
    (3 * weight).backward()
    optimizer.step()
    # The first step has the length of the learning rate, whatever the gradient; the decay is apart from it.
    assert weight.item() == pytest.approx(2 - 0.1 * 0.5 * 2 - 0.1 * 1)
