"""Table 1 as text: cells for a terminal, Markdown, CSV, LaTeX, JSON."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.intervals import Interval
from vistrials.evaluation.looks import find_errors
from vistrials.evaluation.verdicts import ERROR, Judgement, Needed
from vistrials.reports.comparison import Comparison, Row, Statistic
from vistrials.reports.frame_text import escape_latex, escape_markdown, to_csv, to_latex, to_markdown

if TYPE_CHECKING:
    from pandas import DataFrame


DISPENSABLE = ("AR1", "AR10", "AP75", "AP50", "P(>)", "p")
"""Columns that a terminal too narrow for all of them may lack, those to be left out first coming first."""


def render(comparison: Comparison, form: str) -> str:
    """The table in a format of `frame_text.choose_format`; csv and json hold more digits than the others."""
    return {"markdown": _markdown, "csv": _csv, "latex": _latex, "json": _json}[form](comparison)


def caption(comparison: Comparison) -> str:
    """What the figures are, in one line."""
    return (
        f"{comparison.profile}, split {comparison.split}, in percent: mean ± standard deviation over seeds; "
        f"ΔAP: AP minus {comparison.against}'s, over the seeds that both have"
    )


def remarks(comparison: Comparison) -> list[str]:
    """The lines below the table: what the intervals cover, then footnotes, then the rest."""
    intervals = _what_intervals_cover(comparison) if any(row.interval for row in comparison.rows) else []
    footnotes = [f"* {note}" for row in comparison.rows for note in row.footnotes]
    unfinished = [f"not finished: {', '.join(comparison.unfinished)}"] if comparison.unfinished else []
    return [*intervals, *footnotes, *unfinished, *comparison.notes]


def _what_intervals_cover(comparison: Comparison) -> list[str]:
    return [
        f"[95 % interval]: from {comparison.num_draws} draws of the {comparison.num_videos} videos, the same for all "
        "trials, and the spread of the row's own networks; of one network, or against one, videos only",
        "P(>): share of seeds and drawn videos on which the trial has more AP; neither covers other kinds of data",
        *_what_verdicts_mean(comparison),
    ]


def _what_verdicts_mean(comparison: Comparison) -> list[str]:
    size = sum(row.judgement is not None for row in comparison.rows)
    if not size:
        return ["no verdict: it takes a trial of the family with two networks or more on both sides"]
    error, plan = f"{100 * ERROR:.0f} %", comparison.seed_plan
    lines = [
        f"p: two-sided, of ΔAP = 0, adjusted for the {size} rows that have one; verdict: better or worse, or equal "
        f"within ±{comparison.margin:g} AP, each with an error of {error} for all these rows together; undecided: "
        "what would decide it, should ΔAP stay"
    ]
    if plan:
        errors = ", ".join(f"{100 * value:.1f} % with {seeds}" for seeds, value in find_errors(plan.max_seeds).items())
        lines.append(f"seeds were added until rows were decided, up to {plan.max_seeds}: instead of {error}, {errors}")
    return lines


def columns(comparison: Comparison) -> tuple[str, ...]:
    """The headings of `cells`."""
    judged = ["P(>)", "p", "verdict"] if comparison.num_draws else []
    return ("trial", *TABLE_FIGURES, "ΔAP", *judged, "seeds")


def cells(comparison: Comparison, separator: str = " ") -> list[tuple[str, ...]]:
    """The rows under `columns`; a trial with a footnote bears an asterisk.

    Args:
        comparison: what to show.
        separator: in a cell, between what can go on a line of its own to save width.
    """
    return [_row_cells(row, comparison, separator) for row in comparison.rows]


def _row_cells(row: Row, comparison: Comparison, separator: str) -> tuple[str, ...]:
    ap, difference = _shown(row.figures["AP"]), _shown(row.difference, "+")
    others = [_shown(row.figures[name]) for name in TABLE_FIGURES[1:]]
    judged: list[str] = []
    if comparison.num_draws:
        ap += separator + _interval(row.interval)
        difference += separator + _interval(row.difference_interval)
        if row.difference_interval and _is_of_one_network(row):
            difference += f"{separator}videos only"
        others = [other.replace(" ±", f"{separator}±") for other in others]
        judged = [_superiority(row.superiority), _p(row.judgement), verdict(row.judgement, separator)]
        judged = [""] * 3 if row.trial == comparison.against else judged
    return (
        f"{row.trial} *" if row.footnotes else row.trial,
        ap,
        *others,
        "" if row.trial == comparison.against else difference,
        *judged,
        _seeds(row, separator),
    )


def _seeds(row: Row, separator: str) -> str:
    count = str(len(row.seeds))
    if row.num_networks == len(row.seeds):
        return count
    return f"{count}{separator}({row.num_networks} network{'s' if row.num_networks > 1 else ''})"


def _interval(interval: Interval | None) -> str:
    return f"[{rounded(interval.low)}, {rounded(interval.high)}]" if interval else "[–]"


def _is_of_one_network(row: Row) -> bool:
    return row.difference is not None and row.difference.sd is None


def _superiority(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"


def _p(judgement: Judgement | None) -> str:
    if judgement is None:
        return "–"
    p = judgement.adjusted_p
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def why_without_verdict(row: Row) -> str:
    """Why the difference of a row has none, in words."""
    if row.difference_interval is None:
        return "no interval"
    return "one network" if _is_of_one_network(row) else "not of the family"


def verdict(judgement: Judgement | None, separator: str = " ") -> str:
    """A verdict in words, with what would decide it where it is undecided."""
    if judgement is None:
        return "–"
    if judgement.needed is None:
        return str(judgement.verdict)
    return f"{judgement.verdict}:{separator}{needed(judgement.needed, separator)}"


def mean_difference(row: Row) -> str:
    """A row's difference with its sign, a dash where it has none."""
    return rounded(row.difference.mean, "+") if row.difference else "–"


