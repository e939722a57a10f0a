"""What trials change against another, as pictures: forest plots with verdicts, and profiles over categories."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vistrials.errors import RunError
from vistrials.evaluation.intervals import Interval
from vistrials.evaluation.verdicts import Verdict
from vistrials.formats.files import check_suffix
from vistrials.reports.comparison import BASELINE, NUM_DRAWS, Comparison, Row, compare_runs
from vistrials.reports.comparison_text import mean_difference, verdict, why_without_verdict
from vistrials.reports.found_runs import find_readable_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

SUFFIXES = (".png", ".pdf", ".svg")

# Told apart without colours too: by their marker, and by the words beside them.
_COLOURS = {
    Verdict.BETTER: "#00795a",
    Verdict.WORSE: "#c4500a",
    Verdict.EQUAL: "#0067a5",
    Verdict.UNDECIDED: "#767676",
    None: "#767676",
}
_MARKERS = {Verdict.BETTER: ">", Verdict.WORSE: "<", Verdict.EQUAL: "D", Verdict.UNDECIDED: "o", None: "o"}
_LEGEND = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.EQUAL: "equal within the margin",
    Verdict.UNDECIDED: "undecided",
    None: "without a verdict",
}
_ROW_INCHES = 0.27
_MOST_NUMBERS = 400  # written into the cells of a profile


def save_effects(
    results_dir: Path | str,
    profile: str,
    out: Path | str,
    splits: Sequence[str] = (),
    *,
    by_category: bool = False,
    against: str = BASELINE,
    margin: float | None = None,
    family: Sequence[str] = (),
    num_draws: int = NUM_DRAWS,
) -> Path:
    """Draw ΔAP of all trials, or of their categories.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        out: a .png, .pdf or .svg file.
        splits: a panel each; by default all that the trial compared with and another are evaluated on.
        by_category: AP of each category minus that of the trial compared with, as colours, instead of intervals.
        against, margin, family, num_draws: as in `compare_runs`.

    Returns:
        The file.

    Raises:
        DataError: the file has another suffix.
        SpecError: as in `compare_runs`.
        RunError: no trial can be compared with it, or as in `compare_runs`.
        DataError: a file of a run cannot be used.
    """
    out = Path(out)
    check_suffix(out, SUFFIXES)
    splits = splits or _common_splits(results_dir, profile, against)
    if by_category:
        from vistrials.reports.run_frames import load_category_results

        frame = load_category_results(results_dir, profile)
        figure = draw_profiles(
            {split: category_differences(frame[frame.split == split], against) for split in splits},
            f"ΔAP by category against {against}: {profile}, mean over the seeds that both have",
        )
    else:
        comparisons = [
            compare_runs(
                results_dir, profile, split, against=against, margin=margin, family=family, num_draws=num_draws
            )
            for split in splits
        ]
        figure = draw_effects(comparisons)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    return out


def draw_effects(comparisons: Sequence[Comparison]) -> "Figure":
    """A forest plot: a row for each trial with a difference, a panel for each split, two side by side.

    Thick: 95 % interval. Thin: that of the whole family, a little wider than what verdicts go by, which are one-sided
    at the margin and correct for fewer rows the more are decided.

    Raises:
        RunError: no trial has a difference.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    trials = list(dict.fromkeys(row.trial for comparison in comparisons for row in _differing(comparison)))
    if not trials:
        raise RunError(
            f"no trial to compare with {comparisons[0].against}: it takes one that has seeds in common with it"
        )
    across, down = min(2, len(comparisons)), (len(comparisons) + 1) // 2
    inches = 3.0 + 4.6 * across, 0.8 + down * (0.9 + _ROW_INCHES * len(trials))
    figure = Figure(figsize=inches, layout="constrained")
    panels = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
    for unused in panels[len(comparisons) :]:
        unused.remove()
    found = set()
    for axes, comparison in zip(panels, comparisons, strict=False):
        rows = {row.trial: row for row in _differing(comparison)}
        found |= {_verdict(row) for row in rows.values()}
        _draw_split(axes, comparison, [rows.get(trial) for trial in trials])
    panels[0].set_yticks(range(len(trials)), trials, fontsize=8)
    panels[0].set_ylim(len(trials) - 0.4, -0.6)
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            color=_COLOURS[name],
            marker=_MARKERS[name],
            mfc=_face(name),
            linewidth=2.4,
            linestyle="-" if name else ":",
            label=label,
        )
        for name, label in _LEGEND.items()
        if name in found
    ]
    handles.append(Line2D([], [], color="#767676", linewidth=0.8, label="interval of the whole family"))
    handles.append(Patch(color="#dfe6ee", label=f"margin ±{comparisons[0].margin:g} AP"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _draw_split(axes: "Axes", comparison: Comparison, rows: Sequence[Row | None]) -> None:
    low, high = _limits([row for row in rows if row], comparison.margin)
    axes.set_xlim(low, high)
    axes.axvspan(-comparison.margin, comparison.margin, color="#dfe6ee", zorder=0)
    axes.axvline(0, color="#404040", linewidth=0.8, zorder=1)
    axes.set_title(f"{comparison.profile}, split {comparison.split}", fontsize=10)
    axes.set_xlabel(f"ΔAP against {comparison.against}", fontsize=9)
    axes.tick_params(labelsize=8)
    for place in range(1, len(rows), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#000000", alpha=0.035, linewidth=0, zorder=0)
    words = axes.secondary_yaxis("right")
    words.set_yticks(range(len(rows)), [_words(row) for row in rows], fontsize=7)
    words.tick_params(length=0)
    for place, row in enumerate(rows):
        if row is None or row.difference is None:
            continue
        name = _verdict(row)
        if row.judgement:
            _draw_interval(axes, place, row.judgement.family_interval, _COLOURS[name], 0.8)
        if row.difference_interval:
            style = "-" if row.judgement else ":"
            _draw_interval(axes, place, row.difference_interval, _COLOURS[name], 2.6, style)
        axes.plot(
            row.difference.mean, place, _MARKERS[name], color=_COLOURS[name], mfc=_face(name), markersize=5.5, zorder=4
        )


def _draw_interval(axes: "Axes", place: int, interval: Interval, colour: str, width: float, style: str = "-") -> None:
    axes.plot([interval.low, interval.high], [place, place], style, color=colour, linewidth=width, zorder=3)


def _limits(rows: Sequence[Row], margin: float) -> tuple[float, float]:
    """Wide enough for the 95 % intervals; those that are much wider than most run out of the picture."""
    intervals = [row.difference_interval for row in rows if row.difference_interval]
    ends = [abs(end) for interval in intervals for end in (interval.low, interval.high)]
    points = [abs(row.difference.mean) for row in rows if row.difference]
    reach = max([1.5 * margin, *(1.1 * point for point in points), 4 * float(np.median(ends)) if ends else 0.0])
    least = min([-1.2 * margin, *(interval.low for interval in intervals)])
    most = max([1.2 * margin, *(interval.high for interval in intervals)])
    return max(-reach, 1.03 * least), min(reach, 1.03 * most)


def _words(row: Row | None) -> str:
    if row is None or row.difference is None:
        return "–"
    words = verdict(row.judgement) if row.judgement else why_without_verdict(row)
    return f"{mean_difference(row)}  {words}"


def _differing(comparison: Comparison) -> list[Row]:
    return [row for row in comparison.rows if row.difference is not None]


def _verdict(row: Row) -> Verdict | None:
    return row.judgement.verdict if row.judgement else None


def _face(name: Verdict | None) -> str:
    return _COLOURS[name] if name not in (None, Verdict.UNDECIDED) else "white"


# --- Profiles over categories


def category_differences(frame: "DataFrame", against: str = BASELINE) -> "DataFrame":
    """ΔAP in percent: a row for each trial, a column for each category; the mean over the seeds that both have.

    Args:
        frame: of `load_category_results`, of one profile and split.
        against: the trial that differences are to.

    Raises:
        RunError: no trial has seeds in common with it.
    """
    wide = frame.pivot_table(index=["trial", "seed"], columns="category", values="AP", sort=False)
    if against not in wide.index.get_level_values("trial"):
        raise RunError(f"no run of {against} to compare with")
    base = wide.loc[against]
    others = wide.drop(index=against, level="trial")
    others = others[others.index.get_level_values("seed").isin(base.index)]
    if not len(others):
        raise RunError(f"no trial to compare with {against}: it takes one that has seeds in common with it")
    seeds = others.index.get_level_values("seed")
    differences = 100 * (others - base.loc[seeds].to_numpy())
    return differences.groupby(level="trial", sort=False).mean()


def draw_profiles(differences: Mapping[str, "DataFrame"], title: str) -> "Figure":
    """ΔAP by trial and category as colours, one panel a split; numbers where there is room for them."""
    from matplotlib.figure import Figure

    size = max(len(frame) for frame in differences.values()), max(frame.shape[1] for frame in differences.values())
    cell = 0.42 if size[0] * size[1] <= _MOST_NUMBERS else 0.2
    figure = Figure(
        figsize=(2.8 + cell * size[1] * len(differences) + 0.8, 1.9 + max(0.24, 0.6 * cell) * size[0]),
        layout="constrained",
    )
    figure.suptitle(title, fontsize=10)
    values = np.concatenate([np.abs(frame.to_numpy()).ravel() for frame in differences.values()])
    known = values[np.isfinite(values)]
    reach = max(1.0, float(np.quantile(known, 0.98)) if known.size else 1.0)
    panels = figure.subplots(1, len(differences), sharey=True, squeeze=False)[0]
    for axes, (split, frame) in zip(panels, differences.items(), strict=True):
        table: NDArray[np.float64] = frame.to_numpy(np.float64)
        picture = axes.imshow(table, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
        axes.set_title(f"split {split}", fontsize=9)
        axes.set_xticks(range(frame.shape[1]), frame.columns, rotation=90, fontsize=7)
        axes.set_yticks(range(len(frame)), frame.index, fontsize=8)
        if table.size <= _MOST_NUMBERS:
            for (row, column), value in np.ndenumerate(table):
                if np.isfinite(value):
                    shade = "white" if abs(value) > 0.6 * reach else "black"
                    axes.text(
                        column, row, f"{round(value) + 0.0:+.0f}", ha="center", va="center", fontsize=6, color=shade
                    )
    figure.colorbar(picture, ax=list(panels), label="ΔAP", shrink=0.8, extend="both")
    return figure


def _common_splits(results_dir: Path | str, profile: str, against: str) -> list[str]:
    """Splits on which the trial compared with and another trial are evaluated."""
    found, _ = find_readable_runs(results_dir, profile)
    evaluated: dict[str, set[str]] = {}
    for run, recorded in found:
        for split in filter(run.is_evaluated, recorded.splits):
            evaluated.setdefault(split, set()).add(run.trial)
    splits = [split for split, trials in evaluated.items() if against in trials and len(trials) > 1]
    if not splits:
        raise RunError(f"{Path(results_dir) / profile}: no split on which {against} and another trial are evaluated")
    return splits
