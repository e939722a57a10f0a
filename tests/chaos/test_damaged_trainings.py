"""Files of a run that was killed on its way, damaged before it goes on: it ends as it should, or says why not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.crash_points import CrashPoints
from tests.chaos.outcomes import differences, results_of
from tests.chaos.tiny_study import TinyStudy
from tests.commands.test_damaged_runs import delete, empty, garble, put_a_folder, truncate

KILLED_AT = {
    "training": "open .weights-last.safetensors",
    "inference": "open .predictions.json",
}
FILES = {
    "training": (
        *("checkpoint.pt", "checkpoint-previous.pt", "losses.jsonl", "validation.jsonl"),
        *("weights-best.safetensors", "provenance.json", "spec.yaml"),
    ),
    "inference": ("predictions.partial.jsonl", "weights.safetensors"),
}
MENDED = {
    *("checkpoint.pt", "checkpoint-previous.pt", "predictions.partial.jsonl"),
}
"""What can be gone and yet nothing is lost, unless a folder stands there."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> TinyStudy:
    """With a run that was killed at the end of its training, and one at the end of its inference."""
    study = TinyStudy(tmp_path_factory.mktemp("study"), {"train": {"validation": {"every_iters": 2}}})
    for name, change in KILLED_AT.items():
        point = next(number for number, point in enumerate(study.points) if point.startswith(change))
        study.run(name, prepare=CrashPoints(study.results(name), kill_at=point).install)
    return study


@pytest.mark.parametrize(
    "damage", [garble, *(pytest.param(d, marks=pytest.mark.slow) for d in (delete, empty, truncate, put_a_folder))]
)
@pytest.mark.parametrize(("killed", "name"), [(killed, name) for killed, names in FILES.items() for name in names])
def test_a_damaged_file_costs_nothing_or_is_named(
    killed: str, name: str, damage: Callable[[Path], None], study: TinyStudy
) -> None:
    results = f"{killed}-damaged"
    shutil.rmtree(study.results(results), ignore_errors=True)
    shutil.copytree(study.results(killed), study.results(results))
    damage(study.run_folder(results) / name)
    ended = study.run(results)
    assert ended.is_clean
    if name in MENDED and damage is not put_a_folder:
        assert ended.code == 0, ended.output
    if ended.code == 0:
        if f"warning: {study.run_folder(results) / name}: is gone" in ended.output:
            return
        assert differences(results_of(study.run_folder(results)), study.expected) == []
        return
    (error,) = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    assert ended.code == 2 and name in error and ("--force" in error or "remove it" in error)
