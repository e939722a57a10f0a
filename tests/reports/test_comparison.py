import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.errors import DataError, RunError, SpecError
from vistrials.reports import comparison as whole_comparison
from vistrials.reports.comparison import Comparison, Row, Statistic
from vistrials.reports.comparison_text import caption, cells, remarks, render
from vistrials.reports.frame_text import choose_format
from vistrials.reports.loss_curves import load_logs
from vistrials.runs.directory import RunDirectory

# Intervals are in test_comparison_intervals.py.
compare_runs = partial(whole_comparison.compare_runs, num_draws=0)


def row_of(comparison: Comparison, trial: str) -> Row:
    return next(row for row in comparison.rows if row.trial == trial)


def compare(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, ["compare", "--results", str(tmp_path), *arguments])


# --- Figures


def test_trials_stand_in_the_published_order_and_further_ones_behind_by_name(tmp_path: Path) -> None:
    for trial in ("zebra", "weighted_affinity", "apple", "baseline", "attention_neck", "masktrack_rcnn"):
        write_run(tmp_path, trial, ap=0.3)
    trials = [row.trial for row in compare_runs(tmp_path, "demo").rows]
    assert trials == ["masktrack_rcnn", "baseline", "attention_neck", "weighted_affinity", "apple", "zebra"]


def test_figures_are_means_over_seeds_with_the_deviation_of_a_sample(tmp_path: Path) -> None:
    for seed, ap in enumerate((0.20, 0.22, 0.24)):
        write_run(tmp_path, "baseline", seed, ap)
    write_run(tmp_path, "attention_neck", 0, 0.25)
    comparison = compare_runs(tmp_path, "demo")
    baseline = row_of(comparison, "baseline")
    # (2² + 0² + 2²) / (3 - 1) = 4, and the root of it is 2.
    assert baseline.figures["AP"] == Statistic(pytest.approx(22.0), pytest.approx(2.0))
    assert baseline.figures["AR10"] == Statistic(pytest.approx(22.0 + 40.0), pytest.approx(2.0))
    assert (baseline.seeds, baseline.difference) == ((0, 1, 2), None)
    assert row_of(comparison, "attention_neck").figures["AP"] == Statistic(pytest.approx(25.0), None)
    assert cells(comparison) == [
        ("baseline", "22.0 ± 2.0", "32.0 ± 2.0", "42.0 ± 2.0", "52.0 ± 2.0", "62.0 ± 2.0", "", "3"),
        ("attention_neck", "25.0", "35.0", "45.0", "55.0", "65.0", "+5.0", "1"),
    ]


def test_the_difference_to_baseline_is_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    for seed, ap in ((0, 0.20), (1, 0.30), (2, 0.90)):
        write_run(tmp_path, "baseline", seed, ap)
    for seed, ap in ((0, 0.19), (1, 0.27), (3, 0.01)):
        write_run(tmp_path, "attention_neck", seed, ap)
    write_run(tmp_path, "weighted_affinity", 5, 0.3)
    comparison = compare_runs(tmp_path, "demo")
    # -1 and -3: mean -2, deviation the root of (1² + 1²) / (2 - 1).
    expected = Statistic(pytest.approx(-2.0), pytest.approx(2**0.5))
    assert row_of(comparison, "attention_neck").difference == expected
    assert row_of(comparison, "weighted_affinity").difference is None


def test_nothing_to_score_is_a_dash_and_no_number(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, -1.0)
    comparison = compare_runs(tmp_path, "demo")
    assert cells(comparison)[1] == ("attention_neck", *["–"] * 6, "1")


def test_a_small_loss_is_not_minus_zero(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, 0.1999)
    assert cells(compare_runs(tmp_path, "demo"))[1][6] == "+0.0"


def test_runs_without_figures_are_named_below(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "baseline", 1)
    write_run(tmp_path, "attention_neck", 0)
    (tmp_path / "demo" / "notes" / "seedling").mkdir(parents=True)
    (tmp_path / "demo" / "weighted_affinity" / "seed0").mkdir(parents=True)
    comparison = compare_runs(tmp_path, "demo")
    assert remarks(comparison) == ["not finished: baseline seed 1, attention_neck seed 0"]
    assert row_of(comparison, "baseline").seeds == (0,)


def test_another_split_has_its_own_table(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "baseline", 0, 0.4, split="occlusion")
    comparison = compare_runs(tmp_path, "demo", "occlusion")
    assert cells(comparison)[0][1] == "40.0" and "split occlusion" in caption(comparison)
    assert cells(compare_runs(tmp_path, "demo"))[0][1] == "20.0"


