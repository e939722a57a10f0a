"""How often verdicts, p-values and intervals are wrong, how many seeds decide, and how long 10,000 draws take.

Run: python -m benchmarks.verdicts [--sets 1500] [--out benchmarks/verdicts.json] [--parts equality,power,looks]
    [--write docs/uncertainty.md]

Draws data sets in which the truth is known, and judges them with the functions of `vistrials compare`. In most a run's
figure is a mean over videos, which takes milliseconds; in some it is AP of made-up matches. `--write` puts the tables
into the page, between its markers; with `--sets 0` those of the file that --out names.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_up_matches import Population, draw_population, predict
from benchmarks.other_methods import p_of_methods
from benchmarks.verdict_tables import write_tables
from vistrials.evaluation.bootstrap import draw_videos, resample_ap
from vistrials.evaluation.intervals import Estimate, compute_interval, compute_p, estimate_mean
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.verdicts import ERROR, Judgement, Verdict, decide, judge

Floats = NDArray[np.float64]

NUM_DRAWS = 999
NUM_TRIALS = 8
NUM_TRIALS_LOOKED_AT = 4
MARGIN = 1.0
WIDE_MARGIN = 4.0
"""For false equalities: where intervals are wider than the margin, no verdict is "equal"."""
QUALITY_PER_AP = 0.032
FIRST_LOOK, MAX_SEEDS = 3, 10


@dataclass(frozen=True)
class Setting:
    """Trials and their baseline; all in AP.

    num_seeds, num_videos, num_trials: S, V and J.
    seed_sd, tested_sd, base_sd: between networks, of the trials, of the one that is tested, of the baseline.
    start_sd: between the starts that all trials of a seed share.
    difference: of each trial to the baseline, in truth; of every second one its negative where `alternating`.
    video_sd, luck_sd: from video to video, of what a trial's networks share, and of each network's own.
    base_video_sd: of what the baseline's networks share, and so all differences to it.
    """

    name: str
    num_seeds: int = 3
    num_videos: int = 60
    seed_sd: float = 1.0
    tested_sd: float | None = None
    base_sd: float = 1.0
    start_sd: float = 0.0
    difference: float = 0.0
    video_sd: float = 2.5
    luck_sd: float = 4.0
    base_video_sd: float = 0.0
    num_trials: int = NUM_TRIALS
    alternating: bool = False


NULL = [
    Setting("seeds alike, sd 0", seed_sd=0.0, base_sd=0.0),
    Setting("seeds alike, sd 1.0"),
    Setting("seeds alike, sd 2.0", seed_sd=2.0, base_sd=2.0),
    Setting("seeds alike, sd 1.4, 30 videos", seed_sd=1.4, base_sd=1.4, num_videos=30, video_sd=4.0, luck_sd=5.0),
    Setting("tested trial's sd 4.4, others' 1.0", tested_sd=4.4),
    Setting("baseline's sd 4.4, trials' 1.0", base_sd=4.4),
    Setting("each seed its own start, sd 3.0", start_sd=3.0),
    Setting("videos matter most", seed_sd=0.3, base_sd=0.3, video_sd=8.0, luck_sd=2.0),
]


OPPOSITE = [
    Setting("in turn at both margins, sd 1.0", alternating=True),
    Setting(
        "two trials, one at each, most by the baseline's videos",
        seed_sd=0.3,
        base_sd=0.3,
        video_sd=1.0,
        luck_sd=2.0,
        base_video_sd=6.0,
        num_trials=2,
        alternating=True,
    ),
]
"""For false equalities: every second trial at the other margin."""


def draw_runs(setting: Setting, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Figures of all runs by video [1 + J, S, V], the baseline's first, and what each network is worth [1 + J, S]."""
    shape = (1 + setting.num_trials, setting.num_seeds)
    sds = np.full(1 + setting.num_trials, setting.seed_sd)
    sds[0] = setting.base_sd
    sds[1] = setting.seed_sd if setting.tested_sd is None else setting.tested_sd
    worth = sds[:, None] * rng.normal(size=shape) + setting.start_sd * rng.normal(size=(1, setting.num_seeds))
    signs = np.where(setting.alternating & (np.arange(setting.num_trials) % 2 == 1), -1.0, 1.0)
    worth[1:] += setting.difference * signs[:, None]
    video_sds = np.full(1 + setting.num_trials, setting.video_sd)
    video_sds[0] = setting.base_video_sd
    of_trials = video_sds[:, None, None] * rng.normal(size=(1 + setting.num_trials, 1, setting.num_videos))
    luck = setting.luck_sd * rng.normal(size=(*shape, setting.num_videos))
    of_videos = 25 * rng.normal(size=setting.num_videos)
    return 60 + worth[:, :, None] + of_videos + of_trials + luck, worth


