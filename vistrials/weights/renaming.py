"""Names of parameters turned into those of another program by rules."""

import re

Rules = tuple[tuple[str, str], ...]
"""A pattern for a whole name, and what replaces it."""


def renamed(name: str, rules: Rules) -> str | None:
    """What the first rule that fits makes of a name; None where none fits."""
    for pattern, replacement in rules:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return None
