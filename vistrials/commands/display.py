"""What the command line shows: progress, tables and one-line errors. Only commands use it."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from vistrials.formats.files import replacing

# Of C0 what lays text out; the others, DEL and C1 steer a terminal: they can hide text, or write where they like.
_STEERING = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
# Characters that turn the direction of reading make a name look like another; lone surrogates are no characters.
_NO_CHARACTERS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))
_STEERING |= {code: f"\\u{code:04x}" for code in _NO_CHARACTERS}


def visible(text: str) -> str:
    """Text out of files, in which what would steer the terminal is written out."""
    return text.translate(_STEERING)


class _SafeConsole(Console):
    """Where every text comes through on its way out: names of files, categories and trials are other people's."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_safe(shown) for shown in objects), **options)


def _safe(shown: Any) -> Any:
    if isinstance(shown, str):
        return visible(shown)
    if isinstance(shown, Text) and (plain := visible(shown.plain)) != shown.plain:
        return Text(plain, shown.style)
    return shown


# Into a pipe or a file tables go as wide as they are: nobody can widen those afterwards.
out = _SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 250)
_UNBOUNDED = 10_000  # columns of a terminal, where a table's own width is asked for
err = _SafeConsole(stderr=True, highlight=False)


def show_error(message: str) -> None:
    """One line on stderr, whatever the message holds, never wrapped."""
    err.print(Text("error: ", "bold red") + Text(" ".join(message.split())), soft_wrap=True)


def show_text(text: str) -> None:
    """Text as it is (YAML, paths), never wrapped, so that it can be piped."""
    out.print(Text(text.rstrip("\n")), soft_wrap=True)


def show_rendered(text: str, file: Path | None) -> None:
    """Text as it is; with a file it goes there, and the file's name is shown."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        text = str(file)
    show_text(text)


def show_table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]], dispensable: Sequence[str] = ()
) -> None:
    """A table; columns after the first are right-aligned where all their cells are numbers.

    Where it is wider than the terminal the dispensable columns go, the first first, until it fits, and a line says so.
    """
    table, left_out = _table(title, columns, rows), []
    for column in dispensable:
        if table.__rich_measure__(out, out.options.update(width=_UNBOUNDED)).maximum <= out.width:
            break
        left_out += [column] if column in columns else []
        kept = [place for place, name in enumerate(columns) if name not in left_out]
        table = _table(title, [columns[place] for place in kept], [[row[place] for place in kept] for row in rows])
    out.print(table)
    if left_out:
        show_text(f"left out, for the width of this terminal: {', '.join(left_out)}; a file or a pipe gets all columns")


def _table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    title = None if title is None else escape(visible(title))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        numeric = position > 0 and all(_is_number(row[position]) for row in rows)
        justify: JustifyMethod = "right" if numeric else "left"
        # Fold: a path cut off by an ellipsis would be of no use.
        table.add_column(escape(visible(column)), justify=justify, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(escape(visible(cell)) for cell in row))
    return table


def percent(fraction: float) -> str:
    """A fraction as a published figure: 0.303 -> 30.3; a dash where nothing was counted (-1)."""
    return f"{100 * fraction:.1f}" if fraction >= 0 else "–"


def count(number: int) -> str:
    """12345 -> 12,345."""
    return f"{number:,}"


def signed(number: int) -> str:
    """12345 -> +12,345; nothing for 0."""
    return f"{number:+,}" if number else ""


def show_figures(what: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Published figures in percent, a row for each of `what`."""
    names = list(next(iter(figures.values())))
    rows = [(row, *(percent(values[name]) for name in names)) for row, values in figures.items()]
    show_table("in percent", (what, *names), rows)


