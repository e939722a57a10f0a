"""The deliberate bugs on record."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """A bug: in `file`, `old` becomes `new`; one of `tests`, named from tests/, must fail."""

    bug: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The file with the bug; the entry is stale where its old text does not stand there exactly once."""
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"{self.file}: {self.bug}: expected its old text once, found it {count} times")
        return text.replace(self.old, self.new)


def load_mutants() -> list[Mutant]:
    """All bugs of the YAML files in this folder."""
    rows = [row for path in sorted(Path(__file__).parent.glob("*.yaml")) for row in yaml.safe_load(path.read_text())]
    return [Mutant(**row | {"tests": tuple(row["tests"])}) for row in rows]
