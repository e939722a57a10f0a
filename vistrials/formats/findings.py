"""One thing found in a file: what it is, where, and how bad."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or an oddity of one entry of a file.

    Attributes:
        severity: error (refused by whoever needs this part) or warning (unusual, or left out in training).
        kind: what it is in a few words, the same for all of its kind.
        where: the entry.
        what: what was found and what is expected.
    """

    severity: Severity
    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def error(kind: str, where: str, what: str) -> Finding:
    return Finding("error", kind, where, what)


def warning(kind: str, where: str, what: str) -> Finding:
    return Finding("warning", kind, where, what)


def summarise(findings: Iterable[Finding]) -> tuple[str, ...]:
    """One line for each kind: how many, and the first."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return tuple(f"{kind}: {len(found)} (first: {found[0]})" for kind, found in kinds.items())