def test_runs_say_where_they_start_from_other_weights_than_the_run_beside_them(tmp_path: Path) -> None:
    init = {"from": "baseline", "weights": None}
    untrained: dict[str, Any] = {"train": {"max_iters": 0}, "init": init}
    for seed, start, taken in ((0, "a", "a"), (1, "b", "x"), (2, None, "c"), (3, "d", None)):
        write_run(tmp_path, "baseline", seed, 0.2, network=start)
        # Of an earlier version, which recorded no digest of the start; it is that of what was not trained.
        write_run(tmp_path, "visible_only", seed, 0.3, network=taken, **untrained)
        write_run(tmp_path, "additional_training", seed, 0.3, network="trained", start=taken, init=init)
    write_run(tmp_path, "visible_only", 4, 0.3, network="e", **untrained)  # without its start
    write_run(tmp_path, "attention_neck", 0, 0.3, network="f", init=init)  # of an earlier version
    write_run(tmp_path, "weighted_affinity", 0, 0.3, start="f", init={"from": "baseline", "weights": "w.safetensors"})
    (said,) = (line for line in remarks(compare_runs(tmp_path, "demo")) if line.startswith("start from other"))
    assert said.endswith(
        " two trainings as well: additional_training seed 1 (baseline), visible_only seed 1 (baseline)"
    )


# --- What cannot be compared


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"annotations": "bbbb"}, "annotations of minival bbbb, other runs have aaaa"),
        ({"version": "0.0.9"}, "vistrials 0.0.9, other runs have 0.1.0"),
        ({"profile_of_metrics": "laptop"}, "profile laptop, other runs have demo"),
    ],
)
def test_runs_under_other_conditions_are_refused_or_marked(tmp_path: Path, other: dict[str, str], said: str) -> None:
    write_run(tmp_path, "masktrack_rcnn", 0, 0.1)
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, 0.3, **other)
    with pytest.raises(RunError, match=f"not comparable: attention_neck seed 0: {said}; .* --mix"):
        compare_runs(tmp_path, "demo")
    comparison = compare_runs(tmp_path, "demo", mix=True)
    assert [row[0] for row in cells(comparison)] == ["masktrack_rcnn", "baseline", "attention_neck *"]
    assert remarks(comparison) == [f"* attention_neck seed 0: {said}"]


def test_seeds_of_one_trial_with_other_settings_are_not_averaged(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, 0.3, train={"num_workers": 7})  # has no effect on results
    write_run(tmp_path, "attention_neck", 1, 0.3)
    compare_runs(tmp_path, "demo")
    write_run(tmp_path, "baseline", 1, 0.2, train={"max_iters": 3})
    with pytest.raises(RunError, match="baseline seed 1 has other settings than seed 0"):
        compare_runs(tmp_path, "demo")


def test_a_run_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "masktrack_rcnn", 0, 0.1)
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, 0.3).provenance.unlink()
    with pytest.raises(RunError, match="attention_neck seed 0: annotations of minival unknown"):
        compare_runs(tmp_path, "demo")


def test_a_stage_by_another_version_counts(tmp_path: Path) -> None:
    write_run(tmp_path, "masktrack_rcnn", 0, 0.1)
    run = write_run(tmp_path, "baseline", 0, 0.2)
    provenance = json.loads(run.provenance.read_text())
    provenance["stages"] = {"train": {}, "infer/minival": {"environment": {"vistrials": "0.2.0"}}}
    run.provenance.write_text(json.dumps(provenance))
    with pytest.raises(RunError, match=r"baseline seed 0: vistrials 0\.1\.0 and 0\.2\.0, other runs have 0\.1\.0"):
        compare_runs(tmp_path, "demo")


def test_other_commits_and_settings_by_hand_are_only_noted(tmp_path: Path) -> None:
    write_run(tmp_path, "masktrack_rcnn", 0, 0.1)
    write_run(tmp_path, "baseline", 0, 0.2, overrides=["train.max_iters=3"])
    write_run(tmp_path, "attention_neck", 0, 0.3, commit="3333333444")
    comparison = compare_runs(tmp_path, "demo")
    assert all(not row.footnotes for row in comparison.rows)
    assert comparison.notes == (
        "runs come from several commits: 1111111 (2), 3333333 (1)",
        "settings given by hand: baseline seed 0 train.max_iters=3",
    )


