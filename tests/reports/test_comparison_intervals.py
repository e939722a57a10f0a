"""Intervals and verdicts in Table 1: where they come from, how they are shown, what is said where they are missing."""

import csv
import json
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.evaluation.drawn_matches import one_object_each
from tests.reports.fake_runs import write_run, write_run_with_matches
from vistrials.cli import app
from vistrials.errors import SpecError
from vistrials.evaluation.bootstrap import draw_videos, resample_ap
from vistrials.evaluation.intervals import Estimate, Interval, compute_interval, compute_p, estimate_mean
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.stored_matches import StoredMatches
from vistrials.evaluation.verdicts import Judgement, Needed, Verdict
from vistrials.reports import comparison as whole_comparison
from vistrials.reports import scored_runs
from vistrials.reports.comparison import Comparison, Row, Statistic, compare_scored
from vistrials.reports.comparison_text import caption, cells, columns, remarks, render, verdict, why_without_verdict
from vistrials.reports.scored_runs import find_scored_runs
from vistrials.reports.uncertainty import RunDraws, compute_superiority, resample_run
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.runs.provenance import update_provenance
from vistrials.runs.seed_plan import SeedPlan, keep_seed_plan

NUM_VIDEOS = 20
compare_runs = partial(whole_comparison.compare_runs, num_draws=1000)


def matches(num_right: int, first_video: int = 1, num_videos: int = NUM_VIDEOS) -> StoredMatches:
    """Videos of one object each, found in the first so many of them."""
    return one_object_each([(0.9 - n / 100, n < num_right) for n in range(num_videos)], first_video)


def draws_of(own: StoredMatches) -> np.ndarray:
    return 100 * resample_ap(own, draw_videos(NUM_VIDEOS, 1000))


def ap_of(num_right: int) -> float:
    return float(100 * resample_ap(matches(num_right), np.ones((1, NUM_VIDEOS), dtype=np.int64))[0])


def expected(name: str, found: list[int], base: list[int] | None = None, *, one_network: bool = False) -> Estimate:
    """What the estimate of an AP, or with a base of a difference, should be made of."""
    values, draws = np.array([ap_of(n) for n in found]), np.stack([draws_of(matches(n)) for n in found])
    if base:
        values, draws = values - [ap_of(n) for n in base], draws - np.stack([draws_of(matches(n)) for n in base])
    made = estimate_mean(values, draws, NUM_VIDEOS, one_network=one_network, seed=zlib.crc32(name.encode()))
    assert made is not None
    return made


def same(interval: Interval | None, other: Interval) -> bool:
    return interval is not None and (interval.low, interval.high) == pytest.approx((other.low, other.high))


def judgement_of(comparison: Comparison, trial: str) -> Judgement:
    judged = row_of(comparison, trial).judgement
    assert judged is not None
    return judged


def row_of(comparison: Comparison, trial: str) -> Row:
    return next(row for row in comparison.rows if row.trial == trial)


def compare(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["compare", "--results", str(tmp_path), *arguments])


# --- Values


def test_one_seed_has_the_interval_of_its_videos(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(18))
    comparison = compare_runs(tmp_path, "demo")
    neck, baseline = row_of(comparison, "attention_neck"), row_of(comparison, "baseline")
    # 15 of 20 found: recall 0.75 at precision 1, the 76 points 0.00 .. 0.75 of 101; 18 of 20: 91 points.
    ap, base_ap = 100 * 91 / 101, 100 * 76 / 101
    assert same(baseline.interval, compute_interval(expected("AP of baseline", [15])))
    assert (baseline.difference_interval, baseline.judgement, baseline.superiority) == (None, None, None)
    assert neck.difference is not None and neck.difference.mean == pytest.approx(ap - base_ap)
    of_videos = compute_interval(expected("attention_neck", [18], [15], one_network=True))
    assert same(neck.difference_interval, of_videos)
    assert (neck.judgement, neck.num_networks) == (None, 1)
    # 0 .. 100 is all that AP can be, 90 give or take 13 or more.
    assert neck.interval is not None and neck.interval.high == 100
    assert (comparison.num_draws, comparison.num_videos) == (1000, NUM_VIDEOS)


