"""`import vistrials`: every name has an example that runs, and mistakes are one line."""

import doctest
import inspect
import json
from pathlib import Path

import pytest

import vistrials
from tests.evaluation.drawn_matches import one_object_each
from tests.reports.fake_runs import write_run, write_run_with_matches
from vistrials.errors import RunError, SpecError

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = [name for name in vistrials.__all__ if name != "VistrialsError"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path))
    function = getattr(vistrials, name)
    found = [test for test in doctest.DocTestFinder(recurse=False).find(function, name) if test.examples]
    assert found, f"{name} has no example"
    report: list[str] = []
    for test in found:
        assert doctest.DocTestRunner(verbose=False).run(test, out=report.append).failed == 0, "".join(report)


def test_all_names_are_there_and_others_are_not() -> None:
    assert set(vistrials.__all__) <= set(dir(vistrials))
    assert all(inspect.isfunction(getattr(vistrials, name)) for name in FUNCTIONS)
    with pytest.raises(AttributeError, match="module 'vistrials' has no attribute 'evalute'"):
        vistrials.evalute  # noqa: B018


def test_what_a_loaded_trial_says_is_not_said_twice(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="give them to load_trial"):
        vistrials.run(vistrials.load_trial("baseline", "smoke"), "smoke", results_dir=tmp_path)
    with pytest.raises(SpecError, match="split: expected only with a run"):
        vistrials.diagnose("pred.json", "gt.json", split="minival")


def test_results_are_a_row_per_trial_seed_and_split_and_nan_is_what_was_not_counted() -> None:
    results = vistrials.load_results(ROOT / "results", "demo")
    figures = json.loads((ROOT / "results/demo/attention_neck/seed1/metrics-occlusion.json").read_text())
    where = (results.trial == "attention_neck") & (results.seed == 1) & (results.split == "occlusion")
    (row,) = results[where].to_dict("records")
    assert row["AP"] == figures["AP"] and row["profile"] == "demo"
    assert figures["AP_l"] == -1 and row["AP_l"] != row["AP_l"]
    assert len(results) == len(list((ROOT / "results/demo").glob("*/*/metrics*.json")))
    rows = vistrials.load_category_results(ROOT / "results")
    where = (rows.profile == "demo") & (rows.trial == "attention_neck") & (rows.seed == 1) & (rows.split == "occlusion")
    assert dict(zip(rows[where].category, rows[where].AP, strict=True)) == figures["AP_per_category"]


def test_results_against_whole_objects_are_those_of_a_split_of_their_own() -> None:
    results = vistrials.load_results(ROOT / "results/same_weights")
    assert len(results) == len(list((ROOT / "results/same_weights").glob("*/*/*/metrics*.json")))
    figures = json.loads((ROOT / "results/same_weights/demo_study/baseline/seed1/metrics-gaps.amodal.json").read_text())
    where = (results.trial == "baseline") & (results.seed == 1) & (results.split == "gaps.amodal")
    assert results[where].AP.tolist() == [figures["AP"]]


def test_damaged_runs_are_left_out_with_a_warning_and_no_runs_are_an_error(tmp_path: Path) -> None:
    for trial, steps in (("baseline", 2), ("attention_neck", 3)):
        write_run(tmp_path, trial, losses=[{"iter": n + 1, "loss_cls": n, "lr": None} for n in range(steps)])
    write_run(tmp_path, "weighted_affinity").spec.write_text("name: [")
    with pytest.warns(UserWarning, match="left out: .*weighted_affinity/seed0/spec.yaml"):
        losses = vistrials.load_losses(tmp_path)
    assert losses.trial.tolist() == ["baseline"] * 2 + ["attention_neck"] * 3
    assert losses.columns.tolist() == ["profile", "trial", "seed", "iter", "loss_cls", "lr"]
    assert losses.loss_cls.tolist() == [0, 1, 0, 1, 2] and losses.lr.isna().all()
    with pytest.warns(UserWarning, match="left out"):
        assert len(vistrials.load_results(tmp_path)) == 0  # none is evaluated
    with pytest.raises(RunError, match="no runs here"):
        vistrials.load_losses(tmp_path / "nothing")


def test_a_comparison_brings_what_stands_below_the_table(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.2)
    write_run(tmp_path, "attention_neck", 0)
    table = vistrials.compare(tmp_path, num_draws=0)
    assert table.AP.tolist() == [20.0]
    assert table.attrs["remarks"] == ["not finished: attention_neck seed 0"]
    assert table.attrs["caption"].startswith("demo, split minival")


def test_a_comparison_brings_verdicts(tmp_path: Path) -> None:
    for trial, num_right in (("baseline", 3), ("attention_neck", 17)):
        for seed in range(4):
            matches = one_object_each([(0.9 - n / 100, n < num_right + seed % 2) for n in range(20)])
            write_run_with_matches(tmp_path, trial, seed, matches)
    table = vistrials.compare(tmp_path, num_draws=500, margin=2, family=["attention_neck"]).set_index("trial")
    assert table.verdict.to_dict() == {"baseline": "", "attention_neck": "better"}
    assert table.loc["attention_neck", "superiority"] == 1
    assert table.loc["attention_neck", "p_adjusted"] == table.loc["attention_neck", "p"] < 0.05
    with pytest.raises(SpecError, match="family: no trial 'necks' in this table"):
        vistrials.compare(tmp_path, num_draws=500, family=["necks"])
    with pytest.raises(SpecError, match="family: no trial of neck, affinity in this table; expected some of baseline"):
        vistrials.compare(tmp_path, num_draws=500, family=["neck", "affinity"])
