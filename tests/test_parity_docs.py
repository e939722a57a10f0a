"""The table in docs/parity.md names every recorded file and tests that exist and read it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "parity.md"


def rows() -> dict[str, list[str]]:
    """File stem -> the tests that its row names in the last column."""
    table = re.findall(r"^\| `(\w+)\.npz` \|.*\| ([^|]*) \|$", DOCS.read_text(), flags=re.MULTILINE)
    return {stem: re.findall(r"test_\w+", tests) for stem, tests in table}


@cache
def strings_by_test() -> dict[str, set[str]]:
    """Test function -> the text constants of its file, in which a recorded file must be named to be read."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        found |= {n.name: strings for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}
    return found


def test_every_recorded_file_has_a_row(recordings: Path) -> None:
    assert rows().keys() == {path.stem for path in recordings.glob("*.npz")}


@pytest.mark.parametrize("stem", sorted(rows()))
def test_the_tests_of_a_row_exist_and_name_its_file(stem: str) -> None:
    tests, strings = rows()[stem], strings_by_test()
    assert tests
    for test in tests:
        assert test in strings, f"docs/parity.md: no test is called {test}"
        assert {stem, f"{stem}.npz"} & strings[test], f"the file of {test} never names {stem}"
