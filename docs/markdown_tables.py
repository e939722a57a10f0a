"""Tables in Markdown whose cells are Markdown themselves; tables of plain text: vistrials/reports/frame_text.py."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of these cells, all to the left."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])
