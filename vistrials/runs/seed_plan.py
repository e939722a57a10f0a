"""How seeds are added to trials until they are decided: written before the first run, so that looks can be paid for."""

from dataclasses import asdict, dataclass
from pathlib import Path

from vistrials.errors import DataError, RunError
from vistrials.formats.json_file import load_json, save_json_atomic


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


def keep_seed_plan(results_dir: Path | str, profile: str, plan: SeedPlan) -> None:
    """Write a plan down, or make sure that it is the one written down.

    Raises:
        RunError: there is another one, whose looks are paid for already.
        DataError: its file is damaged, or cannot be written.
    """
    path = seed_plan_file(results_dir, profile)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json_atomic(path, asdict(plan))
    elif (begun := _read(path)) != plan:
        raise RunError(
            f"{path}: another plan has begun here ({_shown(begun)}), expected {_shown(plan)}; "
            "give its trials and options, or another folder with --results"
        )


def _read(path: Path) -> SeedPlan:
    content = load_json(path)
    try:
        trials = tuple(map(str, content["trials"]))
        return SeedPlan(str(content["split"]), float(content["margin"]), int(content["max_seeds"]), trials)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: expected split, margin, max_seeds and trials of a plan; restore it") from None


def _shown(plan: SeedPlan) -> str:
    return f"{', '.join(plan.trials)} on {plan.split}, margin {plan.margin:g}, at most {plan.max_seeds} seeds"


def seed_plan_file(results_dir: Path | str, profile: str) -> Path:
    """Where the plan of a profile is written down, if there is one."""
    return Path(results_dir) / profile / "until_decided.json"
