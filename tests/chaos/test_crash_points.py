"""A run that is killed at any change that it makes on disk ends, when it is run again, like one that never was."""

from pathlib import Path

import pytest

from tests.chaos.tiny_study import TinyStudy

VALIDATED = {"train": {"validation": {"every_iters": 2}}}
NUM_SAMPLED = 7


def test_kills_at_some_changes_cost_nothing(tmp_path: Path) -> None:
    study = TinyStudy(tmp_path, VALIDATED)
    last = len(study.points) - 1
    assert last > 100
    sampled = sorted({round(number * last / (NUM_SAMPLED - 1)) for number in range(NUM_SAMPLED)})
    assert [problem for point in sampled if (problem := study.crash_at(point))] == []


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, VALIDATED], ids=["plain", "validated"])
def test_kills_at_all_changes_cost_nothing(tmp_path: Path, changes: dict[str, dict[str, object]]) -> None:
    study = TinyStudy(tmp_path, changes)
    assert [problem for point in range(len(study.points)) if (problem := study.crash_at(point))] == []