# --- What is not there


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"demo: no runs here; `vistrials run-all -p demo` makes them"):
        compare_runs(tmp_path, "demo")
    write_run(tmp_path, "baseline", 0)
    with pytest.raises(RunError, match=r"none of its 1 runs is evaluated on split minival yet .*minival, occlusion"):
        compare_runs(tmp_path, "demo")
    with pytest.raises(RunError, match=r"demo: no split 'gaps' here; runs have minival, occlusion$"):
        compare_runs(tmp_path, "demo", "gaps")


def test_a_run_whose_spec_cannot_be_read_stops_no_comparison(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    damaged = write_run(tmp_path, "baseline", 1, 0.3)
    damaged.spec.write_text("name: [")
    comparison = compare_runs(tmp_path, "demo")
    assert row_of(comparison, "baseline").seeds == (0,)
    (line,) = remarks(comparison)
    assert line.startswith("left out: ") and "baseline/seed1/spec.yaml" in line and "\n" not in line
    write_run(tmp_path, "baseline", 0).spec.write_text("name: [")
    with pytest.raises(RunError, match=r"baseline/seed0/spec\.yaml"):
        compare_runs(tmp_path, "demo")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"propagation": {"affinity": {"kind": "from_the_future", "width": 3}}}, "unknown kind 'from_the_future'"),
        ({"rpn": {"no_such_setting": 1}}, "model.rpn.no_such_setting: unknown key"),
    ],
)
def test_a_run_with_a_setting_of_another_version_is_compared_and_drawn(
    tmp_path: Path, model: dict[str, Any], said: str
) -> None:
    losses = [{"iter": 1, "loss_total": 2.0}]
    write_run(tmp_path, "baseline", 0, 0.2, losses=losses)
    for seed in (0, 1):
        run = write_run(tmp_path, "attention_neck", seed, 0.3, losses=losses)
        document = yaml.safe_load(run.spec.read_text())
        document["model"] |= model
        run.spec.write_text(yaml.safe_dump(document))
    comparison = compare_runs(tmp_path, "demo")
    assert (row_of(comparison, "attention_neck").seeds, comparison.unfinished) == ((0, 1), ())
    (line,) = remarks(comparison)
    assert line.startswith("compared by their figures alone, ") and line.count(said) == 2
    assert list(load_logs(tmp_path, "demo")) == ["baseline", "attention_neck"]
    with pytest.raises(RunError, match=r"the run was made by another version .* redo it with --force"):
        RunDirectory.open(run.path)
    document["train"]["max_iters"] = 9
    run.spec.write_text(yaml.safe_dump(document))
    with pytest.raises(RunError, match="attention_neck seed 1 has other settings than seed 0"):
        compare_runs(tmp_path, "demo")


@pytest.mark.parametrize("text", ["name: a", "[1]", "name: a\nprofile: demo\ndata: {splits: []}\nmodle: 1"])
def test_a_spec_that_does_not_name_its_run_is_left_out(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "baseline", 1, 0.3).spec.write_text(text)
    comparison = compare_runs(tmp_path, "demo")
    assert row_of(comparison, "baseline").seeds == (0,) and "left out: " in remarks(comparison)[0]


def test_further_trials_of_this_package_stand_behind_the_published_ones(tmp_path: Path) -> None:
    for trial in ("aaa", "baseline_window", "masktrack_rcnn_deep", "weighted_affinity", "weighted_affinity_shared"):
        write_run(tmp_path, trial, ap=0.3)
    trials = [row.trial for row in compare_runs(tmp_path, "demo").rows]
    assert trials == ["weighted_affinity", "masktrack_rcnn_deep", "weighted_affinity_shared", "baseline_window", "aaa"]


def test_broken_metrics_name_their_file(tmp_path: Path) -> None:
    run = write_run(tmp_path, "baseline", 0, 0.2)
    run.metrics().write_text('{"AP": 0.2}')
    with pytest.raises(DataError, match=r"metrics\.json: expected the figures AP, AP50"):
        compare_runs(tmp_path, "demo")


# --- Forms


@pytest.fixture
def mixed(tmp_path: Path) -> Comparison:
    for seed, ap in ((0, 0.20), (1, 0.22)):
        write_run(tmp_path, "baseline", seed, ap)
    write_run(tmp_path, "attention_neck", 0, 0.25, version="9")
    write_run(tmp_path, "weighted_affinity", 0)
    return compare_runs(tmp_path, "demo", mix=True)


