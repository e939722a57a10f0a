"""The video bootstrap: how long 1,000 paired draws take, and how often its 95 % intervals hold the truth.

Run: python -m benchmarks.bootstrap [--sets 400] [--draws 200] [--seed 0]

Speed: two runs of the size of YouTube-VIS 2019 validation. Coverage: data sets of videos are drawn from a made-up
population on which the AP of both runs is known, and it is counted how many intervals hold it. With several seeds, both
trials draw runs of equal mean quality, so the true difference is 0.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_up_matches import Population, draw_population, predict
from vistrials.evaluation.bootstrap import (
    Interval,
    add_seed_level,
    compute_interval,
    compute_p,
    draw_videos,
    measure_seed_spread,
    resample_ap,
)
from vistrials.evaluation.matching import Matches
from vistrials.evaluation.stored_matches import StoredMatches

YOUTUBE_VIS_2019 = Population(num_categories=40, truths_per_video=2.0, false_per_video=23.0)
POPULATION = Population()
MORE_LUCK = Population(luck=0.5)
POPULATION_VIDEOS = 12000
QUALITIES = 0.0, 0.035  # about 1 AP apart


def measure_speed(num_draws: int = 1000) -> None:
    """Print the time of paired draws, of what reading the files takes apart."""
    rng = np.random.default_rng(0)
    videos = draw_population(YOUTUBE_VIS_2019, 300, rng)
    runs = [predict(videos, quality, rng) for quality in QUALITIES]
    num_predictions = sum(len(record.scores) for record in runs[0].records)
    began = time.perf_counter()
    weights = draw_videos(300, num_draws)
    first, second = (resample_ap(run, weights) for run in runs)
    seconds = time.perf_counter() - began
    print("size of YouTube-VIS 2019 validation: 300 videos, 40 categories,")
    print(f"{len(videos.truth_videos)} objects, {num_predictions} predictions in the first of two runs")
    print(f"{num_draws} paired draws      {seconds:6.2f} s")
    print(f"sd of AP and of ΔAP   {100 * first.std():6.2f} {100 * (second - first).std():.2f}\n")


class Coverage:
    """Counts how many intervals hold a true value."""

    def __init__(self, name: str) -> None:
        self.name, self.num, self.inside, self.below, self.above, self.width = name, 0, 0, 0, 0, 0.0

    def add(self, interval: Interval | None, truth: float) -> None:
        """Count one interval."""
        assert interval is not None
        self.num += 1
        self.below += truth < interval.low
        self.above += truth > interval.high
        self.inside += interval.low <= truth <= interval.high
        self.width += interval.high - interval.low

    def __str__(self) -> str:
        shares = [100 * count / self.num for count in (self.inside, self.below, self.above)]
        error = 100 * (0.05 * 0.95 / self.num) ** 0.5
        return (
            f"{self.name:46s} {shares[0]:5.1f} % ± {error:.1f}   width {100 * self.width / self.num:5.2f} AP"
            f"   truth below {shares[1]:4.1f} %, above {shares[2]:4.1f} %"
        )


def percentiles(draws: NDArray[np.float64]) -> Interval:
    """The plainest bootstrap interval, for comparison."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(float(low), float(high))


def by_video(run: StoredMatches) -> list[list[Matches]]:
    """The records of each video."""
    groups: list[list[Matches]] = [[] for _ in run.video_ids]
    for record in run.records:
        groups[record.video_id - 1].append(record)
    return groups


def data_sets(
    runs: list[StoredMatches], num_videos: int, num_sets: int, rng: np.random.Generator
) -> Iterator[list[StoredMatches]]:
    """Draw data sets from the population, each run's matches on the same videos."""
    groups = [by_video(run) for run in runs]
    for _ in range(num_sets):
        chosen = np.sort(rng.choice(len(groups[0]), num_videos, replace=False))
        video_ids = tuple((chosen + 1).tolist())
        yield [
            StoredMatches(video_ids, run.category_ids, tuple(record for v in chosen for record in group[v]))
            for run, group in zip(runs, groups, strict=True)
        ]


def estimate_and_draws(run: StoredMatches, num_draws: int, seed: int) -> tuple[float, NDArray[np.float64]]:
    """AP of a run, and on resampled videos."""
    num_videos = len(run.video_ids)
    everything = np.ones((1, num_videos), dtype=np.int64)
    ap, *draws = resample_ap(run, np.concatenate([everything, draw_videos(num_videos, num_draws, seed)]))
    return float(ap), np.array(draws)


