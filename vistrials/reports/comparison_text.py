"""Table 1 as text: cells for a terminal, Markdown, CSV, LaTeX, JSON."""

import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path

from vistrials.errors import SpecError
from vistrials.reports.comparison import BASELINE, FIGURES, Comparison, Statistic

COLUMNS = ("trial", *FIGURES, "ΔAP", "seeds")

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
    """The lines below the table, footnotes first."""
    footnotes = [f"* {note}" for row in comparison.rows for note in row.footnotes]
    unfinished = [f"not finished: {', '.join(comparison.unfinished)}"] if comparison.unfinished else []
    return [*footnotes, *unfinished, *comparison.notes]


def cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """The rows under `COLUMNS`; a trial with a footnote bears an asterisk."""
    return [
        (
            f"{row.trial} *" if row.footnotes else row.trial,
            *(_shown(row.figures[name]) for name in FIGURES),
            "" if row.trial == BASELINE else _shown(row.to_baseline, "+"),
            str(len(row.seeds)),
        )
        for row in comparison.rows
    ]


def _shown(value: Statistic | None, sign: str = "") -> str:
    if value is None:
        return "–"
    # Adding 0 turns -0.0 into 0.0.
    text = f"{round(value.mean, 1) + 0.0:{sign}.1f}"
    return text if value.sd is None else f"{text} ± {value.sd:.1f}"


def _markdown(comparison: Comparison) -> str:
    rule = "|---" + "|---:" * (len(COLUMNS) - 1) + "|"
    header, *rows = (f"| {' | '.join(row)} |" for row in [COLUMNS, *cells(comparison)])
    below = "\n\n".join([f"Table 1. {caption(comparison)}", *remarks(comparison)])
    return "\n".join([header, rule, *rows, "", below, ""]).replace("*", r"\*")


def _latex(comparison: Comparison) -> str:
    header, *rows = (_to_latex(" & ".join(row)) + r" \\" for row in [COLUMNS, *cells(comparison)])
    begin, end = r"\begin{tabular}{l" + "r" * (len(COLUMNS) - 1) + "}", r"\end{tabular}"
    below = _to_latex("\n\n".join([caption(comparison), *remarks(comparison)]))
    return "\n".join([begin, r"\hline", header, r"\hline", *rows, r"\hline", end, "", below, ""])


def _to_latex(text: str) -> str:
    text = re.sub(r"([_%#${}])", r"\\\1", text)
    return text.replace("±", r"$\pm$").replace("Δ", r"$\Delta$").replace("–", "--")


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [*FIGURES, "AP_to_baseline"]
    writer.writerow(["trial", *(f"{name}{end}" for name in names for end in ("", "_sd")), "num_seeds", "footnotes"])
    for row in comparison.rows:
        values = [row.figures[name] for name in FIGURES] + [row.to_baseline]
        numbers = [number for value in values for number in ((value.mean, value.sd) if value else (None, None))]
        shown = ["" if number is None else round(number, 4) for number in numbers]
        writer.writerow([row.trial, *shown, len(row.seeds), "; ".join(row.footnotes)])
    return text.getvalue()


def _json(comparison: Comparison) -> str:
    return json.dumps({"unit": "percent", **asdict(comparison)}, indent=2) + "\n"