def resample(figures: Floats, seed: int) -> Floats:
    """Means of resampled videos [.., B] of figures [.., V]."""
    means: Floats = figures @ _shares(figures.shape[-1], seed % 40)
    return means


@cache
def _shares(num_videos: int, seed: int) -> Floats:
    """What each video is of each draw, [V, B]."""
    return np.ascontiguousarray(draw_videos(num_videos, NUM_DRAWS, seed).T / num_videos)


def estimate_all(figures: Floats, draws: Floats, nums_seeds: Sequence[int], seed: int) -> dict[str, Estimate]:
    """The differences of all trials to the baseline, by the first seeds of each."""
    means, family = figures.mean(axis=-1), {}
    for j, num in enumerate(nums_seeds, 1):
        values, of_draws = means[j, :num] - means[0, :num], draws[j, :num] - draws[0, :num]
        estimate = estimate_mean(values, of_draws, figures.shape[-1], seed=1000 * seed + j)
        assert estimate is not None
        family[str(j)] = estimate
    return family


def data_sets(setting: Setting, num_sets: int) -> Iterator[tuple[dict[str, Estimate], Floats]]:
    """The estimates of each, and what each network is worth."""
    rng = np.random.default_rng([num_sets, setting.num_seeds, setting.num_videos, *setting.name.encode()])
    for n in range(num_sets):
        figures, worth = draw_runs(setting, rng)
        yield estimate_all(figures, resample(figures, n), [setting.num_seeds] * setting.num_trials, n), worth


def measure_null(setting: Setting, num_sets: int) -> dict[str, Any]:
    """Shares of data sets with errors where nothing differs: by our p and by other methods', alone and as a family."""
    alone: dict[str, list[bool]] = {}
    any_of: dict[str, list[bool]] = {}
    covered, at_once = [], []
    for family, _ in data_sets(setting, num_sets):
        judged = judge(family, MARGIN)
        tested = family["1"]
        interval = compute_interval(tested)
        covered.append(interval.low <= 0 <= interval.high)
        at_once.append(all(j.family_interval.low <= 0 <= j.family_interval.high for j in judged.values()))
        alone.setdefault("ours", []).append(judged["1"].p <= ERROR)
        any_of.setdefault("ours", []).append(any(differs(j) for j in judged.values()))
        for method, p in p_of_methods(list(family.values())).items():
            alone.setdefault(method, []).append(bool(p[0] <= ERROR))
            any_of.setdefault(method, []).append(bool(min(p) <= ERROR / len(p)))
    return {
        "setting": setting.name,
        "seeds": setting.num_seeds,
        "alone": {method: share(hits) for method, hits in alone.items()},
        "family": {method: share(hits) for method, hits in any_of.items()},
        "coverage": share(covered),
        "family_coverage": share(at_once),
    }


def measure_one_network(num_sets: int) -> Iterator[dict[str, Any]]:
    """One network under three seeds, and one seed: no p, and how often "videos only" holds what these are worth."""
    for name, num_seeds in (("one network counted three times", 3), ("one seed", 1)):
        setting = Setting(name, num_seeds)
        rng = np.random.default_rng([num_sets, num_seeds])
        covered = []
        for n in range(num_sets):
            figures, worth = draw_runs(setting, rng)
            figures[1], worth[1] = figures[1, :1], worth[1, :1]
            draws, means = resample(figures[:2], n), figures.mean(axis=-1)
            estimate = estimate_mean(means[1] - means[0], draws[1] - draws[0], setting.num_videos, one_network=True)
            assert estimate is not None
            interval = compute_interval(estimate)
            covered.append(interval.low <= (worth[1] - worth[0]).mean() <= interval.high)
        yield {"setting": name, "coverage": share(covered)}


def measure_equality(setting: Setting, num_sets: int) -> dict[str, Any]:
    """Shares of data sets with a false equality where all trials differ by the margin, which is a wide one."""
    alone, any_of = [], []
    for family, _ in data_sets(setting, num_sets):
        judged = judge(family, setting.difference)
        alone.append(judged["1"].equal_p <= ERROR)
        any_of.append(any(j.adjusted_equal_p <= ERROR for j in judged.values()))
    return {
        "setting": setting.name,
        "seeds": setting.num_seeds,
        "difference": setting.difference,
        "alone": share(alone),
        "family": share(any_of),
    }


def measure_power(setting: Setting, num_sets: int) -> dict[str, Any]:
    """Shares of the verdicts on a trial among others."""
    verdicts = [judge(family, MARGIN)["1"].verdict for family, _ in data_sets(setting, num_sets)]
    return {
        "videos": setting.num_videos,
        "seeds": setting.num_seeds,
        "seed_sd": setting.seed_sd,
        "difference": setting.difference,
        **{str(verdict): share([found is verdict for found in verdicts]) for verdict in Verdict},
    }


