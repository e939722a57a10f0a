"""What docs/uncertainty.md says of verdicts is what benchmarks/verdicts.json holds, and keeps within its bounds."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.other_methods import fit_prior, p_of_methods
from benchmarks.verdict_tables import write_tables
from benchmarks.verdicts import Setting, draw_runs, is_wrong, measure_null, resample
from vistrials.evaluation.intervals import Estimate
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.verdicts import Verdict
from vistrials.formats.json_file import load_json

ROOT = Path(__file__).resolve().parents[2]
FOUND: dict[str, Any] = load_json(ROOT / "benchmarks" / "verdicts.json")
PAGE = (ROOT / "docs" / "uncertainty.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
NOISE = 2.6 * (0.05 * 0.95 / FOUND["sets"]) ** 0.5  # 99 of 100 shares of 5 % are as near


def test_the_page_has_its_tables() -> None:
    assert write_tables(PAGE, FOUND) == PAGE
    with pytest.raises(ValueError, match=r"expected one <!-- null -->"):
        write_tables("no markers", FOUND)


def test_errors_and_coverage_are_within_their_bounds() -> None:
    assert FOUND["sets"] >= 1500
    for row in FOUND["null"]:
        assert row["alone"]["ours"] <= 0.05 + NOISE and row["family"]["ours"] <= 0.06, row
        assert row["coverage"] >= 0.95 - NOISE, row
    assert all(abs(row["coverage"] - 0.95) <= 0.02 for row in FOUND["one_network"])
    assert all(max(row["alone"], row["family"]) <= 0.05 + NOISE for row in FOUND["equality"])
    assert all(row["alone"] <= 0.05 + NOISE for row in FOUND["ap"])
    assert all(row["error"] <= 0.05 + NOISE for row in FOUND["looks"])


def test_what_the_page_says_in_words() -> None:
    luck = next(row for row in FOUND["null"] if row["setting"] == "seeds alike, sd 0" and row["seeds"] == 3)
    assert "the error is 1 to 2 %" in TEXT and 0.005 < luck["alone"]["ours"] < 0.025
    unequal = next(row for row in FOUND["null"] if "tested" in row["setting"] and row["seeds"] == 3)
    assert "wrong in a third of cases" in TEXT and unequal["alone"]["pooled"] == pytest.approx(1 / 3, abs=0.04)
    levels = re.search(r"([\d.]+) % with three seeds, ([\d.]+) % with five, ([\d.]+) % with ten", TEXT)
    assert levels is not None
    errors = find_errors(10)
    assert levels.groups() == tuple(f"{100 * errors[seeds]:.1f}" for seeds in (3, 5, 10))
    assert all(row["better"] < 0.2 for row in FOUND["power"] if row["seeds"] == 3)


def test_ten_thousand_draws_take_less_than_five_seconds() -> None:
    row = FOUND["speed"]["8 categories"]
    assert row["resampling"] + row["judging"] < 5


def test_a_verdict_is_wrong_by_the_truth() -> None:
    wrong = {(verdict, truth) for verdict in Verdict for truth in (0.0, 0.5, 1.0, -1.0) if is_wrong(verdict, truth)}
    assert wrong == {
        (Verdict.BETTER, 0.0),
        (Verdict.BETTER, -1.0),
        (Verdict.WORSE, 0.0),
        (Verdict.WORSE, 0.5),
        (Verdict.WORSE, 1.0),
        (Verdict.EQUAL, 1.0),
        (Verdict.EQUAL, -1.0),
    }


def test_made_up_runs_have_the_variances_of_their_setting() -> None:
    setting = Setting("", 400, 20, seed_sd=1.0, tested_sd=4.4, base_sd=2.0, difference=3.0, video_sd=0, luck_sd=0)
    figures, worth = draw_runs(setting, np.random.default_rng(0))
    assert figures.shape == (9, 400, 20)
    assert worth.std(axis=1)[:3] == pytest.approx([2.0, 4.4, 1.0], rel=0.15)
    assert worth.mean(axis=1)[2] - worth.mean(axis=1)[0] == pytest.approx(3, abs=0.5)
    _, turned = draw_runs(replace(setting, alternating=True), np.random.default_rng(0))
    assert turned[1::2] == pytest.approx(worth[1::2]) and turned[2::2] == pytest.approx(worth[2::2] - 6)
    # What all videos share is worth and the video itself.
    assert (figures - worth[:, :, None]).std(axis=(0, 1)).max() == pytest.approx(0, abs=1e-9)


def test_resampled_means_are_those_of_repeated_videos() -> None:
    means = resample(np.array([[0.0, 0.0, 6.0]]), seed=0)
    assert set(np.round(means[0], 6)) == {0.0, 2.0, 4.0, 6.0}


def test_a_data_set_gives_shares() -> None:
    row = measure_null(Setting("few", 3, 12), 3)
    assert {3 * share % 1 for share in (*row["alone"].values(), row["coverage"])} <= {0.0, 1.0} | {1 - 2**-53}


def test_variances_that_differ_by_chance_have_one_prior() -> None:
    variance, degrees = fit_prior(np.array([2.0, 2.0, 2.0]), 4)
    assert math.isinf(degrees) and variance == pytest.approx(2 * math.exp(-(0.42278434 - math.log(2))))  # digamma(2)
    rng = np.random.default_rng(0)
    # Own variances of F(4, 6) times 3: a prior of 3 with 6 degrees of freedom.
    own = 3 * (rng.chisquare(4, 20_000) / 4) / (rng.chisquare(6, 20_000) / 6)
    variance, degrees = fit_prior(own, 4)
    assert (variance, degrees) == (pytest.approx(3, rel=0.05), pytest.approx(6, rel=0.1))


def test_methods_agree_where_networks_do_not_matter() -> None:
    estimates = [Estimate(2.0, np.zeros(1), 3, 10**6, 1.0, 0.0, variance) for variance in (1e-9, 2e-9, 3e-9)]
    for name, p in p_of_methods(estimates).items():
        assert p == pytest.approx([0.0455] * 3, abs=1e-4), name
