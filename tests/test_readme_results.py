"""What the README says about results, recomputed from the runs that ship."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vistrials.cli import app
from vistrials.commands import display
from vistrials.reports.comparison import Comparison, Row, compare_runs
from vistrials.reports.scored_runs import find_scored_runs

ROOT = Path(__file__).resolve().parents[1]
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


@cache
def comparison(split: str) -> Comparison:
    return compare_runs(ROOT / "results", "demo", split)


def row(trial: str, split: str = "minival") -> Row:
    return next(row for row in comparison(split).rows if row.trial == trial)


def said(pattern: str) -> tuple[str, ...]:
    """The figures that one sentence names."""
    (found,) = re.finditer(pattern, README)
    return found.groups()


def shown(value: float) -> str:
    return f"{value:.1f}"


def test_tables_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, "docs/update_readme.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_trial_stands_under_its_verdict() -> None:
    for split in ("minival", "occlusion"):
        (better, worse, equal, undecided, without) = said(
            rf"On `{split}` \(\d+ videos\), better than `baseline`: (.*?); worse: (.*?); equal within ±1 AP: (.*?); "
            r"undecided: (.*?); no verdict \(one network\): (.*?)\."
            r"(?= - On| <!-- end)"
        )
        found: dict[str | None, str] = {"better": better, "worse": worse, "equal": equal, "undecided": undecided}
        found[None] = without
        for row in comparison(split).rows:
            if row.trial != "baseline":
                verdict = str(row.judgement.verdict) if row.judgement else None
                assert [name for name, text in found.items() if f"`{row.trial}` (" in text] == [verdict]


def test_the_deep_start_is_better_before_any_trial_begins() -> None:
    deep, usual = said(
        r"the deep one that tuning 1 begins from has ([\d.]+) AP, the others' ([\d.]+), before any trial begins"
    )
    assert (deep, usual) == tuple(
        shown(row(trial).figures["AP"].mean) for trial in ("masktrack_rcnn_deep", "masktrack_rcnn")
    )


def test_what_a_second_training_moves() -> None:
    moved = dict(
        zip(("crossing", "minival"), said(r"had (.*?) AP more on `crossing`, (.*?) on `minival`"), strict=True)
    )
    for split, text in moved.items():
        first, second = (
            {run.directory.seed: run.figures["AP"] for run in found.runs if run.directory.trial == "baseline"}
            for found in (
                find_scored_runs(root, "demo_study", split)
                for root in (ROOT / "results", ROOT / "results" / "same_weights")
            )
        )
        *most, last = (f"{round(again - first[seed], 1) + 0.0:+.1f}" for seed, again in second.items())
        assert text == f"{', '.join(most)} and {last}"


def test_the_spread_between_seeds_of_the_neck() -> None:
    (spread,) = said(r"with the neck, occlusion AP was ([\d.]+) apart \(sd\)")
    figure = row("attention_neck", "occlusion").figures["AP"]
    assert figure is not None and figure.sd == pytest.approx(float(spread), abs=0.05)


@pytest.mark.parametrize(("width", "left_out"), [(140, ""), (80, "AR1, AR10, AP75, AP50, P(>), p")])
def test_the_table_of_the_shipped_runs_fits_a_terminal(
    width: int, left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "out", Console(width=width, highlight=False))
    result = CliRunner().invoke(app, ["compare", "--results", str(ROOT / "results"), "--bootstrap", "100"])
    lines = result.stdout.splitlines()
    (header,) = (line for line in lines if line.startswith("trial"))
    names = ["trial", "AP", "AP50", "AP75", "AR1", "AR10", "ΔAP", "P(>)", "p", "verdict", "seeds"]
    assert header.split() == [name for name in names if name not in left_out.split(", ")]
    (row,) = (line for line in lines if line.startswith("baseline_tuning_1"))
    assert len(row) <= width and re.search(r"\d\d\.\d ± \d\.\d", row)  # no number is folded
    assert any(f"terminal: {left_out};" in line for line in lines) is bool(left_out)