def measure_looks(setting: Setting, num_sets: int) -> dict[str, Any]:
    """Seeds added until trials are decided: errors, runs, and what all seeds at once decide."""
    rng, errors = np.random.default_rng([num_sets, *setting.name.encode()]), find_errors(MAX_SEEDS)
    planned, unplanned, at_once, decided, runs = [], [], [], [], []
    for n in range(num_sets):
        figures, _ = draw_runs(setting, rng)
        draws = resample(figures, n)
        judge_look = cache(lambda nums, f=figures, d=draws, n=n: _judge_all(f, d, nums, n))
        verdicts, nums = add_seeds(judge_look, errors, setting.num_trials)
        planned.append(any(is_wrong(verdict, setting.difference) for verdict in verdicts))
        decided.append(np.mean([verdict is not Verdict.UNDECIDED for verdict in verdicts]))
        # The baseline has as many seeds as the trial with most.
        runs.append((sum(nums) + max(nums)) / ((setting.num_trials + 1) * MAX_SEEDS))
        verdicts, _ = add_seeds(judge_look, dict.fromkeys(errors, ERROR), setting.num_trials)
        unplanned.append(any(is_wrong(verdict, setting.difference) for verdict in verdicts))
        all_seeds = judge_look((MAX_SEEDS,) * setting.num_trials)
        at_once.append(np.mean([decide(*judged, ERROR) is not Verdict.UNDECIDED for judged in all_seeds]))
    return {
        "setting": setting.name,
        "difference": setting.difference,
        "error": share(planned),
        "error_without_plan": share(unplanned),
        "decided": float(np.mean(decided)),
        "decided_at_once": float(np.mean(at_once)),
        "runs": float(np.mean(runs)),
    }


def _judge_all(figures: Floats, draws: Floats, nums: tuple[int, ...], seed: int) -> list[tuple[float, float, float]]:
    """Of each trial ΔAP and its adjusted p, of no difference and of one of the margin."""
    family = estimate_all(figures, draws, nums, seed)
    judged = judge(family, MARGIN)
    return [(family[name].value, j.adjusted_p, j.adjusted_equal_p) for name, j in judged.items()]


def add_seeds(
    judge_look: Callable[[tuple[int, ...]], list[tuple[float, float, float]]],
    errors: Mapping[int, float],
    num_trials: int,
) -> tuple[list[Verdict], tuple[int, ...]]:
    """Verdicts and seeds of all trials; one that is decided keeps the seeds that it had, and its verdict."""
    verdicts, nums = [Verdict.UNDECIDED] * num_trials, (FIRST_LOOK,) * num_trials
    for look in range(FIRST_LOOK, MAX_SEEDS + 1):
        nums = tuple(look if verdict is Verdict.UNDECIDED else num for verdict, num in zip(verdicts, nums, strict=True))
        for place, judged in enumerate(judge_look(nums)):
            if verdicts[place] is Verdict.UNDECIDED:
                verdicts[place] = decide(*judged, errors[look])
        if Verdict.UNDECIDED not in verdicts:
            break
    return verdicts, nums


def is_wrong(verdict: Verdict, difference: float) -> bool:
    """Whether a verdict is false: a difference that is not there, or has the other sign, or an equality."""
    if verdict is Verdict.EQUAL:
        return abs(difference) >= MARGIN
    sign = {Verdict.BETTER: 1, Verdict.WORSE: -1, Verdict.UNDECIDED: 0}[verdict]
    return sign != 0 and sign != np.sign(difference)


def differs(judgement: Judgement) -> bool:
    return judgement.verdict in (Verdict.BETTER, Verdict.WORSE)


def measure_ap(name: str, sds: tuple[float, float], num_seeds: int, num_sets: int) -> dict[str, Any]:
    """Errors and coverage where the figure is AP of 60 made-up videos: two trials that are equal in truth."""
    rng = np.random.default_rng([num_seeds, *name.encode()])
    covered, found = [], []
    everything = np.ones((1, 60), dtype=np.int64)
    for n in range(num_sets):
        videos = draw_population(Population(), 60, rng)
        weights = np.concatenate([everything, draw_videos(60, 999, n)])
        trials = []
        for sd in sds:
            qualities = rng.normal(0, QUALITY_PER_AP * sd, num_seeds)
            trials.append(
                np.stack([100 * resample_ap(predict(videos, quality, rng), weights) for quality in qualities])
            )
        differences = trials[1] - trials[0]
        estimate = estimate_mean(differences[:, 0], differences[:, 1:], 60, seed=n)
        assert estimate is not None
        interval = compute_interval(estimate)
        covered.append(interval.low <= 0 <= interval.high)
        found.append(compute_p(estimate) <= ERROR)
    return {"setting": name, "seeds": num_seeds, "coverage": share(covered), "alone": share(found)}


