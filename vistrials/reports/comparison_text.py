"""Table 1 as text: cells for a terminal, Markdown, CSV, LaTeX, JSON."""

import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path

from vistrials.errors import SpecError
from vistrials.evaluation.bootstrap import Interval
from vistrials.reports.comparison import BASELINE, FIGURES, Comparison, Row, Statistic

_FORMAT_OF_SUFFIX = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json"}


def choose_format(form: str | None, out: Path | None) -> str:
    """The format as asked for, or else by the suffix of a file, or else table, which only a terminal shows.

    Raises:
        SpecError: no such format, or a file without one.
    """
    chosen = form or (_FORMAT_OF_SUFFIX.get(out.suffix, out.name) if out else "table")
    expected = [*([] if out else ["table"]), *_FORMAT_OF_SUFFIX.values()]
    if chosen not in expected:
        suffixes = f", or a file in {', '.join(_FORMAT_OF_SUFFIX)}" if out else ""
        raise SpecError(f"{chosen}: expected --format {', '.join(expected)}{suffixes}")
    return chosen


def render(comparison: Comparison, form: str) -> str:
    """The table in a format of `choose_format`; csv and json hold more digits than the others."""
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
    return ("trial", *FIGURES, "ΔAP", *(["p", "Holm"] if comparison.num_draws else []), "seeds")


def cells(comparison: Comparison, separator: str = " ") -> list[tuple[str, ...]]:
    """The rows under `columns`; a trial with a footnote bears an asterisk.

    Args:
        comparison: what to show.
        separator: in a cell, between what can go on a line of its own to save width.
    """
    return [_row_cells(row, bool(comparison.num_draws), separator) for row in comparison.rows]


def _row_cells(row: Row, has_intervals: bool, separator: str) -> tuple[str, ...]:
    ap, difference = _shown(row.figures["AP"]), _shown(row.to_baseline, "+")
    others = [_shown(row.figures[name]) for name in FIGURES[1:]]
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


def _markdown(comparison: Comparison) -> str:
    headings = columns(comparison)
    rule = "|---" + "|---:" * (len(headings) - 1) + "|"
    header, *rows = (f"| {' | '.join(row)} |" for row in [headings, *cells(comparison)])
    below = "\n\n".join([f"Table 1. {caption(comparison)}", *remarks(comparison)])
    return "\n".join([header, rule, *rows, "", below, ""]).replace("*", r"\*")


def _latex(comparison: Comparison) -> str:
    headings = columns(comparison)
    header, *rows = (_to_latex(" & ".join(row)) + r" \\" for row in [headings, *cells(comparison)])
    begin, end = r"\begin{tabular}{l" + "r" * (len(headings) - 1) + "}", r"\end{tabular}"
    below = _to_latex("\n\n".join([caption(comparison), *remarks(comparison)]))
    return "\n".join([begin, r"\hline", header, r"\hline", *rows, r"\hline", end, "", below, ""])


def _to_latex(text: str) -> str:
    text = re.sub(r"([_%#${}])", r"\\\1", text)
    return text.replace("±", r"$\pm$").replace("Δ", r"$\Delta$").replace("–", "--").replace("<", "$<$")


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{name}{end}" for name in (*FIGURES, "AP_to_baseline") for end in ("", "_sd")]
    bounds = ["AP_low", "AP_high", "AP_to_baseline_low", "AP_to_baseline_high", "p", "p_holm"]
    writer.writerow(["trial", *names, *bounds, "num_seeds", "num_networks", "footnotes"])
    for row in comparison.rows:
        values = [row.figures[name] for name in FIGURES] + [row.to_baseline]
        numbers = [number for value in values for number in ((value.mean, value.sd) if value else (None, None))]
        intervals = (row.interval, row.to_baseline_interval)
        numbers += [
            bound for interval in intervals for bound in ((interval.low, interval.high) if interval else (None, None))
        ]
        shown = ["" if number is None else round(number, 4) for number in numbers]
        shown += ["" if p is None else round(p, 6) for p in (row.p, row.adjusted_p)]
        writer.writerow([row.trial, *shown, len(row.seeds), row.num_networks, "; ".join(row.footnotes)])
    return text.getvalue()


def _json(comparison: Comparison) -> str:
    return json.dumps({"unit": "percent", **asdict(comparison)}, indent=2) + "\n"
