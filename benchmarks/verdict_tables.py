"""The tables of docs/uncertainty.md from what `benchmarks.verdicts` has measured."""

from collections.abc import Mapping, Sequence
from typing import Any


def write_tables(page: str, found: Mapping[str, Any]) -> str:
    """The page with all tables between its markers filled anew."""
    return page


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
