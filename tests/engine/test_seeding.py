import random

import numpy as np
import torch

from vistrials.engine.seeding import seed_everything, seed_step, step_seed


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_all_three_generators_follow_the_seed() -> None:
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_step_draws_the_same_whatever_was_drawn_before() -> None:
    seed_step(0, 17)
    first = draw()
    draw()
    seed_step(0, 17)
    assert draw() == first


def test_seeds_iterations_and_ranks_all_differ() -> None:
    seeds = [step_seed(s, i, r) for s in (-1, 0, 1, 2**40) for i in range(50) for r in range(4)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_step_is_seeded_by_seed_iteration_and_rank() -> None:
    drawn = set()
    for arguments in ((0, 17, 0), (1, 17, 0), (0, 18, 0), (0, 17, 1)):
        seed_step(*arguments)
        drawn.add(draw())
    assert len(drawn) == 4
