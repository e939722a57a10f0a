import pytest
from rich.console import Console

from vistrials.commands import display


def test_long_cells_are_folded_not_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(display, "out", Console(width=40))
    path = "/data/" + "x" * 100 + "/frame.jpg"
    display.show_table(None, ("what", "first"), [("missing frame", path)])
    shown = "".join(line[len("missing frame") :].strip() for line in capsys.readouterr().out.splitlines()[1:])
    assert shown == path
