"""DataFrames as CSV, Markdown and LaTeX; names of trials, files and categories cannot break out of their cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vistrials.errors import SpecError
from vistrials.formats.files import check_suffix, has_suffix

if TYPE_CHECKING:
    from pandas import DataFrame

_SUFFIX_OF_FORMAT = {"markdown": ".md", "csv": ".csv", "latex": ".tex", "json": ".json"}

_MARKDOWN = str.maketrans({"\\": r"\\", "|": r"\|", "*": r"\*", "`": r"\`", "<": "&lt;", "\n": " "})
_LATEX = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    | {"±": r"$\pm$", "Δ": r"$\Delta$", "–": "--"}
)
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def choose_format(form: str | None, out: Path | None) -> str:
    """The format as asked for, or else by the suffix of a file, or else table, which only a terminal shows.

    Raises:
        SpecError: no such format, or none for a file.
        DataError: the file's suffix is that of no format, or of another one than asked for.
    """
    expected = [*([] if out else ["table"]), *_SUFFIX_OF_FORMAT]
    if form is not None and form not in expected:
        raise SpecError(f"{form}: expected --format {', '.join(expected)}{' into a file' if out else ''}")
    if out is None:
        return form or "table"
    check_suffix(out, [_SUFFIX_OF_FORMAT[form]] if form else list(_SUFFIX_OF_FORMAT.values()))
    return next(name for name, suffix in _SUFFIX_OF_FORMAT.items() if has_suffix(out, [suffix]))


def to_csv(frame: "DataFrame", float_format: str | None = None) -> str:
    """Numbers in full, or as `float_format` says, nothing where there is none; text is never a formula."""
    safe = frame.map(_without_formula).rename(columns=_without_formula)
    return safe.to_csv(index=False, lineterminator="\n", float_format=float_format)


def to_markdown(frame: "DataFrame") -> str:
    """A frame of text: the first column to the left, all others to the right."""
    rule = "|---" + "|---:" * (frame.shape[1] - 1) + "|"
    header, *rows = ([escape_markdown(cell) for cell in row] for row in [frame.columns, *frame.to_numpy()])
    return "\n".join([_markdown_row(header), rule, *map(_markdown_row, rows)])


def to_latex(frame: "DataFrame") -> str:
    """A frame of text as a tabular with the rules of the package booktabs, aligned as in Markdown."""
    columns = "l" + "r" * (frame.shape[1] - 1)
    safe = frame.map(escape_latex).rename(columns=escape_latex)
    return safe.to_latex(index=False, escape=False, column_format=columns).rstrip("\n")


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in a cell too."""
    return text.translate(_MARKDOWN)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return text.translate(_LATEX)


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _without_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