def test_pairing_narrows_the_difference(tmp_path: Path) -> None:
    # The two runs differ in one video of 20: how many of the other 19 are drawn moves both alike.
    write_run_with_matches(tmp_path, "baseline", 0, matches(10))
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(11))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.interval is not None and neck.difference_interval is not None
    widths = [interval.high - interval.low for interval in (neck.interval, neck.difference_interval)]
    assert widths[1] < widths[0] / 2


def test_equal_runs_differ_by_nothing(tmp_path: Path) -> None:
    for trial in ("baseline", "attention_neck"):
        write_run_with_matches(tmp_path, trial, 0, matches(15))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.difference_interval is not None
    assert (neck.difference_interval.low, neck.difference_interval.high) == (0, 0)


def test_the_spread_of_the_own_networks_is_a_second_level(tmp_path: Path) -> None:
    found = {"baseline": [8, 10, 12], "attention_neck": [12, 12, 15]}
    for trial, of_seeds in found.items():
        for seed, num_right in enumerate(of_seeds):
            write_run_with_matches(tmp_path, trial, seed, matches(num_right))
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    difference = expected("attention_neck", found["attention_neck"], found["baseline"])
    assert same(neck.difference_interval, compute_interval(difference))
    assert same(neck.interval, compute_interval(expected("AP of attention_neck", found["attention_neck"])))
    assert neck.judgement is not None and neck.judgement.p == neck.judgement.adjusted_p == compute_p(difference)
    # Another trial changes what is corrected, nothing else.
    for seed, num_right in enumerate((2, 18, 9)):
        write_run_with_matches(tmp_path, "weighted_affinity", seed, matches(num_right))
    with_others = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert with_others.difference_interval == neck.difference_interval and with_others.interval == neck.interval
    assert with_others.judgement is not None and with_others.judgement.p == neck.judgement.p
    assert with_others.judgement.adjusted_p > neck.judgement.adjusted_p


