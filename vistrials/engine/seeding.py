"""Random numbers as a function of seed, iteration and rank, so that nothing about them has to be saved."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_MAX_SEED = 2**32


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices).

    Args:
        seed: any integer; taken modulo 2**32, numpy's range.
    """
    seed %= _MAX_SEED
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """While entered, draw as many random numbers as you like: afterwards the global generators go on as before."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():  # of all devices
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def seed_step(seed: int, iteration: int, rank: int = 0) -> None:
    """Seed everything for one training step: it draws the same numbers in a resumed training.

    Args:
        seed: of the run.
        iteration: 0-based.
        rank: of the process; ranks draw different numbers, as they sample from different images.
    """
    seed_everything(step_seed(seed, iteration, rank))


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """One of 2**32 seeds, well spread: neighbouring arguments give unrelated values."""
    words = [abs(seed), int(seed < 0), iteration, rank]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
