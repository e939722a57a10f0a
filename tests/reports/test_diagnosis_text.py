"""The tables of one error analysis, and of two side by side."""

from tests.evaluation.drawn import A, B, at, scene
from vistrials.evaluation.errors.analysis import diagnose
from vistrials.reports.diagnosis_text import tables

EVERYWHERE = range(10)
TRUTHS = [(at(A, EVERYWHERE), 1), (at(B, EVERYWHERE), 1)]
GAP = [(at(A, EVERYWHERE), 0.9, 1), (at(B, [0, 1, 8, 9]), 0.8, 1)]
MISTAKEN = [(at(A, EVERYWHERE), 0.9, 1), (at(B, EVERYWHERE), 0.8, 2)]


def rows_of(diagnoses):
    """All rows by the first word of their table's title and their label."""
    return {(table.title.split()[0], row[0]): row[1:] for table in tables(diagnoses) for row in table.rows}


def test_one_diagnosis():
    found = tables([diagnose(*scene(TRUTHS, GAP))])
    assert found[0].columns == ("kind", "n at .5", "n mean", "ΔAP50", "ΔAP")
    assert [row[0] for row in found[0].rows] == [
        "classification",
        "duplicate",
        "spatial",
        "temporal",
        "- identity",
        "- late start",
        "- early end",
        "- gap",
        "- leak",
        "both",
        "background",
        "miss",
    ]
    rows = rows_of([diagnose(*scene(TRUTHS, GAP))])
    # 51 of 101 points of recall read 1; mended, all do.
    assert rows["Errors:", "temporal"] == rows["Errors:", "- gap"] == ("1", "1.0", "49.50", "49.50")
    assert rows["AP", "as it is"] == ("50.5", "50.5")
    assert rows["AP", "perfect categories"] == ("50.5", "50.5")
    # 6 of 20 frames are in the gap.
    assert rows["Frames", "gap"] == ("6", "30.0")
    assert rows["AP", "9 to 16 (2 tracks)"] == rows["AP", "2 (2 tracks)"] == ("50.5", "50.5")
    assert rows["AP", "0 to < 16 (2 tracks)"] == ("50.5", "50.5")
    assert rows["Identities", "fragmentations"] == ("1",)


def test_two_side_by_side_with_their_difference():
    pair = [diagnose(*scene(TRUTHS, MISTAKEN)), diagnose(*scene(TRUTHS, GAP))]
    errors = tables(pair)[0]
    assert errors.columns[:4] == ("kind", "n at .5 A", "n at .5 B", "n at .5 A-B")
    rows = rows_of(pair)
    assert rows["Errors:", "temporal"][:3] == ("0", "1", "-1")
    assert rows["Errors:", "classification"][-3:] == ("49.50", "0.00", "+49.50")
    assert rows["AP", "perfect categories"] == ("100.0", "50.5", "+49.5") * 2
    assert rows["True", "category 1 -> category 2"] == ("1", "0", "+1", "50.0", "0.0", "+50.0")


def test_tables_without_rows_are_left_out():
    titles = [table.title.split()[0] for table in tables([diagnose(*scene([], []))])]
    assert titles == ["Errors:", "AP", "Frames", "Identities"]


def test_what_is_not_counted_is_a_dash():
    rows = rows_of([diagnose(*scene([], [(at(A, EVERYWHERE), 0.9, 1)]))])
    assert rows["AP", "as it is"] == ("–", "–")
    assert rows["Frames", "on"] == ("0", "–")
