"""Levels of repeated looks: against published constants, and against random walks."""

import numpy as np
import pytest
from scipy.special import ndtri

from vistrials.evaluation.looks import find_errors


def test_a_single_look_has_the_whole_error() -> None:
    assert find_errors(2) == {2: pytest.approx(0.05, abs=2e-4)}


def test_the_first_look_spends_its_share() -> None:
    # 0.05 * (2 / 10)^2.
    assert find_errors(10)[2] == pytest.approx(0.002, rel=0.02)


def test_levels_rise_and_stay_below_5_percent() -> None:
    errors = find_errors(10)
    assert list(errors) == list(range(2, 11))
    assert sorted(errors.values()) == list(errors.values()) and max(errors.values()) < 0.05
    # All that is spent at the last look alone would be 0.05 * (1 - 0.81) = 0.0095: looks that are alike cost less.
    assert 0.0095 < errors[10] < 0.05


@pytest.mark.parametrize("max_seeds", [4, 10])
def test_all_looks_together_err_as_one(max_seeds: int) -> None:
    errors = find_errors(max_seeds)
    sums = np.random.default_rng(0).normal(size=(100_000, max_seeds)).cumsum(axis=1)
    crossed = np.zeros(len(sums), dtype=bool)
    spent = []
    for seeds, error in errors.items():
        crossed |= np.abs(sums[:, seeds - 1]) / seeds**0.5 > -ndtri(error / 2)
        spent.append(crossed.mean())
    expected = [0.05 * (seeds / max_seeds) ** 2 for seeds in errors]
    assert spent == pytest.approx(expected, abs=4 * (0.05 / 100_000) ** 0.5)
