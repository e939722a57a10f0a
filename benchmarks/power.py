"""How many videos and seeds it takes to tell trials apart that differ by 1 AP: from runs, by formula, by simulation.

Run: python -m benchmarks.power [--results results] [--sets 150] [--write docs/uncertainty.md]

Writes the tables of docs/uncertainty.md, between its markers. Runs need stored matches (matches.json.gz); without any,
the formula is left out.
"""

import argparse
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from benchmarks.bootstrap import POPULATION, estimate_and_draws
from benchmarks.made_up_matches import draw_population, predict
from vistrials.evaluation.bootstrap import SeedSpread, add_seed_level, compute_p, measure_seed_spread
from vistrials.reports.comparison import BASELINE
from vistrials.reports.found_runs import find_readable_runs
from vistrials.reports.uncertainty import RunDraws, pool_seed_spread, resample_run

DIFFERENCE_AP = 1.0
POWER = 0.8
NUM_DRAWS = 1000
NUMS_SEEDS = (1, 3, 5, 10, 20)
ASSUMED_SEED_SDS = (0.0, 0.5, 1.0)

_NORMAL = NormalDist()
EFFORT = (_NORMAL.inv_cdf(0.975) + _NORMAL.inv_cdf(POWER)) ** 2
"""A difference is found with POWER at p < 0.05 where its variance is at most its square by this."""


@dataclass(frozen=True)
class Measured:
    """A trial against baseline on a split, in AP.

    difference: mean over seeds.
    video_sd: of the difference between two runs, by the choice of the videos.
    """

    split: str
    trial: str
    num_videos: int
    num_seeds: int
    difference: float
    video_sd: float


def measure(results: Path, profile: str) -> tuple[list[Measured], dict[str, SeedSpread | None]]:
    """Measure all trials that share seeds with baseline and have stored matches; the spread between seeds by split."""
    found, _ = find_readable_runs(results, profile)
    measured, spreads = [], {}
    for split in dict.fromkeys(split for _, recorded in found for split in recorded.splits):
        runs: dict[str, dict[int, RunDraws]] = {}
        for run, _ in found:
            if run.is_evaluated(split) and run.matches(split).exists():
                ap = 100 * run.read_metrics(split)["AP"]
                runs.setdefault(run.trial, {})[run.seed] = resample_run(run.matches(split), ap, NUM_DRAWS)
        spreads[split] = pool_seed_spread([list(of_seeds.values()) for of_seeds in runs.values()])
        for trial, of_seeds in runs.items():
            pairs = [(own, runs[BASELINE][seed]) for seed, own in of_seeds.items() if seed in runs.get(BASELINE, {})]
            if trial == BASELINE or not pairs:
                continue
            sds = [float(np.nanstd(own.draws - base.draws)) for own, base in pairs]
            measured.append(
                Measured(
                    split,
                    trial,
                    len(pairs[0][0].video_ids),
                    len(pairs),
                    float(np.mean([own.ap - base.ap for own, base in pairs])),
                    math.sqrt(np.mean(np.square(sds))),
                )
            )
    return measured, spreads


def videos_needed(video_sd_of_one: float, seed_sd: float, num_seeds: int) -> int | None:
    """Videos that it takes with so many seeds per trial; None where no number is enough."""
    left = DIFFERENCE_AP**2 / EFFORT - 2 * seed_sd**2 / num_seeds
    return math.ceil(video_sd_of_one**2 / left) if left > 0 else None


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured_tables(measured: Sequence[Measured], spreads: Mapping[str, SeedSpread | None], profile: str) -> str:
    """What was measured, and what follows for 1 AP."""
    headings = ("trial against baseline", "split", "videos", "seeds", "ΔAP", "sd by videos", "σ", "videos for 1 AP")
    rows = []
    for m in measured:
        sigma = m.video_sd * math.sqrt(m.num_videos)
        needed = f"{videos_needed(sigma, 0.0, 1):,}"
        counts = (str(m.num_videos), str(m.num_seeds))
        rows.append((m.trial, m.split, *counts, f"{m.difference:+.1f}", f"{m.video_sd:.2f}", f"{sigma:.1f}", needed))
    parts = [f"Profile `{profile}`:", table(headings, rows)]
    for split in dict.fromkeys(m.split for m in measured):
        own = [m for m in measured if m.split == split]
        sigma = math.sqrt(np.mean([m.video_sd**2 * m.num_videos for m in own]))
        seed_sds = [(f"{sd:g} (assumed)", sd) for sd in ASSUMED_SEED_SDS]
        if (spread := spreads[split]) is not None:
            sd = math.sqrt(spread.variance)
            seed_sds.insert(0, (f"{sd:.2f} (measured, {spread.degrees} degrees of freedom)", sd))
        needed_rows = []
        for name, sd in seed_sds:
            needed_videos = [videos_needed(sigma, sd, num_seeds) for num_seeds in NUMS_SEEDS]
            needed_rows.append((name, *("never" if videos is None else f"{videos:,}" for videos in needed_videos)))
        several = "" if spread else "; between seeds nothing is measured yet"
        parts.append(f"Videos needed by split `{split}`, σ = {sigma:.1f}{several}:")
        parts.append(table(("sd of AP between seeds", *(f"{n} seed{'s'[: n - 1]}" for n in NUMS_SEEDS)), needed_rows))
    return "\n\n".join(parts)


