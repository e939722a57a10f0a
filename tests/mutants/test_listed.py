"""No deliberate bug on record is stale: its text is there once, it changes something, and its tests exist."""

import ast
from collections import Counter

import pytest

from tests.mutants.listed import ROOT, Mutant, load_mutants

MUTANTS = load_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug)
def test_an_entry_applies_and_names_tests(mutant: Mutant) -> None:
    ast.parse(mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8")))
    assert mutant.old != mutant.new
    assert mutant.tests and all((ROOT / "tests" / test).is_file() for test in mutant.tests)


def test_names_tell_bugs_apart() -> None:
    assert [bug for bug, count in Counter(mutant.bug for mutant in MUTANTS).items() if count > 1] == []


def test_a_stale_entry_is_an_error() -> None:
    mutant = Mutant("bug", "file.py", "old", "new", ("test_file.py",))
    assert mutant.applied("an old text") == "an new text"
    for text in ("no such text", "old and old"):
        with pytest.raises(ValueError, match="expected its old text once"):
            mutant.applied(text)
