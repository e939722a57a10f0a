"""What a comparison says, in sentences: nothing but its verdicts."""

from collections.abc import Callable, Sequence

from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import Comparison, Row
from vistrials.reports.comparison_text import mean_difference, needed, say_difference, why_without_verdict


def say_verdicts(comparison: Comparison) -> str:
    """One paragraph in Markdown: which trials are better, worse, equal, undecided, and which have no verdict, and why.

    An undecided trial comes with its difference and what would decide it; one without a verdict with its difference.
    """
    rows = [row for row in comparison.rows if row.difference is not None]
    of = {verdict: [row for row in rows if row.judgement and row.judgement.verdict is verdict] for verdict in Verdict}
    without = [row for row in rows if row.judgement is None]
    parts = [
        f"better than `{comparison.against}`: {_listed(of[Verdict.BETTER], _with_interval)}",
        f"worse: {_listed(of[Verdict.WORSE], _with_interval)}",
        f"equal within ±{comparison.margin:g} AP: {_listed(of[Verdict.EQUAL], _with_interval)}",
        f"undecided: {_listed(of[Verdict.UNDECIDED], _with_needed)}",
    ]
    for reason in dict.fromkeys(map(why_without_verdict, without)):
        of_reason = [row for row in without if why_without_verdict(row) == reason]
        parts.append(f"no verdict ({reason}): {_listed(of_reason, _with_difference)}")
    return f"On `{comparison.split}` ({comparison.num_videos} videos), {'; '.join(parts)}."


def _listed(rows: Sequence[Row], show: Callable[[Row], str]) -> str:
    return ", ".join(map(show, rows)) or "none"


def _with_difference(row: Row) -> str:
    return f"`{row.trial}` ({mean_difference(row)})"


def _with_interval(row: Row) -> str:
    return f"`{row.trial}` ({say_difference(row)})"


def _with_needed(row: Row) -> str:
    assert row.judgement is not None and row.judgement.needed is not None
    return f"`{row.trial}` ({mean_difference(row)}; {needed(row.judgement.needed)})"