def test_markdown(mixed: Comparison) -> None:
    lines = render(mixed, "markdown").splitlines()
    assert lines[0] == "| trial | AP | AP50 | AP75 | AR1 | AR10 | ΔAP | seeds |"
    assert lines[1].count("|") == lines[0].count("|")
    assert lines[2].startswith("| baseline | 21.0 ± 1.4 |")
    assert lines[3] == r"| attention_neck \* | 25.0 | 35.0 | 45.0 | 55.0 | 65.0 | +5.0 | 1 |"
    assert r"\* attention_neck seed 0: vistrials 9, other runs have 0.1.0" in lines
    assert "not finished: weighted_affinity seed 0" in lines


def test_csv_has_numbers_only_in_its_columns_of_numbers(mixed: Comparison) -> None:
    baseline, neck = csv.DictReader(render(mixed, "csv").splitlines())
    assert (baseline["trial"], baseline["AP"], baseline["AP_sd"]) == ("baseline", "21.0", "1.4142")
    assert (baseline["AP_difference"], baseline["num_seeds"]) == ("", "2")
    assert (neck["AP"], neck["AP_sd"], neck["AP_difference"]) == ("25.0", "", "5.0")
    assert neck["footnotes"] == "attention_neck seed 0: vistrials 9, other runs have 0.1.0"


def test_latex_escapes_what_it_must(mixed: Comparison) -> None:
    text = render(mixed, "latex")
    assert r"attention\_neck * & 25.0 & 35.0 & 45.0 & 55.0 & 65.0 & +5.0 & 1 \\" in text
    assert r"21.0 $\pm$ 1.4" in text and r"$\Delta$AP" in text
    assert text.isascii()


def test_json_holds_everything(mixed: Comparison) -> None:
    content = json.loads(render(mixed, "json"))
    assert (content["profile"], content["split"], content["unit"]) == ("demo", "minival", "percent")
    neck = content["rows"][1]
    assert (neck["trial"], neck["seeds"], neck["difference"]) == ("attention_neck", [0], {"mean": 5.0, "sd": None})
    assert content["unfinished"] == ["weighted_affinity seed 0"]


def test_the_format_is_asked_for_or_follows_from_the_file() -> None:
    assert choose_format(None, None) == choose_format("table", None) == "table"
    assert choose_format(None, Path("a.tex")) == "latex"
    assert choose_format("json", None) == choose_format("json", Path("A.JSON")) == "json"
    for form, out in (("table", Path("a.md")), ("xml", None), ("xml", Path("a.md"))):
        with pytest.raises(SpecError, match="expected --format .*markdown, csv, latex, json"):
            choose_format(form, out)
    for form, out, suffixes in (
        (None, Path("a.txt"), r"\.md, \.csv, \.tex or \.json"),
        ("json", Path("a.md"), r"\.json"),
    ):
        with pytest.raises(DataError, match=f"to end in {suffixes}$"):
            choose_format(form, out)


# --- Command


def test_compare_prints_the_table_or_writes_it(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0)
    result = compare(tmp_path, "--bootstrap", "0")
    assert result.exit_code == 0
    assert "baseline 20.0 30.0 40.0 50.0 60.0 1" in " ".join(result.stdout.split())
    assert result.stdout.splitlines()[-1] == "not finished: attention_neck seed 0"
    out = tmp_path / "new" / "table.md"
    assert compare(tmp_path, "-o", str(out)).stdout.strip() == str(out)
    assert out.read_text().startswith("| trial | AP |")
    assert compare(tmp_path, "--format", "csv").stdout.startswith("trial,AP,AP_sd,")


def test_compare_refuses_in_one_line_unless_told_to_mix(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0, 0.3, version="9")
    result = compare(tmp_path)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "not comparable" in result.stderr
    result = compare(tmp_path, "--mix")
    assert result.exit_code == 0 and "* attention_neck seed 0: vistrials 9" in result.stdout


def test_an_ap_of_0_is_a_figure_like_any_other(tmp_path: Path) -> None:
    for seed, (ap, base_ap) in enumerate(((0.0, 0.1), (0.2, 0.0))):
        write_run(tmp_path, "attention_neck", seed, ap)
        write_run(tmp_path, "baseline", seed, base_ap)
    row = row_of(compare_runs(tmp_path, "demo"), "attention_neck")
    ap, difference = row.figures["AP"], row.difference
    assert ap is not None and ap.mean == pytest.approx((0 + 20) / 2)
    assert difference is not None and difference.mean == pytest.approx((-10 + 20) / 2)
