from dataclasses import replace
from pathlib import Path

import pytest

from vistrials.errors import DataError, RunError
from vistrials.runs.seed_plan import SeedPlan, keep_seed_plan, read_seed_plan

PLAN = SeedPlan("minival", 1.0, 10, ("attention_neck", "weighted_affinity"))


def test_a_plan_is_kept_with_the_runs_of_its_profile(tmp_path: Path) -> None:
    assert read_seed_plan(tmp_path, "demo", "minival") is None
    keep_seed_plan(tmp_path, "demo", PLAN)
    keep_seed_plan(tmp_path, "demo", PLAN)
    assert read_seed_plan(tmp_path, "demo", "minival") == PLAN
    assert read_seed_plan(tmp_path, "demo", "occlusion") is None
    assert read_seed_plan(tmp_path, "laptop", "minival") is None


@pytest.mark.parametrize(
    "other",
    [
        SeedPlan("occlusion", 1.0, 10, PLAN.trials),
        SeedPlan("minival", 2.0, 10, PLAN.trials),
        SeedPlan("minival", 1.0, 12, PLAN.trials),
        SeedPlan("minival", 1.0, 10, PLAN.trials[:1]),
    ],
)
def test_looks_that_are_paid_for_are_not_forgotten(tmp_path: Path, other: SeedPlan) -> None:
    keep_seed_plan(tmp_path, "demo", PLAN)
    with pytest.raises(RunError, match=r"until_decided\.json: another plan has begun here .*on minival, margin 1, at"):
        keep_seed_plan(tmp_path, "demo", other)
    assert read_seed_plan(tmp_path, "demo", "minival") == PLAN


def test_the_order_of_trials_makes_no_other_plan(tmp_path: Path) -> None:
    keep_seed_plan(tmp_path, "demo", PLAN)
    keep_seed_plan(tmp_path, "demo", replace(PLAN, trials=PLAN.trials[::-1]))
    assert read_seed_plan(tmp_path, "demo", "minival") == PLAN


def written(margin: str = "1.0", max_seeds: str = "10", trials: str = "[]") -> str:
    return f'{{"split": "minival", "margin": {margin}, "max_seeds": {max_seeds}, "trials": {trials}}}'


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        written(margin='"x"'),
        written(margin="-1"),
        written(max_seeds="2"),
        written(max_seeds="1e999"),
        written(trials='"attention_neck"'),
    ],
)
def test_a_damaged_plan_is_named(tmp_path: Path, text: str) -> None:
    keep_seed_plan(tmp_path, "demo", PLAN)
    (tmp_path / "demo" / "until_decided.json").write_text(text)
    for call in (lambda: read_seed_plan(tmp_path, "demo", "minival"), lambda: keep_seed_plan(tmp_path, "demo", PLAN)):
        with pytest.raises(DataError, match=r"until_decided\.json: expected split, margin, max_seeds and trials"):
            call()
