"""How far other videos and seeds could have moved the figures of runs: from their stored matches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.evaluation.bootstrap import (
    Interval,
    SeedSpread,
    add_seed_level,
    compute_interval,
    compute_p,
    draw_videos,
    measure_seed_spread,
    resample_ap,
)
from vistrials.evaluation.stored_matches import load_matches

_TOLERANCE = 1e-7  # percent


@dataclass(frozen=True, slots=True, eq=False)
class RunDraws:
    """AP of one run in percent, and on resampled videos, float64 [B]: the same draws for all runs on these videos."""

    video_ids: tuple[int, ...]
    ap: float
    draws: NDArray[np.float64]


def resample_run(path: Path, ap: float, num_draws: int) -> RunDraws:
    """Resample the videos of a run.

    Args:
        path: its stored matches.
        ap: what its figures say, in percent.
        num_draws: B draws.

    Raises:
        DataError: there are no matches, they are damaged, or they are not those of the figures.
    """
    matches = load_matches(path)
    num_videos = len(matches.video_ids)
    everything = np.ones((1, num_videos), dtype=np.int64)
    own_ap, *draws = 100 * resample_ap(matches, np.concatenate([everything, draw_videos(num_videos, num_draws)]))
    if not abs(own_ap - ap) <= _TOLERANCE:
        raise DataError(f"{path}: these matches have AP {own_ap:.2f}, the figures beside them {ap:.2f}")
    return RunDraws(matches.video_ids, ap, np.array(draws))


def pool_seed_spread(trials: Iterable[Sequence[RunDraws]]) -> SeedSpread | None:
    """Pool the spread between seeds over trials, each a run of each of its networks; None where no trial has two."""
    return measure_seed_spread(
        (np.array([run.ap for run in runs]), np.stack([run.draws for run in runs]))
        for runs in trials
        if _are_on_same_videos(runs)
    )


def compute_ap_interval(runs: Sequence[RunDraws], spread: SeedSpread | None) -> Interval | None:
    """Interval of the mean AP of one trial's networks, in percent.

    Args:
        runs: of a trial, one of each network.
        spread: between seeds; None leaves it out.

    Returns:
        None where there is no run, they are on different videos, or these are too few.
    """
    if not _are_on_same_videos(runs):
        return None
    estimate = float(np.mean([run.ap for run in runs]))
    draws = add_seed_level(np.mean([run.draws for run in runs], axis=0), spread, 1 / len(runs))
    interval = compute_interval(estimate, draws, len(runs[0].video_ids))
    return interval and Interval(max(0.0, interval.low), min(100.0, interval.high))


def compute_difference(
    runs: Sequence[RunDraws], base: Sequence[RunDraws], spread: SeedSpread | None
) -> tuple[Interval | None, float | None]:
    """Interval and p-value of the mean difference of AP, in percent, paired by draw.

    Args:
        runs: of a trial.
        base: runs of the trial to compare with, of the same seeds.
        spread: between seeds; None leaves it out.

    Returns:
        None twice where there is no run, they are on different videos, or these are too few.
    """
    if not runs or not _are_on_same_videos([*runs, *base]):
        return None, None
    pairs = list(zip(runs, base, strict=True))
    estimate = float(np.mean([run.ap - other.ap for run, other in pairs]))
    draws = np.mean([run.draws - other.draws for run, other in pairs], axis=0)
    draws, num_videos = add_seed_level(draws, spread, 2 / len(pairs)), len(runs[0].video_ids)
    return compute_interval(estimate, draws, num_videos), compute_p(estimate, draws, num_videos)


def _are_on_same_videos(runs: Sequence[RunDraws]) -> bool:
    return len({run.video_ids for run in runs}) == 1