def measure_speed() -> dict[str, Any]:
    """Processor and wall seconds of 10,000 draws: 15 trials of 300 videos, drawn, and judged."""
    rows = {}
    kinds = {"8 categories": Population(), "40 categories": Population(num_categories=40, false_per_video=23.0)}
    for name, kind in kinds.items():
        rng = np.random.default_rng(0)
        videos = draw_population(kind, 300, rng)
        runs = [predict(videos, 0.0, rng) for _ in range(15)]
        resample_ap(runs[0], draw_videos(300, 2))  # compiles
        wall, work = time.perf_counter(), time.process_time()
        weights = np.concatenate([np.ones((1, 300), dtype=np.int64), draw_videos(300, 10_000)])
        aps = 100 * np.stack([resample_ap(run, weights) for run in runs])
        resampled = time.process_time()
        # As if each network were three: the statistics of 15 trials with three seeds.
        family = {}
        for j, own in enumerate(aps):
            three = np.stack([own, np.roll(own, 1), np.roll(own, 2)])
            estimate = estimate_mean(three[:, 0], three[:, 1:], 300, seed=j)
            assert estimate is not None
            family[str(j)] = estimate
        judge(family, MARGIN)
        rows[name] = {
            "predictions": sum(len(record.scores) for record in runs[0].records),
            "resampling": resampled - work,
            "judging": time.process_time() - resampled,
            "wall": time.perf_counter() - wall,
        }
    return rows


def share(hits: Sequence[bool]) -> float:
    return float(np.mean(hits))


def measure(num_sets: int, parts: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Some parts, or all, as `--out` keeps them."""
    found: dict[str, Any] = {"sets": num_sets, "draws": NUM_DRAWS, "trials": NUM_TRIALS, "margin": MARGIN}

    def each(name: str, rows: Iterable[dict[str, Any]]) -> None:
        if parts and name not in parts:
            return
        found[name] = []
        for row in rows:
            found[name].append(row)
            say(f"{name}: {row}")

    each("null", (measure_null(replace(s, num_seeds=n), num_sets) for s in NULL for n in (3, 10)))
    each("one_network", measure_one_network(num_sets))
    at_margin = [replace(s, difference=WIDE_MARGIN) for s in (*NULL, *OPPOSITE)]
    each("equality", (measure_equality(replace(s, num_seeds=n), num_sets) for s in at_margin for n in (3, 10)))
    power = [
        Setting("", n, v, sd, None, sd, 0.0, d)
        for v in (60, 300)
        for sd in (0.5, 1.0)
        for n in (3, 5, 10)
        for d in (0, 2)
    ]
    each("power", (measure_power(s, max(1, num_sets // 3)) for s in power))
    looks = [
        Setting(f"sd {sd:g}, {v} videos", MAX_SEEDS, v, sd, None, sd, 0.0, d, num_trials=NUM_TRIALS_LOOKED_AT)
        for sd, v, d in ((0.5, 300, 0.0), (0.5, 300, 1.0), (1.0, 60, 0.0), (1.0, 60, 3.0))
    ]
    each("looks", (measure_looks(s, num_sets) for s in looks))
    ap = [("seeds alike, sd 1.0", (1.0, 1.0)), ("tested trial's sd 4.4, the other's 1.0", (1.0, 4.4))]
    each("ap", (measure_ap(name, sds, 3, num_sets) for name, sds in ap))
    if not parts or "speed" in parts:
        found["speed"] = measure_speed()
        say(f"speed: {found['speed']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1500, help="data sets per setting; 0 to take those of --out")
    parser.add_argument("--out", type=Path, help="JSON file of all that is measured")
    parser.add_argument("--parts", help="measure these alone, separated by commas, and keep the others of --out")
    parser.add_argument("--write", type=Path, help="page to put the tables into")
    arguments = parser.parse_args()
    if arguments.sets:
        began = time.perf_counter()
        parts = arguments.parts.split(",") if arguments.parts else []
        found = measure(arguments.sets, parts, lambda line: print(line, flush=True))
        if parts:
            found = json.loads(arguments.out.read_text(encoding="utf-8")) | found
        else:
            found["seconds"] = round(time.perf_counter() - began)
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    else:
        found = json.loads(arguments.out.read_text(encoding="utf-8"))
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(write_tables(page, found), encoding="utf-8")


if __name__ == "__main__":
    main()
