"""How the README's answers follow from verdicts: docs/answers.py on comparisons made by hand."""

import sys
from pathlib import Path

import pytest

from vistrials.evaluation.intervals import Interval
from vistrials.evaluation.verdicts import Judgement, Verdict
from vistrials.reports.comparison import Comparison, Row, Statistic

ROOT = Path(__file__).resolve().parents[1]
B, W, E, U = Verdict.BETTER, Verdict.WORSE, Verdict.EQUAL, Verdict.UNDECIDED


def row(trial: str, verdict: Verdict | None) -> Row:
    wide = Interval(-1, 2)
    judged = Judgement(0.1, 0.1, 0.1, 0.1, wide, verdict, None) if verdict else None
    return Row(trial, (0, 1), 2, {}, None, Statistic(0.5, 0.1), wide, 0.5, judged, ())


def comparison(against: str, split: str, **verdicts: Verdict | None) -> Comparison:
    rows = tuple(row(trial, verdict) for trial, verdict in verdicts.items())
    return Comparison("demo_study", split, against, rows, 1000, 60, 1.0, None, (), ())


def answers(monkeypatch: pytest.MonkeyPatch, *comparisons: Comparison, questions: str = "QUESTIONS") -> list[str]:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.delitem(sys.modules, "answers", raising=False)
    import answers as module  # type: ignore[import-not-found,unused-ignore]

    found: list[str] = module.answer(comparisons, getattr(module, questions))
    return found


@pytest.mark.parametrize(
    ("itself", "shuffled", "said"),
    [
        (W, W, "yes"),
        (W, U, "undecided"),
        (W, E, "no, AP is the same within ±1"),
        (U, U, "undecided"),
        (None, None, "undecided"),
        (U, B, "no, to the contrary"),
        (E, B, "no, AP is the same within ±1"),
    ],
)
def test_the_neck_uses_the_other_frame_where_it_is_worse_without(
    itself: Verdict | None, shuffled: Verdict | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = comparison("baseline", "gaps", attention_neck=U, masktrack_rcnn_continued=U, propagation_train_only=U)
    neck = comparison("attention_neck", "gaps", neck_shuffled=shuffled, neck_self=itself, neck_conv=B)
    assert answers(monkeypatch, base, neck)[1] == (
        "**Does the neck use the other frame?** By ΔAP of `neck_self` and `neck_shuffled` against `attention_neck`: "
        f"{said} on `gaps` (+0.5 [-1.0, 2.0], +0.5 [-1.0, 2.0])."
    )


def test_the_signs_of_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neck that is better helps; propagation helps where the network without it is worse."""
    splits = {"minival": (B, W, E), "occlusion": (W, B, W), "gaps": (U, W, W)}
    compared = [
        made
        for split, (neck, without, unused) in splits.items()
        for made in (
            comparison(
                "baseline",
                split,
                attention_neck=neck,
                masktrack_rcnn_continued=without,
                propagation_train_only=unused,
            ),
            comparison("attention_neck", split, neck_self=U, neck_shuffled=U),
        )
    ]
    helps, _, propagation, at_inference = answers(monkeypatch, *compared)
    shown = "(+0.5 [-1.0, 2.0])"
    assert helps.endswith(
        f": yes on `minival` {shown}; no, to the contrary on `occlusion` {shown}; undecided on `gaps` {shown}."
    )
    assert propagation.endswith(
        f": yes on `minival` {shown}, `gaps` {shown}; no, to the contrary on `occlusion` {shown}."
    )
    assert at_inference.endswith(
        f": yes on `occlusion` {shown}, `gaps` {shown}; no, AP is the same within ±1 on `minival` {shown}."
    )


def test_rules_for_what_is_hidden_are_answered_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have run on all splits: not `min_peak`."""
    gaps = comparison("baseline", "gaps", propagation_train_only=W, visible_only=E, min_peak=B, gap_close=B)
    crossing = comparison("baseline", "crossing", propagation_train_only=W, gap_close=W, visible_only=U)
    shown = "(+0.5 [-1.0, 2.0])"
    unused, rules = answers(monkeypatch, gaps, crossing, questions="RULES")
    assert unused.endswith(
        f" By ΔAP of `propagation_train_only` against `baseline`: yes on `gaps` {shown}, `crossing` {shown}."
    )
    assert rules == (
        "**Does it gain by a rule for what is hidden?** "
        "By ΔAP of `visible_only` against `baseline`: no, AP is the same within ±1 on `gaps` "
        f"{shown}; undecided on `crossing`. "
        f"By ΔAP of `gap_close` against `baseline`: yes on `gaps` {shown}; no, to the contrary on `crossing` {shown}."
    )
