"""What data sets hold, as tables, as DataFrames and drawn: categories, lengths, objects, sizes and occlusion."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vistrials.data.statistics import NUM_OVERLAP_BINS, Counts, Statistics, mean, quantile
from vistrials.formats.files import check_suffix, replacing
from vistrials.reports.frame_text import escape_latex, escape_markdown, to_csv, to_latex, to_markdown
from vistrials.reports.painting import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

TITLE = "lengths and numbers: least / median / mean / most"
SUFFIXES = (".png", ".pdf", ".svg")
MAX_CATEGORIES, MAX_BINS = 40, 20

Sets = Mapping[str, Statistics]
Values = NDArray[np.floating[Any]]


ROWS: dict[str, Callable[[Statistics], str]] = {
    "videos": lambda s: f"{s.num_videos:,}",
    "frames": lambda s: f"{s.num_frames:,}",
    "frames with an object": lambda s: f"{s.num_annotated_frames:,}",
    "categories with tracks": lambda s: (
        f"{sum(map(bool, s.tracks_per_category.values()))} of {len(s.tracks_per_category)}"
    ),
    "tracks (objects)": lambda s: f"{s.num_tracks:,}",
    "crowd tracks (not counted below)": lambda s: f"{s.num_crowd_tracks:,}",
    "masks": lambda s: f"{s.num_masks:,}",
    "frames of a video": lambda s: _spread(s.video_lengths),
    "frames with a given object": lambda s: _spread(s.track_lengths),
    "objects in a video": lambda s: _spread(s.objects_per_video),
    "objects in a frame": lambda s: _spread(s.objects_per_frame),
    "small / medium / large objects": lambda s: " / ".join(map(str, s.tracks_by_size.values())),
    "median mask, of its frame": lambda s: _percent(s.median_area_fraction),
    "objects that go and return": lambda s: f"{s.num_tracks_with_gap:,}",
    "longest such gap, in frames": lambda s: f"{s.longest_gap:,}",
    "absent, of frames from first to last": lambda s: _percent(s.absent_fraction),
    "mean box overlap rate (mBOR)": lambda s: _percent(s.mean_box_overlap),
}


def table(sets: Sets) -> list[tuple[str, ...]]:
    """Rows of a table: what, then a cell for each set; lengths and numbers as least / median / mean / most."""
    return [(name, *(cell(statistics) for statistics in sets.values())) for name, cell in ROWS.items()]


def category_table(sets: Sets) -> list[tuple[str, ...]]:
    """Rows of a table: category, then its tracks in each set; those with tracks, in the order of the files."""
    names = dict.fromkeys(
        name for statistics in sets.values() for name, n in statistics.tracks_per_category.items() if n
    )
    return [(name, *(str(s.tracks_per_category.get(name, 0)) for s in sets.values())) for name in names]


def to_frame(sets: Sets) -> "DataFrame":
    """All numbers but the histogram of box overlap: a row for each, a column for each set.

    Rows have the names of `Statistics`; of counted values there are _min, _median, _mean and _max, of tracks per
    category and by size one each, such as tracks_per_category.dog. NaN where there is nothing to say.
    """
    from pandas import DataFrame

    return DataFrame({name: _numbers(statistics) for name, statistics in sets.items()}, dtype=float)


def render(sets: Sets, form: str) -> str:
    """Both tables as markdown or latex, `to_frame` as csv, everything as json (see `frame_text.choose_format`)."""
    from pandas import DataFrame

    if form == "json":
        return json.dumps({name: asdict(statistics) for name, statistics in sets.items()}, indent=1) + "\n"
    if form == "csv":
        return to_csv(to_frame(sets).rename_axis("number").reset_index())
    columns = ["", *sets]
    frames = [DataFrame(rows, columns=columns) for rows in (table(sets), category_table(sets))]
    if form == "latex":
        return "\n\n".join([to_latex(frames[0]), to_latex(frames[1]), escape_latex(TITLE)]) + "\n"
    return "\n\n".join([to_markdown(frames[0]), to_markdown(frames[1]), escape_markdown(TITLE)]) + "\n"


def _numbers(statistics: Statistics) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for name, value in asdict(statistics).items():
        if isinstance(value, list):
            continue
        if not isinstance(value, dict):
            numbers[name] = value
        elif name in ("tracks_per_category", "tracks_by_size"):
            numbers |= {f"{name}.{key}": number for key, number in value.items()}
        else:
            ends = {"min": min(value, default=None), "max": max(value, default=None)}
            middle = {"median": quantile(value, 0.5), "mean": mean(value)}
            numbers |= {f"{name}_{what}": number for what, number in (ends | middle).items()}
    return numbers


def save_data_statistics(sets: Sets, out: Path | str) -> Path:
    """Draw the statistics of one or more data sets.

    Args:
        sets: by the name that the legend shows.
        out: a .png, .pdf or .svg file.

    Raises:
        DataError: the file has another suffix.
    """
    out = Path(out)
    check_suffix(out, SUFFIXES)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        figure = draw_data_statistics(sets)
        figure.savefig(temporary, dpi=150, format=out.suffix.lower().removeprefix("."))
    return out


def draw_data_statistics(sets: Sets) -> "Figure":
    """Categories on the left, six distributions on the right, as parts of each set in percent."""
    from matplotlib.figure import Figure

    names = shown_categories(sets)
    figure = Figure(figsize=(13, max(6.5, 2 + 0.19 * len(names))), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    _draw_categories(figure.add_subplot(grid[:, 0]), sets, names)
    spread = {
        "frames of a video": [s.video_lengths for s in sets.values()],
        "frames in which an object is present": [s.track_lengths for s in sets.values()],
        "objects in a video": [s.objects_per_video for s in sets.values()],
        "objects in a frame": [s.objects_per_frame for s in sets.values()],
    }
    places = [grid[0, 1], grid[0, 2], grid[0, 3], grid[1, 1]]
    for place, (title, counts) in zip(places, spread.items(), strict=True):
        axes = figure.add_subplot(place)
        edges = bin_edges(counts)
        _draw_bars(axes, [_binned(c, edges) for c in counts], edges)
        axes.set_title(title, fontsize=10)
    axes = figure.add_subplot(grid[1, 2])
    sizes = list(next(iter(sets.values())).tracks_by_size)
    by_size = [_in_percent(np.array(list(s.tracks_by_size.values()))) for s in sets.values()]
    _draw_bars(axes, by_size, np.arange(-0.5, len(sizes)))
    axes.set_xticks(range(len(sizes)), ["small\nto 128²", "medium\nto 256²", "large\nabove"])
    axes.set_title("objects by mean area", fontsize=10)
    axes = figure.add_subplot(grid[1, 3])
    overlap = [_in_percent(np.array(s.box_overlap)) for s in sets.values()]
    _draw_bars(axes, overlap, np.linspace(0, 1, NUM_OVERLAP_BINS + 1))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axes.set_title("frames by box overlap rate", fontsize=10)
    figure.axes[1].set_ylabel("percent of the set", fontsize=9)
    figure.axes[4].set_ylabel("percent of the set", fontsize=9)
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3, axis="x" if axes is figure.axes[0] else "y")
        axes.set_axisbelow(True)
    handles, _ = figure.axes[0].get_legend_handles_labels()
    legend = [_legend(name, statistics) for name, statistics in sets.items()]
    figure.legend(handles, legend, loc="outside lower center", ncols=1, fontsize=9, frameon=False)
    return figure


def shown_categories(sets: Sets) -> list[str]:
    """Categories by their number of tracks in all sets, the most frequent first, 40 at most."""
    totals: dict[str, int] = {}
    for statistics in sets.values():
        for name, number in statistics.tracks_per_category.items():
            totals[name] = totals.get(name, 0) + number
    return sorted(filter(totals.get, totals), key=lambda name: -totals[name])[:MAX_CATEGORIES]


def bin_edges(counts: list[Counts]) -> Values:
    """Edges of at most 20 bins of as many whole numbers each, for all counts together."""
    values = sorted({value for c in counts for value in c})
    low, high = (values[0], values[-1]) if values else (0, 0)
    width = -(-(high - low + 1) // MAX_BINS)
    return np.arange(low - 0.5, high + width, width)


def _draw_categories(axes: "Axes", sets: Sets, names: list[str]) -> None:
    places = np.arange(len(names))
    for number, (name, statistics) in enumerate(sets.items()):
        values = [statistics.tracks_per_category.get(category, 0) for category in names]
        height = 0.8 / len(sets)
        axes.barh(places + (number - (len(sets) - 1) / 2) * height, values, height, color=_colour(number), label=name)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    num_used = len(category_table(sets))
    more = f" ({len(names)} of {num_used})" if num_used > len(names) else ""
    axes.set_title(f"tracks per category{more}", fontsize=10)


def _draw_bars(axes: "Axes", values: list[Values], edges: Values) -> None:
    """Bars of the sets side by side in each bin."""
    widths = 0.9 * np.diff(edges) / len(values)
    for number, heights in enumerate(values):
        left = edges[:-1] + 0.05 * np.diff(edges) + number * widths
        axes.bar(left, heights, widths, align="edge", color=_colour(number))
    if np.allclose(edges % 1, 0.5):  # bins of whole numbers
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(edges) == 2:  # a single bar as wide as the panel would say nothing
            axes.set_xlim(edges[0] - 2, edges[1] + 2)


def _binned(counts: Counts, edges: Values) -> Values:
    numbers, _ = np.histogram(list(counts), edges, weights=list(counts.values()))
    return _in_percent(numbers)


def _spread(counts: Counts) -> str:
    """Least / median / mean / most."""
    average = mean(counts)
    if average is None:
        return "–"
    return f"{min(counts)} / {quantile(counts, 0.5)} / {average:.1f} / {max(counts)}"


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}%"


def _in_percent(numbers: NDArray[Any]) -> Values:
    return 100 * numbers / max(1, numbers.sum())


def _colour(number: int) -> tuple[float, ...]:
    return tuple(part / 255 for part in PALETTE[number % len(PALETTE)])


def _legend(name: str, statistics: Statistics) -> str:
    return (
        f"{name}: {statistics.num_videos:,} videos, {statistics.num_frames:,} frames, "
        f"{statistics.num_tracks:,} objects, absent in {_percent(statistics.absent_fraction)} of the frames "
        f"from their first to their last, mean box overlap rate {_percent(statistics.mean_box_overlap)}"
    )