def simulate(num_videos: int, num_seeds: int, seed_sd: float, num_sets: int) -> tuple[str, ...]:
    """How often p < 0.05 finds a difference of about 1 AP, beside what the formula says, as a row of a table."""
    quality_per_ap = 0.039
    rng = np.random.default_rng([num_videos, num_seeds])
    estimates, variances, num_found = [], [], 0
    for n in range(num_sets):
        trials = []
        videos = draw_population(POPULATION, num_videos, rng)
        for quality in (0.0, quality_per_ap):
            qualities = rng.normal(quality, quality_per_ap * seed_sd, num_seeds)
            runs = [estimate_and_draws(predict(videos, own, rng), NUM_DRAWS // 5, n) for own in qualities]
            trials.append((100 * np.array([ap for ap, _ in runs]), 100 * np.stack([draws for _, draws in runs])))
        estimate = float(np.mean(trials[1][0] - trials[0][0]))
        of_videos = np.mean(trials[1][1] - trials[0][1], axis=0)
        draws = add_seed_level(of_videos, measure_seed_spread(trials), 2 / num_seeds, n)
        p = compute_p(estimate, draws, num_videos)
        num_found += p is not None and p < 0.05
        estimates.append(estimate)
        variances.append(of_videos.var())
    difference = float(np.mean(estimates))
    sd = math.sqrt(np.mean(variances) + 2 * seed_sd**2 / num_seeds)
    z = _NORMAL.inv_cdf(0.975)
    expected = _NORMAL.cdf(difference / sd - z) + _NORMAL.cdf(-difference / sd - z)
    share = num_found / num_sets
    error = math.sqrt(share * (1 - share) / num_sets)
    found = f"{100 * share:.0f} ± {100 * error:.0f} %"
    return str(num_videos), str(num_seeds), f"{seed_sd:g}", f"{difference:.2f}", f"{100 * expected:.0f} %", found


def simulated_table(num_sets: int) -> str:
    """Power where the truth is known."""
    settings = ((60, 1, 0.0), (300, 1, 0.0), (60, 3, 0.5), (300, 3, 0.5))
    headings = (
        "videos",
        "seeds",
        "sd of AP between seeds",
        "ΔAP",
        "found, by formula",
        f"found in {num_sets} data sets",
    )
    return table(headings, [simulate(*setting, num_sets) for setting in settings])


def parts(results: Path, profile: str, num_sets: int) -> Iterator[tuple[str, str]]:
    """Text of each marked part of the page."""
    measured, spreads = measure(results, profile)
    if measured:
        yield "measured", measured_tables(measured, spreads, profile)
    else:
        print(f"{results / profile}: no trial and baseline of the same seed with stored matches; nothing measured\n")
    if num_sets:
        yield "simulated", simulated_table(num_sets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--sets", type=int, default=150, help="simulated data sets; 0 for none")
    parser.add_argument("--write", type=Path, help="page to put the tables into")
    arguments = parser.parse_args()
    for name, text in parts(arguments.results, arguments.profile, arguments.sets):
        print(text, end="\n\n")
        if arguments.write:
            page = arguments.write.read_text(encoding="utf-8")
            marked = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
            page = marked.sub(lambda found, text=text: found[1] + text + found[2], page)
            arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
