import io

import pytest
from rich.console import Console
from rich.progress import ProgressSample

from vistrials.commands import display


def test_long_cells_are_folded_not_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(display, "out", Console(width=40))
    path = "/data/" + "x" * 100 + "/frame.jpg"
    display.show_table(None, ("what", "first"), [("missing frame", path)])
    shown = "".join(line[len("missing frame") :].strip() for line in capsys.readouterr().out.splitlines()[1:])
    assert shown == path


def test_bytes_are_told_line_by_line_outside_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(display, "err", Console(stderr=True))
    with display.bytes_bar("a.zip") as progress:
        for second in range(0, 91, 10):
            now[0] = second
            progress(second * 1_000_000, None if second > 60 else 200_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "a.zip: 30 of 200 MB (15 %)",
        "a.zip: 60 of 200 MB (30 %)",
        "a.zip: 90 MB",
    ]


def test_bytes_are_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(display.sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(display, "err", Console(stderr=True, force_terminal=True, width=100))
    with display.bytes_bar("a.zip") as progress:
        progress(150_000_000, 200_000_000)
    assert "150.0/200.0 MB" in capsys.readouterr().err


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(display, "time", clock)
    return clock


def test_without_a_terminal_lines_say_how_far_a_stage_is(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with display.RichReporter() as reporter:
        reporter.stage("train baseline", 1000)
        reporter.advance(200)  # by an earlier call: they tell nothing about the speed of this one
        for _ in range(130):
            clock.seconds += 0.5
            reporter.advance(1, loss_total=0.25)
        reporter.stage("evaluate baseline", None)
        clock.seconds += 9
    assert capsys.readouterr().err.splitlines() == [
        "train baseline: begins, 1,000 steps",
        "train baseline: 210 of 1,000, 2 a second, loss_total 0.25, 7 min left",  # after 5 s; 395 s
        "train baseline: 270 of 1,000, 2 a second, loss_total 0.25, 7 min left",  # after 35 s; 365 s
        "train baseline: 330 of 1,000, 2 a second, loss_total 0.25, 6 min left",  # after 65 s; 335 s
        "train baseline: 65.0 s",
        "evaluate baseline: begins",
        "evaluate baseline: 9.0 s",
    ]


def test_runs_side_by_side_are_told_apart_in_them(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with display.shared_bars() as open_reporter, open_reporter("baseline seed 1") as reporter:
        reporter.stage("infer", 10)
        reporter.advance(0)
        clock.seconds += 8
        reporter.advance(4)
    assert capsys.readouterr().err.splitlines()[:2] == [
        "baseline seed 1: infer: begins, 10 steps",
        "baseline seed 1: infer: 4 of 10, 0.5 a second, 12 s left",
    ]


def test_other_work_has_the_same_lines(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with display.progress_bar("videos") as progress:
        for done in range(1, 8):
            progress(done, 7)
            clock.seconds += 2.5
    # From the first call on: two more in 5 s, and so on.
    assert capsys.readouterr().err.splitlines() == ["videos: 3 of 7, 0.4 a second, 10 s left"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (61, "2 min"), (3600, "1 h 0 min"), (7501, "2 h 6 min")],
)
def test_durations_are_rounded_up(seconds: float, shown: str) -> None:
    assert display.duration(seconds) == shown


def test_a_narrow_terminal_keeps_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80, force_terminal=True, file=io.StringIO(), color_system=None)
    monkeypatch.setattr(display, "err", console)
    monkeypatch.setattr(display.sys.stderr, "isatty", lambda: True, raising=False)
    bars = display._bars()
    task = bars.add_task("train baseline", total=500, values="loss_total 1.49  seconds 1.79  lr 3e-05")
    bars.update(task, completed=123)
    samples, now = bars.tasks[0]._progress, bars.get_time()
    samples.clear()
    samples.extend([ProgressSample(now - 10, 0), ProgressSample(now, 10)])  # 377 to go, one a second
    with console.capture() as shown:
        console.print(bars.get_renderable())
    (line,) = shown.get().splitlines()
    assert line.startswith("train baseline ") and " 123/500 " in line and " 7 min left loss_to" in line
    assert len(line.rstrip()) <= 80


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (27, "trial  AP    AR1   p      n", None),  # 5 + 4 + 4 + 5 + 1, and 2 between two columns
        (26, "trial  AP    p      n", "AR1"),
        (20, "trial  AP    n", "AR1, p"),
        (9, None, "AR1, p"),  # what cannot go is folded
    ],
)
def test_a_narrow_terminal_costs_the_dispensable_columns_in_their_order(
    width: int,
    shown: str | None,
    left_out: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(display, "out", Console(width=width))
    columns, row = ("trial", "AP", "AR1", "p", "n"), ("bases", "66.8", "53.6", "0.001", "3")
    display.show_table(None, columns, [row], ["AR10", "AR1", "p"])
    lines = capsys.readouterr().out.splitlines()
    if shown is not None:
        assert lines[0].split() == shown.split() and len(lines) == 2 + (left_out is not None)
        assert all(len(line.rstrip()) <= width for line in lines[:2])
    said = f"left out, for the width of this terminal: {left_out}; a file or a pipe gets all columns"
    assert (lines[-1] == said) is (left_out is not None)
