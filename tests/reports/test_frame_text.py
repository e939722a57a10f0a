"""Cells cannot break out of a table, whatever names they hold."""

import csv
import io

import pytest
from pandas import DataFrame

from vistrials.reports.frame_text import escape_latex, to_csv, to_latex, to_markdown

NASTY = DataFrame(
    [["=cmd()", "-1.5"], ["a|b*c\\", "50 % & more_#{x}~^ ± Δ – <5"], ["two\nlines", "@x"]], columns=["|", "+1"]
)


def test_csv_holds_no_formula_and_leaves_numbers_alone() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(NASTY))))
    assert rows[0] == ["|", "'+1"]
    assert [row[0] for row in rows[1:]] == ["'=cmd()", "a|b*c\\", "two\nlines"]
    assert [row[1] for row in rows[1:]] == ["'-1.5", "50 % & more_#{x}~^ ± Δ – <5", "'@x"]
    numbers = DataFrame({"trial": ["a", "b"], "AP": [-1.25, float("nan")], "n": [1, -2]})
    assert to_csv(numbers) == "trial,AP,n\na,-1.25,1\nb,,-2\n"
    assert to_csv(numbers, "%.1f") == "trial,AP,n\na,-1.2,1\nb,,-2\n"


def test_markdown_rows_keep_their_columns() -> None:
    header, rule, *rows = to_markdown(NASTY).split("\n")
    assert (header, rule) == (r"| \| | +1 |", "|---|---:|")
    assert rows == ["| =cmd() | -1.5 |", r"| a\|b\*c\\ | 50 % & more_#{x}~^ ± Δ – &lt;5 |", "| two lines | @x |"]


def test_latex_escapes_all_that_it_would_read() -> None:
    lines = to_latex(NASTY).split("\n")
    assert lines[:3] == [r"\begin{tabular}{lr}", r"\toprule", r"| & +1 \\"] and lines[-1] == r"\end{tabular}"
    said = r"50 \% \& more\_\#\{x\}\textasciitilde{}\textasciicircum{} $\pm$ $\Delta$ -- $<$5"
    assert rf"a|b*c\textbackslash{{}} & {said} \\" in lines


@pytest.mark.parametrize("text", ["plain text, 1.5 [2, 3]", ""])
def test_plain_text_stays(text: str) -> None:
    assert escape_latex(text) == text