def show_parameters(own: Mapping[str, int], baseline: Mapping[str, int], num_categories: int) -> None:
    """Parameter counts by module, beside the baseline's."""
    modules = [*own, *(name for name in baseline if name not in own)]
    rows = [(name, count(own.get(name, 0)), signed(own.get(name, 0) - baseline.get(name, 0))) for name in modules]
    totals = sum(own.values()), sum(baseline.values())
    rows.append(("total", count(totals[0]), signed(totals[0] - totals[1])))
    show_table(f"parameters ({num_categories} categories)", ("module", "parameters", "against baseline"), rows)


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for functions that call progress(done, total); lines now and then where stderr is no terminal."""
    with _bars() as bars:
        task, lines = bars.add_task(escape(visible(name)), total=None, values=""), _ProgressLines(name)

        def progress(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)
            if bars.disable:
                lines.move(done, total)

        yield progress


LINE_EVERY_SECONDS = 30.0
"""Where no bar can be drawn, long stages say so often how far they are."""


@contextmanager
def bytes_bar(
    name: str, seconds_between_lines: float = LINE_EVERY_SECONDS
) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for functions that call progress(bytes done, bytes in all or None); a line now and then elsewhere."""
    if sys.stderr.isatty():
        columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("{task.description}"), BarColumn(bar_width=24), *columns, console=err) as bars:
            task = bars.add_task(escape(visible(name)), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
        return
    shown = time.monotonic()

    def progress(done: int, total: int | None) -> None:
        nonlocal shown
        if time.monotonic() - shown >= seconds_between_lines:
            shown = time.monotonic()
            of_all = f" of {total / 1e6:,.0f} MB ({100 * done / max(total, 1):.0f} %)" if total is not None else " MB"
            err.print(Text(f"{name}: {done / 1e6:,.0f}{of_all}"), soft_wrap=True)

    yield progress


class RichReporter:
    """Draws the stages of a run as bars on a terminal; elsewhere lines say when one begins, how far it is, and its end.

    Runs that go on side by side share their bars, and a name in front of their news tells them apart.
    """

    def __init__(self, name: str = "", bars: Progress | None = None) -> None:
        self._prefix = f"{name}: " if name else ""
        self._owns_bars = bars is None
        self._bars = _bars() if bars is None else bars
        self._task: TaskID | None = None
        self._lines: _ProgressLines | None = None
        self._done = 0
        self._total: int | None = None
        self._name = ""
        self._started = 0.0

    def __enter__(self) -> "RichReporter":
        if self._owns_bars:
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_stage(finished=exception[0] is None)
        if self._owns_bars:
            self._bars.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage of `total` steps, ending the one before it."""
        self._end_stage(finished=True)
        self._name, self._started = name, time.monotonic()
        self._task = self._bars.add_task(escape(visible(name)), total=total, values="")
        self._done, self._total, self._lines = 0, total, None
        if self._bars.disable:
            self._lines = _ProgressLines(self._prefix + name)
            self.message(f"{name}: begins" + (f", {count(total)} steps" if total else ""))

    def advance(self, steps: int = 1, **values: float) -> None:
        """Move the current stage on and show values beside it."""
        if self._task is None:
            return
        self._bars.advance(self._task, steps)
        if values:
            self._bars.update(self._task, values=_format_values(values))
        self._done += steps
        if self._lines is not None:
            self._lines.move(self._done, self._total, values)

    def message(self, text: str) -> None:
        """One line of news."""
        err.print(Text(self._prefix + text), soft_wrap=True)

    def warning(self, text: str) -> None:
        """One line that deserves attention."""
        err.print(Text("warning: ", "yellow") + Text(self._prefix + text), soft_wrap=True)

    def _end_stage(self, finished: bool) -> None:
        if self._task is None:
            return
        self._bars.remove_task(self._task)
        self._task = None
        if finished:
            err.print(Text(f"{self._name}: {time.monotonic() - self._started:.1f} s"), soft_wrap=True)


class _ProgressLines:
    """How far something is, in a line after the first seconds and then every 30, for readers of a pipe or a file."""

    _FIRST_SECONDS = 5.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: dict[str, float] = {}
        self._begin: tuple[float, int] | None = None
        self._next = 0.0

    def move(self, done: int, total: int | None, values: Mapping[str, float] | None = None) -> None:
        """So many steps are done, and these values are worth showing; the first call is where the rate counts from."""
        now = time.monotonic()
        self._values |= values or {}
        if self._begin is None:
            self._begin, self._next = (now, done), now + self._FIRST_SECONDS
        if now < self._next or done <= self._begin[1]:
            return
        self._next = now + LINE_EVERY_SECONDS
        rate = (done - self._begin[1]) / (now - self._begin[0])
        parts = [count(done) + (f" of {count(total)}" if total else ""), f"{rate:.3g} a second"]
        parts += [f"{name} {value:.3g}" for name, value in self._values.items()]
        parts += [f"{duration((total - done) / rate)} left"] if total else []
        err.print(Text(f"{self._name}: {', '.join(parts)}"), soft_wrap=True)


@contextmanager
def shared_bars() -> Iterator[Callable[[str], RichReporter]]:
    """What makes reporters, by name, whose bars stand below each other."""
    with _bars() as bars:
        yield lambda name: RichReporter(name, bars)


@contextmanager
def live_table() -> Iterator[Callable[[str, Sequence[str], Sequence[Sequence[str]]], None]]:
    """What shows a title and a table in the place of those before, gone in the end; elsewhere, changes of the title."""
    if not out.is_terminal:
        shown = ""

        def show_title(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
            nonlocal shown
            if title != shown:
                show_text(title)
            shown = title

        yield show_title
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:
        yield lambda title, columns, rows: live.update(_table(title, columns, rows), refresh=True)


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        seconds = None if task.finished else task.time_remaining
        return Text("" if seconds is None else f"{duration(seconds)} left", style="progress.remaining")


class _Values(ProgressColumn):
    """What is worth showing beside a bar: the only column that gives way where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["values"], style="dim", no_wrap=True, overflow="ellipsis")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _TimeLeft(Column(no_wrap=True)),
        _Values(),
        console=err,
        disable=not sys.stderr.isatty(),
    )


def _format_values(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values.items())


def duration(seconds: float) -> str:
    """59 s, 4 min, 2 h 5 min: rounded up, so that what is left is not over yet."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _is_number(cell: Any) -> bool:
    return bool(cell == "" or cell == "–" or cell.replace(",", "").lstrip("+-").replace(".", "", 1).isdigit())
