"""Names of categories that look like one category written in several ways."""

import re
from collections.abc import Iterable, Sequence

_NUMBERED = re.compile(r"(.*?[^\W\d])[\s_#.:()\-]*(\d+)\)?", re.DOTALL)
"""A word, and a number after it: cow-1, cow 2, cow_03, cow4, cow (5)."""


def folded(name: str) -> str:
    """A name without what people do not mean by it: case, blanks around it, and how words are separated."""
    return " ".join(name.replace("_", " ").replace("-", " ").split()).casefold()


def alike(names: Iterable[str]) -> list[list[str]]:
    """Names that differ by case, blanks, - or _ alone: groups of two or more, each once, in the order given."""
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(folded(name), {})[name] = None
    return [list(group) for group in groups.values() if len(group) > 1]


def split_number(name: str) -> tuple[str, int] | None:
    """The word and the number of a name such as cow-1; None of others."""
    match = _NUMBERED.fullmatch(name.strip())
    # More digits than any count of objects has are no number.
    return (match[1].strip(), int(match[2])) if match and len(match[2]) <= 4 else None


def numbered(names: Iterable[str]) -> list[list[str]]:
    """Names that differ by a number at their end alone: groups of two or more, each once, in the order given."""
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        if (parts := split_number(name)) is not None:
            groups.setdefault(folded(parts[0]), {})[name] = None
    return [list(group) for group in groups.values() if len(group) > 1]


def shown(names: Sequence[str], limit: int = 4) -> str:
    """The first names, for messages, with quotes so that blanks are seen."""
    return ", ".join(map(repr, names[:limit])) + (", .." if len(names) > limit else "")