def measure_coverage(kind: Population, num_videos: int, num_sets: int, num_draws: int, seed: int) -> None:
    """Print how many intervals hold the population's ΔAP and AP; one seed."""
    rng = np.random.default_rng(num_videos + seed)
    population = draw_population(kind, POPULATION_VIDEOS, rng)
    runs = [predict(population, quality, rng) for quality in QUALITIES]
    everything = np.ones((1, POPULATION_VIDEOS), dtype=np.int64)
    true_aps = [float(resample_ap(run, everything)[0]) for run in runs]
    difference, plain = Coverage("ΔAP"), Coverage("ΔAP, percentiles instead")
    aps: list[tuple[float, Interval | None]] = []
    for n, own in enumerate(data_sets(runs, num_videos, num_sets, rng)):
        (ap, draws), (other_ap, other_draws) = (estimate_and_draws(run, num_draws, seed=n) for run in own)
        truth = true_aps[1] - true_aps[0]
        difference.add(compute_interval(other_ap - ap, other_draws - draws, num_videos), truth)
        plain.add(percentiles(other_draws - draws), truth)
        aps.append((ap, compute_interval(ap, draws, num_videos)))
    mean_ap = float(np.mean([ap for ap, _ in aps]))
    of_all, of_size = Coverage("AP of the population"), Coverage("AP that data sets of this size have on average")
    for _, interval in aps:
        of_all.add(interval, true_aps[0])
        of_size.add(interval, mean_ap)
    print(
        f"{num_videos} videos, one seed, luck {kind.luck}, true ΔAP {100 * (true_aps[1] - true_aps[0]):.2f}:", end=" "
    )
    print(f"{num_sets} data sets")
    print(*(difference, plain, of_all, of_size), sep="\n")
    print(f"AP of {num_videos} videos is {100 * (mean_ap - true_aps[0]):.2f} higher than the population's on average\n")


def measure_seed_coverage(
    num_videos: int, num_seeds: int, spread: float, num_sets: int, num_draws: int, seed: int
) -> None:
    """Print how many intervals hold a true ΔAP of 0; runs of several seeds.

    Args:
        num_videos: of a data set.
        num_seeds: of each of two trials.
        spread: standard deviation of quality from seed to seed.
        num_sets: data sets.
        num_draws: for each interval.
        seed: of the data sets.
    """
    rng = np.random.default_rng(num_seeds + seed)
    names = ("ΔAP", "ΔAP, seeds resampled instead", "ΔAP, videos resampled only")
    moved, resampled, videos_only = (Coverage(name) for name in names)
    ps = []
    for n in range(num_sets):
        videos = draw_population(POPULATION, num_videos, rng)
        trials = []
        for _ in range(2):
            runs = [predict(videos, rng.normal(0, spread), rng) for _ in range(num_seeds)]
            aps, draws = zip(*(estimate_and_draws(run, num_draws, n) for run in runs), strict=True)
            trials.append((np.array(aps), np.stack(draws)))
        differences, draws = trials[1][0] - trials[0][0], trials[1][1] - trials[0][1]
        estimate, of_videos = float(differences.mean()), draws.mean(axis=0)
        with_seeds = add_seed_level(of_videos, measure_seed_spread(trials), 2 / num_seeds, n)
        moved.add(compute_interval(estimate, with_seeds, num_videos), 0.0)
        chosen = rng.integers(num_seeds, size=(num_seeds, num_draws))
        of_both = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
        resampled.add(compute_interval(estimate, of_both, num_videos), 0.0)
        videos_only.add(compute_interval(estimate, of_videos, num_videos), 0.0)
        ps.append(compute_p(estimate, with_seeds, num_videos) or 1.0)
    print(
        f"{num_videos} videos, {num_seeds} seeds, sd of AP between seeds about {30 * spread:.1f}: {num_sets} data sets"
    )
    print(moved, resampled, videos_only, sep="\n")
    print(f"p < 0.05, where in truth nothing differs: {100 * np.mean(np.array(ps) < 0.05):.1f} %\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400, help="data sets per setting")
    parser.add_argument("--draws", type=int, default=200, help="draws per interval")
    parser.add_argument("--seed", type=int, default=0, help="another one, other populations and data sets")
    arguments = parser.parse_args()
    began = time.perf_counter()
    measure_speed()
    print(f"coverage of nominal 95 % intervals, {arguments.draws} draws each\n")
    for kind, num_videos in ((POPULATION, 60), (MORE_LUCK, 60), (POPULATION, 200)):
        measure_coverage(kind, num_videos, arguments.sets, arguments.draws, arguments.seed)
    for num_seeds, spread in ((3, 0.0), (3, 0.017), (3, 0.035), (3, 0.07)):
        measure_seed_coverage(60, num_seeds, spread, arguments.sets, arguments.draws, arguments.seed)
    print(f"all of it took {time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of them at work")


if __name__ == "__main__":
    main()
