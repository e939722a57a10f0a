"""How seeds are added to trials until they are decided: written before the first run, so that looks can be paid for."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from vistrials.errors import DataError, RunError
from vistrials.formats.json_file import load_json, save_json_atomic

FIRST_LOOK = 3
"""Seeds before the first verdict: two tell next to nothing of their variance."""


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """A plan for the trials of a profile.

    split: on which they are decided.
    margin: in AP in percent, within which trials count as equal.
    max_seeds: of the last look.
    trials: that are decided together, without the baseline.
    """

    split: str
    margin: float
    max_seeds: int
    trials: tuple[str, ...]


def read_seed_plan(results_dir: Path | str, profile: str, split: str) -> SeedPlan | None:
    """The plan of a profile for a split; None where there is none.

    Raises:
        DataError: its file is damaged.
    """
    path = seed_plan_file(results_dir, profile)
    plan = _read(path) if path.exists() else None
    return plan if plan and plan.split == split else None


def keep_seed_plan(results_dir: Path | str, profile: str, plan: SeedPlan) -> bool:
    """Write a plan down, or make sure that it is the one written down.

    Returns:
        Whether it begins now.

    Raises:
        RunError: there is another one, whose looks are paid for already.
        DataError: its file is damaged, or cannot be written.
    """
    path = seed_plan_file(results_dir, profile)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json_atomic(path, asdict(plan))
        return True
    if _with_sorted_trials(begun := _read(path)) != _with_sorted_trials(plan):
        raise RunError(
            f"{path}: another plan has begun here ({_shown(begun)}), expected {_shown(plan)}; "
            "give its trials and options, or another folder with --results"
        )
    return False


def _read(path: Path) -> SeedPlan:
    content, expected = load_json(path), "expected split, margin, max_seeds and trials of a plan"
    try:
        plan = msgspec.convert(content, SeedPlan)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {expected} ({error}); restore it") from None
    if not (0 < plan.margin < math.inf and plan.max_seeds >= FIRST_LOOK):
        raise DataError(f"{path}: {expected}, found {_shown(plan)}; restore it")
    return plan


def _with_sorted_trials(plan: SeedPlan) -> SeedPlan:
    """Their order is that of a command line, and decides nothing."""
    return replace(plan, trials=tuple(sorted(plan.trials)))


def _shown(plan: SeedPlan) -> str:
    return f"{', '.join(plan.trials)} on {plan.split}, margin {plan.margin:g}, at most {plan.max_seeds} seeds"


def seed_plan_file(results_dir: Path | str, profile: str) -> Path:
    """Where the plan of a profile is written down, if there is one."""
    return Path(results_dir) / profile / "until_decided.json"
