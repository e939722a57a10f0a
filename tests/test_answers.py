"""How the README's answers, and what is said of the study's findings, follow from verdicts on made-up comparisons."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vistrials.evaluation.intervals import Interval
from vistrials.evaluation.verdicts import Judgement, Verdict
from vistrials.reports.comparison import Comparison, Row, Statistic

ROOT = Path(__file__).resolve().parents[1]
SHOWN = "+0.5 [-1.0, 2.0]"
"""The difference of every row of `comparison`."""
B, W, E, U = Verdict.BETTER, Verdict.WORSE, Verdict.EQUAL, Verdict.UNDECIDED


def row(trial: str, verdict: Verdict | None, num_networks: int = 3) -> Row:
    wide = Interval(-1, 2)
    judged = Judgement(0.1, 0.1, 0.1, 0.1, wide, verdict, None) if verdict else None
    return Row(trial, tuple(range(num_networks)), num_networks, {}, None, Statistic(0.5, 0.1), wide, 0.5, judged, ())


def comparison(against: str, split: str, **verdicts: Verdict | None) -> Comparison:
    rows = tuple(row(trial, verdict) for trial, verdict in verdicts.items())
    return Comparison("demo_study", split, against, rows, 1000, 60, 1.0, None, (), ())


def cells(monkeypatch: pytest.MonkeyPatch, *comparisons: Comparison, questions: str = "QUESTIONS") -> list[list[str]]:
    """The rows of the README's table, without its first two lines."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.delitem(sys.modules, "answers", raising=False)
    import answers as module  # type: ignore[import-not-found,unused-ignore]

    lines = module.overview(comparisons, getattr(module, questions)).splitlines()
    splits = list(dict.fromkeys(f"`{each.split}`" for each in comparisons))
    assert lines[0] == f"| question | ΔAP of | {' | '.join(splits)} |" and lines[1].count("---") == 2 + len(splits)
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]


@pytest.mark.parametrize(
    ("itself", "shuffled", "said"),
    [
        (W, W, f"yes: {SHOWN}, {SHOWN}"),
        (W, U, "open"),
        (W, E, f"same: {SHOWN}, {SHOWN}"),
        (U, U, "open"),
        (None, None, "open"),
        (U, B, f"no: {SHOWN}, {SHOWN}"),
        (E, B, f"same: {SHOWN}, {SHOWN}"),
    ],
)
def test_the_neck_uses_the_other_frame_where_it_is_worse_without(
    itself: Verdict | None, shuffled: Verdict | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = comparison("baseline", "gaps", attention_neck=U, masktrack_rcnn_continued=U, propagation_train_only=U)
    neck = comparison("attention_neck", "gaps", neck_shuffled=shuffled, neck_self=itself, neck_conv=B)
    assert cells(monkeypatch, base, neck)[1] == [
        "Does the neck use the other frame?",
        "`neck_self`, `neck_shuffled` against `attention_neck`",
        said,
    ]


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
    helps, used, propagation, at_inference = (row[2:] for row in cells(monkeypatch, *compared))
    yes, no, same = (f"{word}: {SHOWN}" for word in ("yes", "no", "same"))
    assert helps == [yes, no, "open"]
    assert used == ["open"] * 3
    assert propagation == [yes, no, yes]
    assert at_inference == [same, yes, yes]


def test_a_difference_that_is_there_stands_with_its_p(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import answers as module  # type: ignore[import-not-found,unused-ignore]

    base = comparison("baseline", "gaps", propagation_train_only=W)
    assert f"{SHOWN} worse (p 0.100) |" in module.tabulate([base], module.QUESTIONS)
    assert f"{SHOWN} equal |" in module.tabulate(
        [comparison("baseline", "gaps", propagation_train_only=E)], (module.QUESTIONS)
    )


def test_two_networks_have_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    neck = replace(comparison("attention_neck", "gaps"), rows=(row("neck_off_at_test", W, 2),))
    asked = ["Does the neck help at inference, with the same weights?", "`neck_off_at_test` against `attention_neck`"]
    assert cells(monkeypatch, neck) == [[*asked, "open"]]
    import answers as module  # type: ignore[import-not-found,unused-ignore]

    assert f"{SHOWN} undecided: fewer than 3 seeds |" in module.tabulate([neck], module.QUESTIONS)


def test_ordered_pairs_are_asked_about_once_they_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the difference to the neck, whatever that to the baseline is."""
    base = comparison("baseline", "gaps", attention_neck=U, attention_neck_ordered=W)
    neck = comparison("attention_neck", "gaps", attention_neck_ordered=B)
    assert cells(monkeypatch, base, neck)[1:] == [
        ["Does the neck do better with ordered pairs?", "`attention_neck_ordered` against `attention_neck`"]
        + [f"yes: {SHOWN}"]
    ]


def test_rules_for_what_is_hidden_are_answered_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have run on all splits: not `min_peak`."""
    gaps = comparison("baseline", "gaps", propagation_train_only=W, visible_only=E, min_peak=B, gap_close=B)
    crossing = comparison("baseline", "crossing", propagation_train_only=W, gap_close=W, visible_only=U)
    yes, no, same = (f"{word}: {SHOWN}" for word in ("yes", "no", "same"))
    assert cells(monkeypatch, gaps, crossing, questions="RULES") == [
        [
            "Does propagation help at inference in a second training?",
            "`propagation_train_only` against `baseline`",
            yes,
            yes,
        ],
        ["Does it gain by a rule for what is hidden?", "`visible_only` against `baseline`", same, "open"],
        ["", "`gap_close` against `baseline`", yes, no],
    ]


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((W, U), "supported on `minival` of `demo_study` (worse), undecided on the others"),
        ((W, W), "supported on `minival` of `demo_study` (worse), `gaps` of `demo_study` (worse)"),
        ((B, W), "supported on `gaps` of `demo_study` (worse), contradicted on `minival` of `demo_study` (better)"),
        ((E, None), "contradicted on `minival` of `demo_study` (equal), undecided on the others"),
        ((None, U), "undecided on all 2 splits"),
    ],
)
def test_what_the_study_found_is_supported_where_the_verdict_is_its_own(
    verdicts: tuple[Verdict | None, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import explanations as module  # type: ignore[import-not-found,unused-ignore]

    compared = [
        comparison("baseline", name, of=verdict) for name, verdict in zip(("minival", "gaps"), verdicts, strict=True)
    ]
    assert module.say_finding(W, [(each, each.rows[0]) for each in compared]) == said