def say_difference(row: Row) -> str:
    """The same with its interval, where it has one."""
    shown = mean_difference(row)
    return f"{shown} {_interval(row.difference_interval)}" if row.difference_interval else shown


def needed(what: Needed, separator: str = " ") -> str:
    """The seeds, and with more videos than there are the videos too, that would decide a difference, in words."""
    if what.seeds is None:
        return f"> {what.most} seeds"
    more_videos = "" if what.videos is None else f",{separator}{what.videos:,} videos"
    return f"{what.seeds} seeds{more_videos}"


def rounded(value: float, sign: str = "") -> str:
    """A figure in percent as tables show it; `sign` is + for a difference."""
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(value, 1) + 0.0:{sign}.1f}"


def _shown(value: Statistic | None, sign: str = "") -> str:
    if value is None:
        return "–"
    text = rounded(value.mean, sign)
    return text if value.sd is None else f"{text} ± {value.sd:.1f}"


def to_frame(comparison: Comparison) -> "DataFrame":
    """A row for each trial, in percent to four digits; NaN where there is no such number.

    Columns: trial; AP, AP50, AP75, AR1, AR10 and AP_difference, each followed by its standard deviation over seeds
    (..._sd); the bounds AP_low, AP_high, AP_difference_low and AP_difference_high of the intervals; superiority,
    P(A > B); p, p_adjusted (of no difference), p_equal, p_equal_adjusted (of one of the margin or more), verdict, and
    seeds_needed, videos_needed where it is undecided; num_seeds, num_networks; footnotes.
    """
    from pandas import DataFrame

    return DataFrame([_row_numbers(row) for row in comparison.rows])


def _row_numbers(row: Row) -> dict[str, str | float]:
    statistics = {name: row.figures[name] for name in TABLE_FIGURES} | {"AP_difference": row.difference}
    numbers: dict[str, float | None] = {}
    for name, value in statistics.items():
        numbers |= {name: value.mean if value else None, f"{name}_sd": value.sd if value else None}
    for name, interval in {"AP": row.interval, "AP_difference": row.difference_interval}.items():
        low, high = (interval.low, interval.high) if interval else (None, None)
        numbers |= {f"{name}_low": low, f"{name}_high": high}
    shown = {name: _to_digits(number, 4) for name, number in numbers.items()}
    shown |= {"superiority": _to_digits(row.superiority, 4)}
    counts = {"num_seeds": len(row.seeds), "num_networks": row.num_networks}
    return {
        "trial": row.trial,
        **shown,
        **_judgement_numbers(row.judgement),
        **counts,
        "footnotes": "; ".join(row.footnotes),
    }


def _judgement_numbers(judgement: Judgement | None) -> dict[str, str | float]:
    p = {"p": None, "p_adjusted": None, "p_equal": None, "p_equal_adjusted": None, "seeds_needed": None}
    numbers: dict[str, float | None] = {**p, "videos_needed": None}
    if judgement is not None:
        values = judgement.p, judgement.adjusted_p, judgement.equal_p, judgement.adjusted_equal_p
        numbers |= dict(zip(p, values, strict=False))
        if judgement.needed is not None:
            numbers |= {"seeds_needed": judgement.needed.seeds, "videos_needed": judgement.needed.videos}
    shown = {name: _to_digits(number, 6) for name, number in numbers.items()}
    return {**shown, "verdict": str(judgement.verdict) if judgement else ""}


def _to_digits(number: float | None, digits: int) -> float:
    return float("nan") if number is None else round(number, digits)


def _text_frame(comparison: Comparison) -> "DataFrame":
    from pandas import DataFrame

    return DataFrame(cells(comparison), columns=list(columns(comparison)))


def _markdown(comparison: Comparison) -> str:
    below = "\n\n".join(map(escape_markdown, [f"Table 1. {caption(comparison)}", *remarks(comparison)]))
    return "\n".join([to_markdown(_text_frame(comparison)), "", below, ""])


def _latex(comparison: Comparison) -> str:
    below = "\n\n".join(map(escape_latex, [caption(comparison), *remarks(comparison)]))
    return "\n".join([to_latex(_text_frame(comparison)), "", below, ""])


def _csv(comparison: Comparison) -> str:
    return to_csv(to_frame(comparison))


def _json(comparison: Comparison) -> str:
    return json.dumps({"unit": "percent", **asdict(comparison)}, indent=2) + "\n"
