"""How far other videos and networks could have moved the figures of runs: from their stored matches."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import DataError
from vistrials.evaluation.bootstrap import draw_videos, resample_ap
from vistrials.evaluation.intervals import Estimate, Interval, compute_interval, estimate_mean
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
    resampled = 100 * resample_ap(matches, _weights(num_videos, num_draws))
    own_ap, draws = float(resampled[0]), resampled[1:]
    if not abs(own_ap - ap) <= _TOLERANCE:
        raise DataError(f"{path}: these matches have AP {own_ap:.2f}, the figures beside them {ap:.2f}")
    return RunDraws(matches.video_ids, ap, draws)


def compute_ap_interval(runs: Sequence[RunDraws], trial: str) -> Interval | None:
    """Interval of the mean AP of one trial's networks, in percent.

    Args:
        runs: of a trial, one of each network; a single one covers videos only.
        trial: its name, from which its random numbers follow.

    Returns:
        None where there is no run, they are on different videos, or these are too few.
    """
    if not _are_on_same_videos(runs):
        return None
    aps, draws = np.array([run.ap for run in runs]), np.stack([run.draws for run in runs])
    estimate = estimate_mean(aps, draws, len(runs[0].video_ids), seed=_seed_of(f"AP of {trial}"))
    if estimate is None:
        return None
    interval = compute_interval(estimate)
    return Interval(max(0.0, interval.low), min(100.0, interval.high))


def estimate_difference(
    runs: Sequence[RunDraws], base: Sequence[RunDraws], trial: str, *, one_network: bool
) -> Estimate | None:
    """Estimate the mean difference of AP, in percent, paired by seed and by draw.

    Args:
        runs: of a trial.
        base: runs of the trial to compare with, of the same seeds.
        trial: the name of the first, from which its random numbers follow.
        one_network: a side has no more: only videos are covered.

    Returns:
        None where there is no run, they are on different videos, or these are too few.
    """
    if not runs or not _are_on_same_videos([*runs, *base]):
        return None
    differences = np.array([run.ap - other.ap for run, other in zip(runs, base, strict=True)])
    draws = np.stack([run.draws - other.draws for run, other in zip(runs, base, strict=True)])
    seed = _seed_of(trial)
    return estimate_mean(differences, draws, len(runs[0].video_ids), one_network=one_network, seed=seed)


def compute_superiority(runs: Sequence[RunDraws], base: Sequence[RunDraws]) -> float | None:
    """P(A > B): the share of seeds and drawn videos on which a run has more AP than the other; ties count half.

    Args:
        runs: of a trial.
        base: runs of the trial to compare with, of the same seeds.

    Returns:
        None where there is no run, or they are on different videos.

    Source: X. Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks (2021).
    """
    if not runs or not _are_on_same_videos([*runs, *base]):
        return None
    draws = np.stack([run.draws - other.draws for run, other in zip(runs, base, strict=True)])
    known = draws[~np.isnan(draws)]
    return float((np.sign(known).mean() + 1) / 2) if known.size else None


@lru_cache(maxsize=1)
def _weights(num_videos: int, num_draws: int) -> NDArray[np.int32]:
    """Of all videos once, then of the draws, int32 [1 + B, V]: the same for hundreds of runs on one split."""
    weights = np.concatenate([np.ones((1, num_videos), dtype=np.int64), draw_videos(num_videos, num_draws)])
    # As `resample_ap` reads them, so that it makes no copy for each run.
    weights = np.asfortranarray(weights, dtype=np.int32)
    weights.flags.writeable = False
    return weights


def _seed_of(name: str) -> int:
    """The same for a trial whatever else is in the table."""
    return zlib.crc32(name.encode())


def _are_on_same_videos(runs: Sequence[RunDraws]) -> bool:
    return len({run.video_ids for run in runs}) == 1
