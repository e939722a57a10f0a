from tests.reports.test_effects import comparison, row
from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.verdict_sentences import say_verdicts


def test_each_trial_stands_under_its_verdict_with_what_belongs_to_it() -> None:
    rows = [
        row("baseline", None, None),
        row("a", 2.0, Verdict.BETTER),
        row("b", -3.0, Verdict.WORSE),
        row("c", -0.04, Verdict.EQUAL),
        row("d", 1.0, Verdict.UNDECIDED),
        row("e", 0.7, None),
        row("f", 4.0, Verdict.BETTER),
    ]
    assert say_verdicts(comparison(*rows)) == (
        "On `minival` (60 videos), better than `baseline`: `a` (+2.0 [1.5, 2.5]), `f` (+4.0 [3.5, 4.5]); "
        "worse: `b` (-3.0 [-3.5, -2.5]); equal within ±1 AP: `c` (+0.0 [-0.5, 0.5]); undecided: `d` (+1.0; 7 seeds); "
        "no verdict (one network): `e` (+0.7)."
    )


def test_none_is_said_too() -> None:
    assert say_verdicts(comparison(row("baseline", None, None))) == (
        "On `minival` (60 videos), better than `baseline`: none; worse: none; equal within ±1 AP: none; "
        "undecided: none."
    )
