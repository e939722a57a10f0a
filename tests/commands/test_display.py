import pytest
from rich.console import Console

from vistrials.commands import display


def test_outside_a_terminal_long_stages_say_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(display, "err", Console(stderr=True, highlight=False))
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    with display.RichReporter() as reporter:
        reporter.stage("track clip", 1200)
        for _ in range(7):
            now += 10
            reporter.advance(100, frames_per_second=10)
        reporter.stage("track stream", None)
        now += 40
        reporter.advance(3)
    assert capsys.readouterr().err.splitlines() == [
        "track clip: 300 of 1,200, frames_per_second 10, 0:01:30 left",
        "track clip: 600 of 1,200, frames_per_second 10, 0:01:00 left",
        "track clip: 70.0 s",
        "track stream: 3",
        "track stream: 40.0 s",
    ]


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
