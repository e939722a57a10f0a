"""Every file of a run, damaged in every way, before every command: it is mended, or one line names it and the cure."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.chaos.outcomes import results_of
from tests.engine.tiny_videos import write_tiny_data_set
from tests.tiny_runs import tiny_spec
from vistrials.cli import app
from vistrials.specs.loading import dump_spec

FILES = (
    *("spec.yaml", "provenance.json", "losses.jsonl", "weights.safetensors"),
    *("predictions.json", "matches.json.gz", "metrics.json"),
)


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 16] = bytes(range(0xF0, 0x100))
    path.write_bytes(content)


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (delete, pytest.param(empty, marks=pytest.mark.slow), truncate, garble, put_a_folder)
"""Some of them take half a minute together; empty files differ little from cut ones."""

COMMANDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "run": lambda home, run: ["run", home / "tiny.yaml", "--results", run.parents[2], "--device", "cpu"],
    "infer": lambda home, run: ["infer", home / "tiny.yaml", "--results", run.parents[2], "--device", "cpu"],
    "evaluate": lambda home, run: ["evaluate", home / "data" / "valid.json", run],
    "compare": lambda home, run: ["compare", "-p", "tiny", "--results", run.parents[2], "--bootstrap", "100"],
    "diagnose": lambda home, run: ["diagnose", run],
    "plot-losses": lambda home, run: ["plot-losses", "-p", "tiny", "--results", run.parents[2], "-o", "made.csv"],
    "visualize": lambda home, run: ["visualize", run, "-o", "made.png"],
    "submit": lambda home, run: ["submit", run, "-o", "made.zip"],
    "export-weights": lambda home, run: ["export-weights", run, "-o", "made.safetensors"],
}


@dataclass(frozen=True)
class Said:
    """How a command ended: what it printed, without the names of folders, and the files that it made."""

    code: int
    out: str
    err: str
    made: dict[str, bytes]


def say(command: str, home: Path, run: Path, made: Path) -> Said:
    made.mkdir()
    before = Path.cwd()
    os.chdir(made)
    try:
        arguments = [str(word) for word in COMMANDS[command](home, run)]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "250"})
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{command}: {type(result.exception).__name__}") from result.exception
    out = result.stdout.replace(str(run.parents[2]), "RESULTS")
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.suffix != ".json"}
    return Said(result.exit_code, out, result.stderr, files)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a trial, a finished run, and what each command says of it."""
    home = tmp_path_factory.mktemp("home")
    data = write_tiny_data_set(home / "data")
    (home / "tiny.yaml").write_text(dump_spec(tiny_spec(data)))
    done = CliRunner().invoke(app, [str(word) for word in COMMANDS["run"](home, run_of(home / "whole"))])
    assert done.exit_code == 0, done.output
    return home


def run_of(results: Path) -> Path:
    return results / "tiny" / "tiny" / "seed0"


@pytest.fixture(scope="module")
def healthy(home: Path) -> Callable[[str], Said]:
    said: dict[str, Said] = {}

    def of(command: str) -> Said:
        if command not in said:
            said[command] = say(command, home, run_of(home / "whole"), home / f"made-{command}")
            assert said[command].code == 0, said[command]
        return said[command]

    return of


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(home / "whole", tmp_path / "results")
    yield run_of(tmp_path / "results")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_mended_named_or_not_needed(
    name: str,
    damage: Callable[[Path], None],
    command: str,
    home: Path,
    run: Path,
    healthy: Callable[[str], Said],
    tmp_path: Path,
) -> None:
    damage(run / name)
    said, expected = say(command, home, run, tmp_path / "made"), healthy(command)
    if said.code == 0:
        is_same = (said.out, said.made) == (expected.out, expected.made)
        assert is_same or name in said.out + said.err, said
        # What the command makes it makes in full.
        whole = results_of(run_of(home / "whole"))
        if command == "run":
            assert name in said.err or results_of(run) == whole, said
    else:
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert said.code == 2 and len(errors) == 1 and said.err.splitlines()[-1] == errors[0], said
        # Of what is not there yet a command says what makes it.
        assert name in errors[0] or (damage is delete and str(run.parents[1]) in errors[0]), said
