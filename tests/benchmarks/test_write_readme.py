"""benchmarks/README.md is what the records in benchmarks/results/ say."""

import json
from pathlib import Path

import pytest

from benchmarks.records import RESULTS, as_table, save_record, show
from benchmarks.write_readme import PAGE, load_record, page

RECORDS = sorted(RESULTS.glob("*.json"))


def test_the_page_is_made_from_the_records() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.write_readme"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_what_the_page_shows(path: Path) -> None:
    record = load_record(path)
    assert record["rows"] and all(set(row) <= set(record["columns"]) for row in record["rows"])
    assert "date" in record["machine"] or all("date" in row for row in record["rows"])


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0314, "s", "31.4 ms"),
        (0.9996, "s", "1,000 ms"),
        (4.4, "s", "4.4 s"),
        (1958, "MB", "1,958 MB"),
        (0.0768, "%", "7.68 %"),
        (81, "", "81"),
        ("as it is", "s", "as it is"),
        (None, "s", "–"),
    ],
)
def test_values_have_their_units_and_three_digits(value: float | str | None, unit: str, expected: str) -> None:
    assert show(value, unit) == expected


def test_numbers_stand_right_and_gaps_are_dashes() -> None:
    rows = [{"what": "one", "time": 0.5}, {"what": "two"}]
    assert as_table({"columns": {"what": "", "time": "s"}, "rows": rows}) == (
        "| what | time |\n|---|---:|\n| one | 500 ms |\n| two | – |"
    )


def test_a_value_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column for .'wall'."):
        save_record(tmp_path / "a.json", "t", "c", {}, {"what": ""}, [{"what": "x", "wall": 1}])
    assert not (tmp_path / "a.json").exists()


def test_a_record_that_no_topic_shows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stray.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="stray"):
        page(tmp_path)
