"""What several commands do in the same way."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vistrials.cli import app

OUTPUTS = [
    ("evaluate truth.json predictions.json --json OUT", "out.json", ".json or .json.gz"),
    ("diagnose predictions.json --gt truth.json --json OUT", "out.json.gz", ".json or .json.gz"),
    ("submit predictions.json --gt truth.json --out OUT", "out.zip", ".zip"),
    ("data stats truth.json --out OUT", "out.csv", ".md, .csv, .tex or .json"),
    ("data stats truth.json --plot OUT", "out.png", ".png, .pdf or .svg"),
    ("compare --results nowhere --out OUT", "out.md", ".md, .csv, .tex or .json"),
    ("compare --results nowhere --format csv --out OUT", "out.csv", ".csv"),
    ("plot-losses --results nowhere --out OUT", "out.csv", ".png, .pdf, .svg or .csv"),
    ("plot-effects --results nowhere --out OUT", "out.png", ".png, .pdf or .svg"),
    ("import-checkpoint weights.pth --trial baseline --out OUT", "out.safetensors", ".safetensors"),
    ("export-weights weights.safetensors --out OUT", "out.safetensors", ".safetensors"),
    ("export-weights weights.safetensors --original --out OUT", "out.pth", ".pth"),
]


@pytest.mark.parametrize(("words", "name", "kinds"), OUTPUTS)
def test_a_file_is_replaced_with_force_only(
    words: str, name: str, kinds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("of hours")
    arguments = words.replace("OUT", name).split()
    kept = CliRunner().invoke(app, arguments)
    assert (kept.exit_code, kept.stdout) == (2, "")
    assert kept.stderr.startswith(f"error: {name}: there already; replace with --force, or name another file")
    # Then what is missing stops it: it has come past the check.
    forced = CliRunner().invoke(app, [*arguments, "--force"])
    assert forced.exit_code == 2 and "there already" not in forced.stderr
    assert Path(name).read_text() == "of hours"


@pytest.mark.parametrize(("words", "name", "kinds"), OUTPUTS)
def test_a_name_says_what_is_written(
    words: str, name: str, kinds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, [*words.replace("OUT", "out.docx").split(), "--force"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == f"error: out.docx: expected the name of the file to write to end in {kinds}\n"


@pytest.mark.parametrize(("words", "name", "kinds"), OUTPUTS)
def test_a_place_that_cannot_be_written_is_refused_first(
    words: str, name: str, kinds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes").touch()
    Path("folder", name).mkdir(parents=True)
    said = {
        f"notes/{name}": f"notes: cannot be a folder to write to: {tmp_path}/notes is none; choose another",
        f"folder/{name}": f"folder/{name}: expected the name of a file to write, found a folder; name a file in it",
    }
    for out, message in said.items():
        refused = CliRunner().invoke(app, [*words.replace("OUT", out).split(), "--force"])
        assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", f"error: {message}\n")


def test_a_file_gets_the_format_that_its_name_says(tmp_path: Path) -> None:
    for form, name, said in [
        ("csv", "out.txt", "out.txt: expected the name of the file to write to end in .csv"),
        ("table", "out.md", "table: expected --format markdown, csv, latex, json into a file"),
        ("word", "out.md", "word: expected --format markdown, csv, latex, json into a file"),
    ]:
        refused = CliRunner().invoke(app, ["compare", "--format", form, "--out", str(tmp_path / name)])
        assert refused.exit_code == 2 and refused.stderr.endswith(f"{said}\n")
    assert CliRunner().invoke(app, ["compare", "--format", "word"]).stderr == (
        "error: word: expected --format table, markdown, csv, latex, json\n"
    )


@pytest.mark.parametrize("kind", ["davis", "mots-png", "coco-video", "labelme"])
def test_a_conversion_is_refused_before_its_source_is_looked_at(kind: str, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    refused = CliRunner().invoke(app, ["data", "convert", kind, "nowhere", "-o", str(tmp_path / "notes" / "new")])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"error: {tmp_path / 'notes'}: cannot be a folder to write to")


def test_a_split_is_refused_before_its_annotations_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("minival.json").write_text("by hand")
    kept = CliRunner().invoke(app, ["data", "split", "train.json"])
    assert kept.exit_code == 2
    assert (
        kept.stderr == "error: minival.json: there already; replace with --force, or name another folder with --out\n"
    )
    nowhere = CliRunner().invoke(app, ["data", "split", "train.json", "--out", "minival.json"])
    assert nowhere.exit_code == 2 and "minival.json: cannot be a folder to write to" in nowhere.stderr
    assert Path("minival.json").read_text() == "by hand"
