"""What several commands do in the same way."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vistrials.cli import app


@pytest.mark.parametrize(
    "words",
    [
        "evaluate truth.json predictions.json --json OUT",
        "diagnose predictions.json --gt truth.json --json OUT",
        "data stats truth.json --out OUT",
        "data stats truth.json --plot OUT",
        "compare --results nowhere --format csv --out OUT",
        "plot-losses --results nowhere --out OUT",
        "plot-effects --results nowhere --out OUT",
        "import-checkpoint weights.pth --trial baseline --out OUT",
        "export-weights weights.safetensors --out OUT",
    ],
)
def test_a_file_is_replaced_with_force_only(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = (
        "out.csv"
        if "compare" in words or "--out" in words and "stats" in words
        else "out.safetensors"
        if "weights" in words
        else "out.png"
    )
    Path(name).write_text("of hours")
    arguments = words.replace("OUT", name).split()
    kept = CliRunner().invoke(app, arguments)
    assert (kept.exit_code, kept.stdout) == (2, "")
    assert kept.stderr == f"error: {name}: there already; replace with --force, or name another file\n"
    # Then what is missing stops it: it has come past the check.
    forced = CliRunner().invoke(app, [*arguments, "--force"])
    assert forced.exit_code == 2 and "there already" not in forced.stderr
    assert Path(name).read_text() == "of hours"
