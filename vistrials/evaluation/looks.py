"""Looking at results more than once: how small p has to be at each look, so that all looks err as one would."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from vistrials.evaluation.verdicts import ERROR

FIRST_LOOK = 2
"""Seeds of the earliest look: one has no variance."""

_EXPONENT = 2.0
_GRID = np.linspace(-6.0, 6.0, 1201)  # in standard deviations of the sum at the last look
_STEP = _GRID[1] - _GRID[0]


def find_errors(max_seeds: int) -> dict[int, float]:
    """The error that each look may have, by its number of seeds: looks at FIRST_LOOK, .., max_seeds.

    Of all looks up to S seeds ERROR * (S / max_seeds)^2 is spent. The thresholds are those of sums of normal numbers,
    and hold for p-values of few seeds about as well, as the levels that p must reach. A look may be left out.

    Args:
        max_seeds: of the last look, FIRST_LOOK or more.

    Source: spending function (K. K. G. Lan, D. L. DeMets, 1983; this one by K. Kim and DeMets, 1987); sums by
    P. Armitage, C. K. McPherson, B. C. Rowe (1969); significance levels for t (C. Jennison, B. W. Turnbull, Group
    Sequential Methods, 2000, section 4.4). The videos stay the same, so that looks are more alike than taken here.
    """
    errors, spent, before = {}, 0.0, 0
    going_on = np.empty(0)
    for seeds in range(FIRST_LOOK, max_seeds + 1):
        share, step = seeds / max_seeds, math.sqrt((seeds - before) / max_seeds)
        if before:
            spread = np.exp(-0.5 * ((_GRID[:, None] - _GRID) / step) ** 2) / (step * math.sqrt(2 * math.pi))
            density = spread @ going_on * _STEP
        else:
            density = np.exp(-0.5 * (_GRID / step) ** 2) / (step * math.sqrt(2 * math.pi))
        to_spend = ERROR * share**_EXPONENT - spent
        bound = _bound(density, to_spend)
        errors[seeds] = float(2 * ndtr(-bound / math.sqrt(share)))
        going_on = np.where(np.abs(_GRID) < bound, density, 0.0)
        spent, before = spent + to_spend, seeds
    return errors


def _bound(density: NDArray[np.float64], error: float) -> float:
    """Beyond which, on both sides together, there is so much of a symmetric density on the grid."""
    outwards = np.flatnonzero(_GRID >= 0)[::-1]
    beyond = 2 * (np.cumsum(density[outwards]) - density[outwards] / 2) * _STEP
    return float(np.interp(error, beyond, _GRID[outwards]))
