"""Finished runs as DataFrames: their figures, AP per category, and logged losses."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vistrials.errors import DataError, RunError
from vistrials.evaluation.average_precision import FIGURES, NOT_COUNTED
from vistrials.reports.found_runs import FoundRun, find_readable_runs
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import read_provenance
from vistrials.specs.truths import TRUTHS, scored_name

_LABELS = ["profile", "trial", "seed"]


def load_results(results_dir: Path | str = "results", profile: str | None = None) -> pd.DataFrame:
    """The figures of all runs that have been evaluated, a row per trial, seed and split, in the order of tables.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs; those of all profiles by default.

    Returns:
        Columns profile, trial, seed, split, then the 12 published figures as fractions, NaN where nothing was counted.
        Figures against whole objects are those of a split such as occlusion.amodal. Runs whose spec is damaged are left
        out with a warning.

    Raises:
        RunError: no run is there.
        DataError: figures cannot be read.

    >>> import vistrials
    >>> results = vistrials.load_results("results", "demo")
    >>> rows = results[(results.split == "minival") & results.trial.isin(["baseline", "attention_neck"])]
    >>> print(rows.groupby("trial").AP.mean().mul(100).round(1).to_string())
    trial
    attention_neck    66.3
    baseline          66.5
    """
    rows = [labels | {name: metrics[name] for name in FIGURES} for labels, metrics in _figures(results_dir, profile)]
    return _without_uncounted(pd.DataFrame(rows, columns=[*_LABELS, "split", *FIGURES]))


def load_category_results(results_dir: Path | str = "results", profile: str | None = None) -> pd.DataFrame:
    """AP per category of all runs that have been evaluated; arguments and errors as of `load_results`.

    Returns:
        Columns profile, trial, seed, split, category, AP: a row per trial, seed, split and category.

    >>> import vistrials
    >>> results = vistrials.load_category_results("results", "demo")
    >>> minival = results[(results.trial == "baseline") & (results.split == "minival")]
    >>> minival.groupby("category").AP.mean().idxmax()
    'square'
    """
    rows = [
        labels | {"category": category, "AP": ap}
        for labels, metrics in _figures(results_dir, profile)
        for category, ap in metrics["AP_per_category"].items()
    ]
    return _without_uncounted(pd.DataFrame(rows, columns=[*_LABELS, "split", "category", "AP"]))


def load_losses(results_dir: Path | str = "results", profile: str | None = None) -> pd.DataFrame:
    """What trainings have logged, a row per step; arguments and errors as of `load_results`.

    Returns:
        Columns profile, trial, seed, iter (1-based), then all that was logged: losses, learning rate, seconds, ...;
        NaN where a run has no such value.

    >>> import vistrials
    >>> losses = vistrials.load_losses("results", "demo")
    >>> losses[(losses.trial == "baseline") & (losses.seed == 0)].iter.max().item()
    500
    """
    found = list(_found(results_dir, profile))
    frames = [read_losses(run).assign(profile=run.profile, trial=run.trial, seed=run.seed) for run, _ in found]
    logged = pd.concat([frame for frame in frames if len(frame)] or [pd.DataFrame(columns=[*_LABELS, "iter"])])
    first = [*_LABELS, "iter"]
    return logged.reset_index(drop=True)[[*first, *(name for name in logged if name not in first)]]


def read_losses(run: RunDirectory) -> pd.DataFrame:
    """What one training has logged, a row per step; empty where it has logged nothing.

    Raises:
        DataError: the file cannot be read, a line is no record of an iteration and its losses, or steps of a finished
            training are missing.
    """
    try:
        lines = run.losses.read_text(encoding="utf-8").splitlines() if run.losses.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"byte {error.start} is not UTF-8"
        raise DataError(f"{run.losses}: cannot be read ({reason}); put it back, or redo the run with --force") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            step = {"iter": int(record.pop("iter"))}
            records.append(step | {name: _number(value) for name, value in record.items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            if number < len(lines):  # a running training may have written half of its last line
                raise DataError(f"{run.losses}: line {number}: expected a record with iter and losses") from None
    training = read_provenance(run.provenance).get("stages", {}).get("train", {})
    expected = training.get("iterations") if training.get("finished") else None
    if expected is not None and len(records) != expected:
        raise DataError(
            f"{run.losses}: expected a record of each of the {expected} iterations of the training, found "
            f"{len(records)}; put it back, or redo the run with --force"
        )
    return pd.DataFrame(records)


def _figures(results_dir: Path | str, profile: str | None) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Labels and figures of each run and split, whatever they are scored against."""
    for run, recorded in _found(results_dir, profile):
        scored = (scored_name(split, truth) for split in recorded.splits for truth in TRUTHS)
        for split in filter(run.is_evaluated, scored):
            metrics = run.read_metrics(split)
            missing = [name for name in (*FIGURES, "AP_per_category") if name not in metrics]
            if missing:
                raise DataError(f"{run.metrics(split)}: expected the figure {missing[0]}; redo the run with --force")
            yield {"profile": run.profile, "trial": run.trial, "seed": run.seed, "split": split}, metrics


def _found(results_dir: Path | str, profile: str | None) -> Iterator[FoundRun]:
    folder = Path(results_dir)
    profiles = [profile] if profile else sorted({path.parents[2].name for path in folder.glob("*/*/seed*/spec.yaml")})
    if not profiles:
        raise RunError(f"{folder}: no runs here; `vistrials run-all` makes them")
    for name in profiles:
        found, damaged = find_readable_runs(folder, name)
        for line in damaged:
            warnings.warn(f"left out: {line}", stacklevel=2)
        yield from found


def _without_uncounted(frame: pd.DataFrame) -> pd.DataFrame:
    figures = frame.select_dtypes("float").columns
    frame[figures] = frame[figures].mask(frame[figures] == NOT_COUNTED)
    return frame


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
