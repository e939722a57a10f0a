"""Table 1 as text: cells for a terminal, Markdown, CSV, LaTeX, JSON."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from vistrials.evaluation.average_precision import TABLE_FIGURES
from vistrials.evaluation.bootstrap import Interval
from vistrials.reports.comparison import BASELINE, Comparison, Row, Statistic
from vistrials.reports.frame_text import escape_latex, escape_markdown, to_csv, to_latex, to_markdown

if TYPE_CHECKING:
    from pandas import DataFrame


DISPENSABLE = ("AR1", "AR10", "AP75", "AP50", "Holm", "p")
"""Columns that a terminal too narrow for all of them may lack, those to be left out first coming first."""


def render(comparison: Comparison, form: str) -> str:
    """The table in a format of `frame_text.choose_format`; csv and json hold more digits than the others."""
    return {"markdown": _markdown, "csv": _csv, "latex": _latex, "json": _json}[form](comparison)


def caption(comparison: Comparison) -> str:
    """What the figures are, in one line."""
    return (
        f"{comparison.profile}, split {comparison.split}, in percent: mean ± standard deviation over seeds; "
        f"ΔAP: AP minus {BASELINE}'s, over the seeds that both have"
    )


def remarks(comparison: Comparison) -> list[str]:
    """The lines below the table: what the intervals cover, then footnotes, then the rest."""
    intervals = _what_intervals_cover(comparison) if comparison.num_draws and comparison.num_videos else []
    footnotes = [f"* {note}" for row in comparison.rows for note in row.footnotes]
    unfinished = [f"not finished: {', '.join(comparison.unfinished)}"] if comparison.unfinished else []
    return [*intervals, *footnotes, *unfinished, *comparison.notes]


def _what_intervals_cover(comparison: Comparison) -> list[str]:
    spread = comparison.seed_spread
    covered = "videos, not of seeds (one each)"
    if spread:
        covered = (
            f"videos and of seeds (between which AP varies by sd {spread.variance**0.5:.1f} beyond their luck on these "
            f"videos, pooled over trials, {spread.degrees} degrees of freedom)"
        )
    return [
        f"[95 % interval], p (two-sided, of ΔAP = 0): from {comparison.num_draws} draws of the "
        f"{comparison.num_videos} videos, the same for all trials",
        f"they cover the choice of {covered};",
        "they do not cover other kinds of data; a row of one network (or against a baseline of one) has no p, and its "
        "intervals cover videos only",
        f"p is for each row alone; Holm: adjusted for the family of the {_family_size(comparison)} rows with p",
    ]


def _family_size(comparison: Comparison) -> int:
    return sum(row.p is not None for row in comparison.rows)


def columns(comparison: Comparison) -> tuple[str, ...]:
    """The headings of `cells`."""
    return ("trial", *TABLE_FIGURES, "ΔAP", *(["p", "Holm"] if comparison.num_draws else []), "seeds")


def cells(comparison: Comparison, separator: str = " ") -> list[tuple[str, ...]]:
    """The rows under `columns`; a trial with a footnote bears an asterisk.

    Args:
        comparison: what to show.
        separator: in a cell, between what can go on a line of its own to save width.
    """
    return [_row_cells(row, bool(comparison.num_draws), separator) for row in comparison.rows]


def _row_cells(row: Row, has_intervals: bool, separator: str) -> tuple[str, ...]:
    ap, difference = _shown(row.figures["AP"]), _shown(row.to_baseline, "+")
    others = [_shown(row.figures[name]) for name in TABLE_FIGURES[1:]]
    p = []
    if has_intervals:
        ap += separator + _interval(row.interval)
        difference += separator + _interval(row.to_baseline_interval)
        others = [other.replace(" ±", f"{separator}±") for other in others]
        p = ["" if row.trial == BASELINE else _p(value) for value in (row.p, row.adjusted_p)]
    return (
        f"{row.trial} *" if row.footnotes else row.trial,
        ap,
        *others,
        "" if row.trial == BASELINE else difference,
        *p,
        _seeds(row, separator),
    )


def _seeds(row: Row, separator: str) -> str:
    count = str(len(row.seeds))
    if row.num_networks == len(row.seeds):
        return count
    return f"{count}{separator}({row.num_networks} network{'s' if row.num_networks > 1 else ''})"


def _interval(interval: Interval | None) -> str:
    return f"[{_rounded(interval.low)}, {_rounded(interval.high)}]" if interval else "[–]"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def _rounded(value: float, sign: str = "") -> str:
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(value, 1) + 0.0:{sign}.1f}"


def _shown(value: Statistic | None, sign: str = "") -> str:
    if value is None:
        return "–"
    text = _rounded(value.mean, sign)
    return text if value.sd is None else f"{text} ± {value.sd:.1f}"


def to_frame(comparison: Comparison) -> "DataFrame":
    """A row for each trial, in percent to four digits; NaN where there is no such number.

    Columns: trial; AP, AP50, AP75, AR1, AR10 and AP_to_baseline, each followed by its standard deviation over seeds
    (..._sd); the bounds AP_low, AP_high, AP_to_baseline_low and AP_to_baseline_high of the intervals; p, p_holm;
    num_seeds, num_networks; footnotes.
    """
    from pandas import DataFrame

    return DataFrame([_row_numbers(row) for row in comparison.rows])


def _row_numbers(row: Row) -> dict[str, str | float]:
    statistics = {name: row.figures[name] for name in TABLE_FIGURES} | {"AP_to_baseline": row.to_baseline}
    numbers: dict[str, float | None] = {}
    for name, value in statistics.items():
        numbers |= {name: value.mean if value else None, f"{name}_sd": value.sd if value else None}
    for name, interval in {"AP": row.interval, "AP_to_baseline": row.to_baseline_interval}.items():
        low, high = (interval.low, interval.high) if interval else (None, None)
        numbers |= {f"{name}_low": low, f"{name}_high": high}
    shown = {name: _to_digits(number, 4) for name, number in numbers.items()}
    shown |= {"p": _to_digits(row.p, 6), "p_holm": _to_digits(row.adjusted_p, 6)}
    counts = {"num_seeds": len(row.seeds), "num_networks": row.num_networks}
    return {"trial": row.trial, **shown, **counts, "footnotes": "; ".join(row.footnotes)}


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