def test_one_network_under_several_seeds_says_nothing_about_seeds(tmp_path: Path) -> None:
    for seed, num_right in enumerate((8, 10, 12)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
    for seed in range(3):
        write_run_with_matches(tmp_path, "masktrack_rcnn", seed, matches(11), network="abcd")
    comparison = compare_runs(tmp_path, "demo")
    row = row_of(comparison, "masktrack_rcnn")
    assert (row.seeds, row.num_networks, row.judgement) == ((0, 1, 2), 1, None)
    assert row.figures["AP"] == Statistic(pytest.approx(ap_of(11)), None)
    assert same(row.interval, compute_interval(expected("AP of masktrack_rcnn", [11])))
    # Against the mean of the baseline's three, on the same draws; what other networks would have is not in it.
    assert row.difference is not None and row.difference.sd is None
    assert row.difference.mean == pytest.approx(ap_of(11) - (ap_of(8) + ap_of(10) + ap_of(12)) / 3)
    of_videos = expected("masktrack_rcnn", [11] * 3, [8, 10, 12], one_network=True)
    assert same(row.difference_interval, compute_interval(of_videos))
    shown = next(cell for cell in cells(comparison) if cell[0] == "masktrack_rcnn")
    assert "±" not in "".join(shown) and shown[6].endswith("] videos only")
    assert shown[-3:] == ("–", "–", "3 (1 network)")


def test_a_network_is_paired_once(tmp_path: Path) -> None:
    for seed, num_right in enumerate((8, 10, 12)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
    for seed, (num_right, network) in enumerate(((9, "aa"), (9, "aa"), (15, "bb"))):
        write_run_with_matches(tmp_path, "masktrack_rcnn", seed, matches(num_right), network=network)
    row = row_of(compare_runs(tmp_path, "demo"), "masktrack_rcnn")
    assert row.num_networks == 2
    # The network of seeds 0 and 1 with seed 0 of the baseline, that of seed 2 with seed 2.
    assert same(row.difference_interval, compute_interval(expected("masktrack_rcnn", [9, 15], [8, 12])))
    assert row.judgement is not None


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


@pytest.fixture
def four_trials(tmp_path: Path) -> Path:
    found = {"baseline": 10, "attention_neck": 12, "weighted_affinity": 14, "baseline_ordered": 11}
    for trial, num_right in found.items():
        for seed in (0, 1):
            write_run_with_matches(tmp_path, trial, seed, matches(num_right + seed))
    write_run_with_matches(tmp_path, "baseline_window", 0, matches(18))
    return tmp_path


def test_verdicts_are_corrected_for_the_rows_that_have_one(four_trials: Path) -> None:
    comparison = compare_runs(four_trials, "demo")
    judged = {row.trial: row.judgement for row in comparison.rows if row.judgement}
    assert set(judged) == {"attention_neck", "weighted_affinity", "baseline_ordered"}
    assert any(row.adjusted_p > row.p for row in judged.values())
    assert "adjusted for the 3 rows" in remarks(comparison)[2]


def test_a_family_can_be_named(four_trials: Path) -> None:
    alone = compare_runs(four_trials, "demo", family=["attention_neck"])
    judged = judgement_of(alone, "attention_neck")
    assert judged.adjusted_p == judged.p
    assert [row.trial for row in alone.rows if row.judgement] == ["attention_neck"]
    study = compare_runs(four_trials, "demo", family=["study", "baseline_window"])
    assert sum(row.judgement is not None for row in study.rows) == 3
    with pytest.raises(
        SpecError, match="family: no trial 'atention_neck' in this table; did you mean 'attention_neck'"
    ):
        compare_runs(four_trials, "demo", family=["atention_neck"])
    result = compare(four_trials, "--family", "attention_neck, weighted_affinity", "--bootstrap", "200")
    assert result.exit_code == 0 and "adjusted for the 2 rows" in result.stdout


def test_rows_outside_of_the_family_do_not_lack_networks(four_trials: Path) -> None:
    alone = compare_runs(four_trials, "demo", family=["attention_neck"])
    others = [row.trial for row in alone.rows if row.judgement is None and row.difference]
    reasons = {trial: why_without_verdict(row_of(alone, trial)) for trial in others}
    assert reasons == {
        "baseline_ordered": "not of the family",
        "weighted_affinity": "not of the family",
        "baseline_window": "one network",
    }
    assert "no verdict (not of the family): `baseline_ordered` (" in say_verdicts(alone)
    assert "no verdict (one network): `baseline_window` (" in say_verdicts(alone)
    nobody = compare_runs(four_trials, "demo", family=["baseline"])
    assert "no verdict: it takes a trial of the family with two networks or more on both sides" in remarks(nobody)


def test_differences_and_verdicts_can_be_against_any_trial(four_trials: Path) -> None:
    plain, turned = compare_runs(four_trials, "demo"), compare_runs(four_trials, "demo", against="attention_neck")
    assert (plain.against, turned.against) == ("baseline", "attention_neck")
    neck, base = row_of(plain, "attention_neck"), row_of(turned, "baseline")
    assert neck.difference is not None and base.difference is not None
    assert base.difference.mean == pytest.approx(-neck.difference.mean)
    assert neck.difference_interval is not None and base.difference_interval is not None
    # The two differ by the seed of their draws alone.
    assert base.difference_interval.low == pytest.approx(-neck.difference_interval.high, rel=0.2)
    itself = row_of(turned, "attention_neck")
    assert (itself.difference, itself.difference_interval, itself.judgement) == (None, None, None)
    assert [row.trial for row in turned.rows if row.judgement] == ["baseline", "baseline_ordered", "weighted_affinity"]
    cell = {row[0]: row for row in cells(turned)}
    place = columns(turned).index("ΔAP")
    assert cell["attention_neck"][place : place + 4] == ("", "", "", "") and cell["baseline"][place].startswith("-")
    assert "ΔAP: AP minus attention_neck's" in caption(turned)
    assert say_verdicts(turned).startswith("On `minival` (20 videos), better than `attention_neck`: ")


def test_a_trial_to_compare_with_is_one_of_the_table(four_trials: Path) -> None:
    result = compare(four_trials, "--against", "attention_nek")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "against: no trial 'attention_nek' in this table; did you mean 'attention_neck'" in result.stderr
    result = compare(four_trials, "--against", "baseline_window", "--format", "csv", "--bootstrap", "100")
    records = {record["trial"]: record for record in csv.DictReader(result.stdout.splitlines())}
    assert records["baseline_window"]["AP_difference"] == "" and float(records["baseline"]["AP_difference"]) < 0


def test_runs_are_resampled_once_for_several_questions(four_trials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resampled: list[tuple[Path, int]] = []

    def count(path: Path, ap: float, num_draws: int) -> RunDraws:
        resampled.append((path, num_draws))
        return resample_run(path, ap, num_draws)

    monkeypatch.setattr(scored_runs, "resample_run", count)
    found = find_scored_runs(four_trials, "demo")
    for wrong in ({"against": "attention_nek"}, {"family": ["atention_neck"]}, {"margin": 0.0}, {"num_draws": 7}):
        with pytest.raises(SpecError):
            compare_scored(found, **wrong)
    assert not resampled  # what is refused costs nothing
    plain = compare_scored(found, num_draws=1000)
    turned = compare_scored(found, num_draws=1000, against="attention_neck")
    assert len(resampled) == len({path for path, _ in resampled}) == len(found.runs)
    fewer = compare_scored(found, num_draws=500)
    assert [num for _, num in resampled] == [1000] * len(found.runs) + [500] * len(found.runs)
    without = compare_scored(found, num_draws=0)
    assert (plain, fewer, without, turned) == (
        compare_runs(four_trials, "demo"),
        compare_runs(four_trials, "demo", num_draws=500),
        compare_runs(four_trials, "demo", num_draws=0),
        compare_runs(four_trials, "demo", against="attention_neck"),
    )


@pytest.mark.parametrize(("margin", "verdict"), [(40.0, Verdict.EQUAL), (0.5, Verdict.UNDECIDED)])
def test_the_margin_is_what_counts_as_equal(four_trials: Path, margin: float, verdict: Verdict) -> None:
    comparison = compare_runs(four_trials, "demo", margin=margin)
    assert judgement_of(comparison, "baseline_ordered").verdict is verdict
    assert f"equal within ±{margin:g} AP" in remarks(comparison)[2]


@pytest.mark.parametrize("margin", ["0", "-1", "nan", "inf"])
def test_a_margin_is_positive(four_trials: Path, margin: str) -> None:
    result = compare(four_trials, "--margin", margin)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "margin: expected AP above 0" in result.stderr


def test_a_plan_of_looks_lowers_the_error_of_rows_and_names_the_family(four_trials: Path) -> None:
    fixed = compare_runs(four_trials, "demo")
    assert fixed.seed_plan is None
    plan = SeedPlan("minival", 1.0, 10, ("attention_neck", "weighted_affinity"))
    keep_seed_plan(four_trials, "demo", plan)
    comparison = compare_runs(four_trials, "demo")
    assert comparison.seed_plan == plan
    assert [row.trial for row in comparison.rows if row.judgement] == ["attention_neck", "weighted_affinity"]
    named = compare_runs(four_trials, "demo", family=["attention_neck"])
    planned, plain = judgement_of(named, "attention_neck"), judgement_of(fixed, "attention_neck")
    assert planned.p == plain.p
    # 0.2 % with two seeds of ten, in a family of one.
    width = planned.family_interval.high - planned.family_interval.low
    own = row_of(named, "attention_neck").difference_interval
    assert own is not None and width > own.high - own.low
    # Against another trial, the baseline is one of the rows.
    turned = compare_runs(four_trials, "demo", against="attention_neck")
    assert [row.trial for row in turned.rows if row.judgement] == ["baseline", "weighted_affinity"]
    assert f"{100 * find_errors(10)[2]:.1f} % with 2, " in remarks(named)[3] and "up to 10" in remarks(named)[3]


def test_superiority_is_the_share_of_seeds_and_videos() -> None:
    def run(*draws: float) -> RunDraws:
        return RunDraws((1, 2), 0.0, np.array(draws))

    runs, base = [run(2, 2, 2, float("nan")), run(3, 4, 5, 6)], [run(1, 2, 3, 4), run(4, 4, 4, 4)]
    # Above, equal, below; below, equal, above, above.
    assert compute_superiority(runs, base) == pytest.approx((3 + 2 / 2) / 7)
    assert compute_superiority([], []) is None


def test_the_difference_takes_the_seeds_that_both_have(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(10))
    write_run(tmp_path, "baseline", 1, 0.9)
    write_run_with_matches(tmp_path, "attention_neck", 0, matches(12))
    write_run(tmp_path, "attention_neck", 2, 0.1)
    neck = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    assert neck.interval is None
    assert same(neck.difference_interval, compute_interval(expected("attention_neck", [12], [10], one_network=True)))


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
    assert neck == ("attention_neck", "90.0 [–]", "100.0", "110.0", "120.0", "130.0", "+14.8 [–]", "–", "–", "–", "1")
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
    assert (neck.difference_interval, neck.judgement, neck.superiority) == (None, None, None)


def test_too_few_videos_are_said(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(5, num_videos=9))
    comparison = compare_runs(tmp_path, "demo")
    assert comparison.rows[0].interval is None
    assert remarks(comparison) == ["no interval from 9 videos: it takes 10 or more"]


def test_nothing_to_score_has_no_interval_and_no_remark(tmp_path: Path) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    write_run(tmp_path, "attention_neck", 0, -1.0)
    comparison = compare_runs(tmp_path, "demo")
    assert row_of(comparison, "attention_neck").interval is None
    assert not any("attention_neck" in line for line in remarks(comparison))


@pytest.mark.parametrize("num_draws", [1, 99, -5])
def test_too_few_draws_are_refused(tmp_path: Path, num_draws: int) -> None:
    write_run_with_matches(tmp_path, "baseline", 0, matches(15))
    with pytest.raises(SpecError, match=f"expected 0 for no intervals, or 100 to 1,000,000 draws, found {num_draws}"):
        compare_runs(tmp_path, "demo", num_draws=num_draws)


# --- Forms


@pytest.fixture
def two_trials(tmp_path: Path) -> Path:
    for seed, num_right in ((0, 14), (1, 16)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
        write_run_with_matches(tmp_path, "attention_neck", seed, matches(17))
    return tmp_path


def test_the_table_says_what_its_intervals_cover(two_trials: Path) -> None:
    first, second, third = remarks(compare_runs(two_trials, "demo", num_draws=200))
    assert "200 draws of the 20 videos" in first and "videos only" in first
    assert "share of seeds and drawn videos" in second and "neither covers" in second
    assert "two-sided" in third and "for the 1 rows" in third and "error of 5 %" in third
    one_seed = two_trials / "one"
    write_run_with_matches(one_seed, "baseline", 0, matches(3))
    assert "two networks or more" in remarks(compare_runs(one_seed, "demo"))[2]


def test_all_forms_carry_interval_and_verdict(two_trials: Path) -> None:
    comparison = compare_runs(two_trials, "demo")
    neck = row_of(comparison, "attention_neck")
    assert neck.interval is not None and neck.difference_interval is not None and neck.judgement is not None
    judged, needed = neck.judgement, neck.judgement.needed
    assert needed is not None and needed.seeds is not None
    shown = f"[{neck.difference_interval.low:.1f}, {neck.difference_interval.high:.1f}]"
    assert columns(comparison) == ("trial", "AP", "AP50", "AP75", "AR1", "AR10", "ΔAP", "P(>)", "p", "verdict", "seeds")
    for form in ("markdown", "latex"):
        text = render(comparison, form)
        assert shown in text and f"{judged.adjusted_p:.3f}" in text and "20 videos" in text
        assert f"undecided: {needed.seeds} seeds" in text
    record = list(csv.DictReader(render(comparison, "csv").splitlines()))[1]
    assert float(record["AP_low"]) == pytest.approx(neck.interval.low, abs=1e-4)
    assert float(record["AP_difference_high"]) == pytest.approx(neck.difference_interval.high, abs=1e-4)
    assert float(record["p"]) == float(record["p_adjusted"]) == pytest.approx(judged.p, abs=1e-6)
    assert float(record["p_equal"]) == pytest.approx(judged.equal_p, abs=1e-6)
    assert (record["verdict"], float(record["seeds_needed"])) == ("undecided", needed.seeds)
    assert float(record["superiority"]) == pytest.approx(neck.superiority, abs=1e-4)
    assert (record["num_seeds"], record["num_networks"]) == ("2", "2")
    row = json.loads(render(comparison, "json"))["rows"][1]
    assert row["interval"] == {"low": neck.interval.low, "high": neck.interval.high}
    assert (row["judgement"]["p"], row["judgement"]["verdict"]) == (judged.p, "undecided")
    assert row["judgement"]["family_interval"]["low"] == judged.family_interval.low
    assert json.loads(render(comparison, "json"))["num_draws"] == 1000


def test_latex_takes_no_less_than_sign(tmp_path: Path) -> None:
    for seed in range(4):
        write_run_with_matches(tmp_path, "baseline", seed, matches(18 - seed % 2))
        write_run_with_matches(tmp_path, "attention_neck", seed, matches(0))
    comparison = compare_runs(tmp_path, "demo", num_draws=4000)
    judged = judgement_of(comparison, "attention_neck")
    assert judged.verdict is Verdict.WORSE and judged.adjusted_p < 0.0005
    text = render(comparison, "latex")
    assert "$<$0.001" in text and "& worse &" in text and text.isascii()


@pytest.mark.parametrize(
    ("needed", "text"),
    [
        (Needed(7, None), "undecided: 7 seeds"),
        (Needed(10, 1200), "undecided: 10 seeds, 1,200 videos"),
        (Needed(None, None), "undecided: > 20 seeds"),
    ],
)
def test_what_would_decide_stands_beside_the_verdict(needed: Needed, text: str) -> None:
    judged = Judgement(0.2, 0.3, 0.4, 0.5, Interval(-1, 1), Verdict.UNDECIDED, needed)
    assert verdict(judged) == text


def test_without_draws_the_table_is_as_narrow_as_before(two_trials: Path) -> None:
    comparison = compare_runs(two_trials, "demo", num_draws=0)
    assert columns(comparison) == ("trial", "AP", "AP50", "AP75", "AR1", "AR10", "ΔAP", "seeds")
    assert remarks(comparison) == []
    assert "[" not in cells(comparison)[1][1]


def test_the_longest_name_and_three_seeds_fit_120_columns(tmp_path: Path) -> None:
    for seed, num_right in enumerate((10, 11, 12)):
        write_run_with_matches(tmp_path, "baseline", seed, matches(num_right))
        write_run_with_matches(tmp_path, "weighted_affinity_per_category", seed, matches(num_right - 1 + seed % 2))
    comparison = compare_runs(tmp_path, "demo")
    rows = [columns(comparison), *cells(comparison, "\n")]
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*rows, strict=True)]
    assert sum(widths) + 2 * (len(widths) - 1) <= 120
    assert all("[" in row[1].split("\n")[1] for row in rows[1:])


def test_the_command_takes_the_number_of_draws(two_trials: Path) -> None:
    assert "from 150 draws of the 20 videos" in compare(two_trials, "--bootstrap", "150").stdout
    assert "interval" not in compare(two_trials, "--bootstrap", "0").stdout
    for number in ("7", "99999999999"):
        result = compare(two_trials, "--bootstrap", number)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and f"found {number}" in result.stderr
