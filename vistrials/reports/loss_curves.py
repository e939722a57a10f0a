"""Figure 4: how the losses of trials fall, from the logs of their runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import RunError
from vistrials.formats.files import check_suffix, has_suffix, replacing
from vistrials.reports.found_runs import find_runs
from vistrials.reports.frame_text import to_csv
from vistrials.reports.painting import PALETTE
from vistrials.runs.directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = {
    "loss_rpn_cls": "RPN classification",
    "loss_rpn_bbox": "RPN box",
    "loss_match": "match",
    "loss_cls": "classification",
    "loss_bbox": "box",
    "loss_total": "total",
}
SUFFIXES = (".png", ".pdf", ".svg", ".csv")

Values = NDArray[np.float64]
Log = dict[str, Values]  # iter and the names of CURVES -> a value per iteration, NaN where not logged

_WINDOW_FRACTION = 0.04  # of the longest training
_SHOWN_FRACTION = 0.995  # of the raw values; what sticks out beyond would flatten everything else
# Those that a thin line shows on white, and of two that are alike the first.
_COLOURS = [PALETTE[number] for number in (0, 1, 2, 3, 5, 6, 7, 10, 12, 15)]
_STYLES = ("-", (0, (5, 1.5)), "-.", ":")  # of five trials each


def save_loss_curves(
    results_dir: Path | str, profile: str, out: Path | str, trials: Sequence[str] = (), seed: int = 0
) -> Path:
    """Draw the six losses of Figure 4 over the iterations, or write what would be drawn as CSV.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        out: a .png, .pdf, .svg or .csv file.
        trials: whose curves, in this order; all that have logged something by default.
        seed: of the runs.

    Returns:
        The file.

    Raises:
        RunError: a trial has no such run, or its run has logged nothing.
        DataError: the file has another suffix, or a log cannot be read.
    """
    out = Path(out)
    check_suffix(out, SUFFIXES)
    logs = load_logs(results_dir, profile, trials, seed)
    window = choose_window(logs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        if has_suffix(out, [".csv"]):
            _write_csv(temporary, logs, window, seed)
        else:
            figure = draw_loss_curves(logs, window, f"Losses in training: {profile}, seed {seed}")
            figure.savefig(temporary, dpi=150, format=out.suffix.lower().removeprefix("."))
    return out


def load_logs(results_dir: Path | str, profile: str, trials: Sequence[str] = (), seed: int = 0) -> dict[str, Log]:
    """What trials have logged, by trial; arguments and errors as of `save_loss_curves`."""
    where = Path(results_dir) / profile
    runs = {run.trial: run for run, _ in find_runs(results_dir, profile) if run.seed == seed}
    for trial in trials:
        if trial not in runs:
            raise RunError(f"{where}: no run of {trial} with seed {seed}; there are {', '.join(runs) or 'none'}")
    logs = {trial: _read(runs[trial]) for trial in trials or runs}
    empty = [trial for trial, log in logs.items() if not len(log["iter"])]
    if len(empty) == len(logs) or (trials and empty):
        by_whom = f" by {', '.join(empty)}" if empty else ", nor is there a run"
        raise RunError(f"{where}: nothing is logged with seed {seed}{by_whom}, so there is nothing to draw")
    return {trial: log for trial, log in logs.items() if trial not in empty}


def choose_window(logs: Mapping[str, Log]) -> int:
    """Iterations to average over, odd and the same for all trials: about 4% of the longest training."""
    longest = max(log["iter"].max() for log in logs.values())
    return 2 * int(longest * _WINDOW_FRACTION / 2) + 1


def smooth(values: Values, window: int) -> Values:
    """Rolling mean centred on each value; at both ends, and beside NaN, over the values that are there.

    Args:
        values: one per iteration.
        window: how many, odd.
    """
    there = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, values, 0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    middle = np.arange(len(values))
    first, end = np.maximum(middle - window // 2, 0), np.minimum(middle + window // 2 + 1, len(values))
    number = counts[end] - counts[first]
    return np.where(number > 0, (sums[end] - sums[first]) / np.maximum(number, 1), np.nan)


def draw_loss_curves(logs: Mapping[str, Log], window: int, title: str) -> "Figure":
    """Smoothed curves in a 2x3 grid with one legend; raw values faint behind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for axes, (name, label) in zip(figure.subplots(2, 3, sharex=True).flat, CURVES.items(), strict=True):
        axes.set_title(f"{label} ({name})", fontsize=10)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
        for number, (trial, log) in enumerate(logs.items()):
            colour = tuple(part / 255 for part in _COLOURS[number % len(_COLOURS)])
            style, smoothed = _STYLES[number // 5 % len(_STYLES)], smooth(log[name], window)
            # As pixels even in a PDF: many thousand strokes that nobody looks at one by one.
            axes.plot(log["iter"], log[name], color=colour, alpha=0.12, linewidth=0.6, zorder=1, rasterized=True)
            axes.plot(log["iter"], smoothed, color=colour, linestyle=style, linewidth=1.4, zorder=2, label=trial)
        raw = np.concatenate([log[name][np.isfinite(log[name])] for log in logs.values()])
        if len(raw) and raw.min() < raw.max():
            low, high = np.quantile(raw, [1 - _SHOWN_FRACTION, _SHOWN_FRACTION])
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    caption = f"iteration (lines: rolling mean over {window} iterations; faint: each iteration)"
    figure.axes[4].set_xlabel(caption, fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    return figure


def _write_csv(path: Path, logs: Mapping[str, Log], window: int, seed: int) -> None:
    from pandas import DataFrame, concat

    frames = []
    for trial, log in logs.items():
        smoothed = {f"{name}_mean_of_{window}": smooth(log[name], window) for name in CURVES}
        columns = {name: np.where(np.isfinite(values), values, np.nan) for name, values in (log | smoothed).items()}
        frames.append(DataFrame({"trial": trial, "seed": seed} | columns).astype({"iter": int}))
    path.write_text(to_csv(concat(frames), float_format="%.6g"), encoding="utf-8")


def _read(run: RunDirectory) -> Log:
    from vistrials.reports.run_frames import read_losses

    columns = ["iter", *CURVES]
    logged = read_losses(run).reindex(columns=columns)
    return {name: logged[name].to_numpy(np.float64) for name in columns}
