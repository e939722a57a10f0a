"""Intervals and p in Table 1: where they come from, how they are shown, and what is said where they are missing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.evaluation.drawn_matches import one_object_each
from tests.reports.fake_runs import write_run, write_run_with_matches
from vistrials.cli import app
from vistrials.errors import SpecError
from vistrials.evaluation.bootstrap import (
    add_seed_level,
    compute_interval,
    compute_p,
    draw_videos,
    measure_seed_spread,
    resample_ap,
)
from vistrials.evaluation.stored_matches import StoredMatches
from vistrials.reports.comparison import Comparison, Row, Statistic, compare_runs
from vistrials.reports.comparison_text import cells, columns, remarks, render
from vistrials.runs.provenance import update_provenance

NUM_VIDEOS = 20


def matches(num_right: int, first_video: int = 1, num_videos: int = NUM_VIDEOS) -> StoredMatches:
    """Videos of one object each, found in the first so many of them."""
    return one_object_each([(0.9 - n / 100, n < num_right) for n in range(num_videos)], first_video)


def draws_of(own: StoredMatches) -> np.ndarray:
    return 100 * resample_ap(own, draw_videos(NUM_VIDEOS, 1000))


def row_of(comparison: Comparison, trial: str) -> Row:
    return next(row for row in comparison.rows if row.trial == trial)


def compare(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "110"}).invoke(app, ["compare", "--results", str(tmp_path), *arguments])


# --- Values


def test_one_seed_has_the_interval_of_its_videos(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(18))
    comparison = compare_runs(tmp_path, "demo")
    neck, baseline = row_of(comparison, "attention_neck"), row_of(comparison, "baseline")
    # 15 of 20 found: recall 0.75 at precision 1, the 76 points 0.00 .. 0.75 of 101; 18 of 20: 91 points.
    ap, base_ap = 100 * 91 / 101, 100 * 76 / 101
    assert baseline.interval == compute_interval(base_ap, draws_of(matches(15)), NUM_VIDEOS)
    assert (baseline.to_baseline_interval, baseline.p) == (None, None)
    difference = draws_of(matches(18)) - draws_of(matches(15))
    expected = compute_interval(ap - base_ap, difference, NUM_VIDEOS)
    assert neck.to_baseline_interval is not None and expected is not None
    assert neck.to_baseline_interval.low == pytest.approx(expected.low)
    assert neck.to_baseline_interval.high == pytest.approx(expected.high)
    assert (neck.p, neck.adjusted_p, neck.num_networks) == (None, None, 1)
    # 0 .. 100 is all that AP can be, 90 give or take 13 or more.
    assert neck.interval is not None and neck.interval.high == 100
    assert (comparison.num_draws, comparison.num_videos) == (1000, NUM_VIDEOS)


def test_pairing_narrows_the_difference(tmp_path: Path) -> None:
    # The two runs differ in one video of 20: how many of the other 19 are drawn moves both alike.
    write_run_with_matches(tmp_path, "baseline", 0, matches(10))
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(11))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.interval is not None and neck.to_baseline_interval is not None
    widths = [interval.high - interval.low for interval in (neck.interval, neck.to_baseline_interval)]
    assert widths[1] < widths[0] / 2


def test_equal_runs_differ_by_nothing(tmp_path: Path) -> None:
    for trial in ("baseline", "attention_neck"):
        write_run_with_matches(tmp_path, trial, 0, matches(15))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.to_baseline_interval is not None
    assert (neck.to_baseline_interval.low, neck.to_baseline_interval.high) == (0, 0)


def test_seeds_are_a_second_level(tmp_path: Path) -> None:
    found = {"baseline": (8, 10, 12), "attention_neck": (12, 12, 15)}
    for trial, of_seeds in found.items():
        for seed, num_right in enumerate(of_seeds):
            write_run_with_matches(tmp_path, trial, seed, matches(num_right))
    comparison = compare_runs(tmp_path, "demo")
    ap = {n: 100 * resample_ap(matches(n), np.ones((1, NUM_VIDEOS), dtype=np.int64))[0] for n in range(21)}
    aps = {trial: np.array([ap[n] for n in of_seeds]) for trial, of_seeds in found.items()}
    draws = {trial: np.stack([draws_of(matches(n)) for n in of_seeds]) for trial, of_seeds in found.items()}
    spread = measure_seed_spread([(aps[trial], draws[trial]) for trial in found])
    assert spread is not None and comparison.seed_spread is not None
    assert comparison.seed_spread.variance == pytest.approx(spread.variance)
    assert comparison.seed_spread.degrees == 2 + 2
    neck = row_of(comparison, "attention_neck")
    of_videos = (draws["attention_neck"] - draws["baseline"]).mean(axis=0)
    estimate = float((aps["attention_neck"] - aps["baseline"]).mean())
    expected = compute_interval(estimate, add_seed_level(of_videos, spread, 2 / 3), NUM_VIDEOS)
    assert neck.to_baseline_interval is not None and expected is not None
    assert neck.to_baseline_interval.low == pytest.approx(expected.low)
    assert neck.to_baseline is not None and neck.to_baseline.mean == pytest.approx(estimate)
    assert neck.p == pytest.approx(compute_p(estimate, add_seed_level(of_videos, spread, 2 / 3), NUM_VIDEOS))
    interval, own = row_of(comparison, "baseline").interval, draws["baseline"].mean(axis=0)
    expected = compute_interval(float(aps["baseline"].mean()), add_seed_level(own, spread, 1 / 3), NUM_VIDEOS)
    assert interval is not None and expected is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_what_seeds_do_is_learnt_from_all_trials(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run_with_matches(tmp_path, "baseline", seed, matches(10))
        write_run_with_matches(tmp_path, "attention_neck", seed, matches(12))
    alone = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    for seed, first_right in enumerate((2, 9, 16)):
        write_run_with_matches(tmp_path, "weighted_affinity", seed, matches(first_right))
    comparison = compare_runs(tmp_path, "demo")
    with_others = row_of(comparison, "attention_neck")
    assert comparison.seed_spread is not None and comparison.seed_spread.degrees == 1 + 1 + 2
    assert alone.to_baseline_interval is not None and with_others.to_baseline_interval is not None
    assert with_others.to_baseline_interval.low < alone.to_baseline_interval.low


def test_one_network_under_several_seeds_says_nothing_about_seeds(tmp_path: Path) -> None:
    for seed, num_right in enumerate((8, 10, 12)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
    before = compare_runs(tmp_path, "demo").seed_spread
    for seed in range(3):
        write_run_with_matches(tmp_path, "masktrack_rcnn", seed, matches(11), network="abcd")
    assert before is not None and before.degrees == 2
    comparison = compare_runs(tmp_path, "demo")
    assert comparison.seed_spread == before
    row = row_of(comparison, "masktrack_rcnn")
    assert (row.seeds, row.num_networks, row.p, row.adjusted_p) == ((0, 1, 2), 1, None, None)
    ap = 100 * resample_ap(matches(11), np.ones((1, NUM_VIDEOS), dtype=np.int64))[0]
    assert row.figures["AP"] == Statistic(pytest.approx(ap), None)
    assert row.interval == compute_interval(row.figures["AP"].mean, draws_of(matches(11)), NUM_VIDEOS)
    # Against the mean of the baseline's three, on the same draws; what other networks would have is not in it.
    base = np.mean([draws_of(matches(n)) for n in (8, 10, 12)], axis=0)
    assert row.to_baseline is not None and row.to_baseline.sd is None and row.to_baseline_interval is not None
    expected = compute_interval(row.to_baseline.mean, draws_of(matches(11)) - base, NUM_VIDEOS)
    assert expected is not None and row.to_baseline_interval.low == pytest.approx(expected.low)
    shown = next(cell for cell in cells(comparison) if cell[0] == "masktrack_rcnn")
    assert "±" not in "".join(shown) and shown[-3:] == ("–", "–", "3 (1 network)")


def test_runs_that_recorded_no_digest_of_their_network_have_that_of_an_untrained_start(tmp_path: Path) -> None:
    whole, part = "162 tensors loaded", "138 tensors loaded; 24 fresh, absent from the file (...)"
    for trial, report, iterations in (
        ("masktrack_rcnn", whole, 0),
        ("baseline", part, 0),  # fresh layers differ from seed to seed
        ("attention_neck", whole, 500),
    ):
        for seed in range(2):
            run = write_run_with_matches(tmp_path, trial, seed, matches(11))
            update_provenance(
                run.provenance,
                initial_weights={"sha256": "abcd", "report": report},
                stages={"train": {"iterations": iterations}, "infer/minival": {"weights_sha256": f"{trial} {seed}"}},
            )
    networks = {row.trial: row.num_networks for row in compare_runs(tmp_path, "demo").rows}
    assert networks == {"masktrack_rcnn": 1, "baseline": 2, "attention_neck": 2}


def test_p_is_adjusted_for_the_rows_that_have_one(tmp_path: Path) -> None:
    found = {"baseline": 10, "attention_neck": 12, "weighted_affinity": 14, "baseline_ordered": 11}
    for trial, num_right in found.items():
        for seed in (0, 1):
            write_run_with_matches(tmp_path, trial, seed, matches(num_right + seed))
    write_run_with_matches(tmp_path, "baseline_window", 0, matches(18))
    comparison = compare_runs(tmp_path, "demo")
    rows = [row for row in comparison.rows if row.p is not None]
    assert {row.trial for row in rows} == set(found) - {"baseline"}
    least, middle, most = sorted((row.p, row.adjusted_p) for row in rows)
    assert least[1] == pytest.approx(3 * least[0])
    assert middle[1] == pytest.approx(min(1, max(least[1], 2 * middle[0])))
    assert most[1] == pytest.approx(max(middle[1], most[0]))
    assert "family of the 3 rows" in remarks(comparison)[3]


def test_the_difference_takes_the_seeds_that_both_have(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(10))
    write_run(tmp_path, "baseline", 1, 0.9)
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(12))
    write_run(tmp_path, "attention_neck", 2, 0.1)
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    estimate = 100 * (61 - 51) / 101  # 12 and 10 of 20 found
    expected = compute_interval(estimate, draws_of(matches(12)) - draws_of(matches(10)), NUM_VIDEOS)
    assert neck.interval is None
    assert neck.to_baseline_interval is not None and expected is not None
    assert neck.to_baseline_interval.high == pytest.approx(expected.high)


def test_the_same_comes_out_each_time(tmp_path: Path) -> None:
    for trial, num_right in (("baseline", 10), ("attention_neck", 13)):
        for seed in (0, 1):
            write_run_with_matches(tmp_path, trial, seed, matches(num_right + seed))
    assert compare_runs(tmp_path, "demo") == compare_runs(tmp_path, "demo")


# --- What is missing


def test_without_stored_matches_there_is_a_dash_and_a_way_to_get_them(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run(tmp_path, "attention_neck", 0, 0.9)
    comparison = compare_runs(tmp_path, "demo")
    baseline, neck = cells(comparison)
    assert neck == ("attention_neck", "90.0 [–]", "100.0", "110.0", "120.0", "130.0", "+14.8 [–]", "–", "–", "1")
    assert baseline[1].startswith("75.2 [") and baseline[1] != "75.2 [–]"
    assert remarks(comparison)[-1] == (
        "no interval, because matches.json.gz is missing: attention_neck seed 0; where predictions.json is left, "
        "delete metrics.json and `vistrials run attention_neck` only scores it again"
    )


def test_one_seed_without_matches_leaves_its_trial_without_interval(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run(tmp_path, "baseline", 1, 0.7)
    baseline = row_of(compare_runs(tmp_path, "demo"), "baseline")
    assert baseline.interval is None and baseline.seeds == (0, 1)


@pytest.mark.parametrize(("ap", "shown"), [(0.5, "50.00"), (0.8, "80.00")])
def test_matches_of_other_figures_are_not_used(tmp_path: Path, ap: float, shown: str) -> None:
    run = write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    run.metrics().write_text(json.dumps(json.loads(run.metrics().read_text()) | {"AP": ap}))
    comparison = compare_runs(tmp_path, "demo")
    assert comparison.rows[0].interval is None
    assert "baseline seed 0 has no interval" in remarks(comparison)[0]
    assert f"these matches have AP 75.25, the figures beside them {shown}" in remarks(comparison)[0]


def test_damaged_matches_do_not_stop_the_table(tmp_path: Path) -> None:
    run = write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    run.matches().write_bytes(run.matches().read_bytes()[:50])
    (line,) = remarks(compare_runs(tmp_path, "demo"))
    assert line.startswith("baseline seed 0 has no interval: ") and "cut short" in line


def test_runs_on_other_videos_are_not_paired(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(15, first_video=2))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.interval is not None
    assert (neck.to_baseline_interval, neck.p) == (None, None)


def test_too_few_videos_are_said(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(5, num_videos=9))
    comparison = compare_runs(tmp_path, "demo")
    assert comparison.rows[0].interval is None
    assert "no interval from 9 videos: it takes 10 or more" in remarks(comparison)


def test_nothing_to_score_has_no_interval_and_no_remark(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run(tmp_path, "attention_neck", 0, -1.0)
    comparison = compare_runs(tmp_path, "demo")
    assert row_of(comparison, "attention_neck").interval is None
    assert not any("attention_neck" in line for line in remarks(comparison))


@pytest.mark.parametrize("num_draws", [1, 99, -5])
def test_too_few_draws_are_refused(tmp_path: Path, num_draws: int) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    with pytest.raises(SpecError, match=f"expected 0 for no intervals, or 100 draws or more, found {num_draws}"):
        compare_runs(tmp_path, "demo", num_draws=num_draws)


# --- Forms


@pytest.fixture
def two_trials(tmp_path: Path) -> Path:
    for seed, num_right in ((0, 14), (1, 16)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
        write_run_with_matches(tmp_path, "attention_neck", seed, matches(num_right + 2))
    return tmp_path


def test_the_table_says_what_its_intervals_cover(two_trials: Path) -> None:
    first, second, third, fourth = remarks(compare_runs(two_trials, "demo", num_draws=200))
    assert "family of the 1 rows" in fourth
    assert "200 draws of the 20 videos" in first and "two-sided" in first
    assert "videos and of seeds" in second and "2 degrees of freedom" in second
    assert "do not cover" in third
    one_seed = two_trials / "one"
    write_run_with_matches(one_seed, "baseline", 0, matches(3))
    assert "videos, not of seeds (one each)" in remarks(compare_runs(one_seed, "demo"))[1]


def test_all_forms_carry_interval_and_p(two_trials: Path) -> None:
    comparison = compare_runs(two_trials, "demo")
    neck = row_of(comparison, "attention_neck")
    assert neck.interval is not None and neck.to_baseline_interval is not None and neck.p is not None
    shown = f"[{neck.to_baseline_interval.low:.1f}, {neck.to_baseline_interval.high:.1f}]"
    assert columns(comparison) == ("trial", "AP", "AP50", "AP75", "AR1", "AR10", "ΔAP", "p", "Holm", "seeds")
    for form in ("markdown", "latex"):
        text = render(comparison, form)
        assert shown in text and f"{neck.p:.3f}" in text and "20 videos" in text
    record = list(csv.DictReader(render(comparison, "csv").splitlines()))[1]
    assert float(record["AP_low"]) == pytest.approx(neck.interval.low, abs=1e-4)
    assert float(record["AP_to_baseline_high"]) == pytest.approx(neck.to_baseline_interval.high, abs=1e-4)
    assert float(record["p"]) == float(record["p_holm"]) == pytest.approx(neck.p, abs=1e-6)
    assert (record["num_seeds"], record["num_networks"]) == ("2", "2")
    row = json.loads(render(comparison, "json"))["rows"][1]
    assert row["interval"] == {"low": neck.interval.low, "high": neck.interval.high}
    assert row["p"] == neck.p
    assert json.loads(render(comparison, "json"))["num_draws"] == 1000


def test_latex_takes_no_less_than_sign(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run_with_matches(tmp_path, "baseline", seed, matches(18))
        write_run_with_matches(tmp_path, "attention_neck", seed, matches(0))
    # p is (0 + 1) / (4000 + 1).
    text = render(compare_runs(tmp_path, "demo", num_draws=4000), "latex")
    assert "$<$0.001" in text and text.isascii()


def test_without_draws_the_table_is_as_narrow_as_before(two_trials: Path) -> None:
    comparison = compare_runs(two_trials, "demo", num_draws=0)
    assert columns(comparison) == ("trial", "AP", "AP50", "AP75", "AR1", "AR10", "ΔAP", "seeds")
    assert remarks(comparison) == []
    assert "[" not in cells(comparison)[1][1]


def test_the_longest_name_and_three_seeds_fit_110_columns(tmp_path: Path) -> None:
    for seed, num_right in enumerate((10, 11, 12)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
        write_run_with_matches(tmp_path, "weighted_affinity_per_category", seed, matches(num_right - 1 + seed % 2))
    comparison = compare_runs(tmp_path, "demo")
    rows = [columns(comparison), *cells(comparison, "\n")]
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows, strict=True)]
    assert sum(widths) + 2 * (len(widths) - 1) <= 110
    assert all("[" in row[1].split("\n")[1] for row in rows[1:])


def test_the_command_takes_the_number_of_draws(two_trials: Path) -> None:
    assert "from 150 draws of the 20 videos" in compare(two_trials, "--bootstrap", "150").stdout
    assert "interval" not in compare(two_trials, "--bootstrap", "0").stdout
    result = compare(two_trials, "--bootstrap", "7")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "found 7" in result.stderr
