"""import-checkpoint and export-weights, as a user types them."""

import json
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from tests.weights.original_checkpoints import small_state
from vistrials.cli import app
from vistrials.weights.files import read_metadata, read_tensors

SMOKE = ("--trial", "baseline", "--profile", "smoke")


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imported checkpoint, and a run that uses it as it is."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({"state_dict": small_state(), "meta": {"epoch": 12}}, folder / "original.pth")
    imported = vistrials("import-checkpoint", folder / "original.pth", *SMOKE, "-o", folder / "ours.safetensors")
    assert imported.exit_code == 0, imported.output
    run = vistrials(
        "run", "baseline", "--profile", "smoke", "--weights", folder / "ours.safetensors", "--results", folder,
        "--set", "train.max_iters=0", "--set", "data.splits=[minival]",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    return folder


def test_what_was_imported_is_used_as_it_is_and_exported_back(folder: Path) -> None:
    run = folder / "smoke" / "baseline" / "seed0"
    assert (run / "predictions.json").is_file() and (run / "metrics.json").is_file()
    exported = vistrials("export-weights", run, "--original", "-o", folder / "back.pth")
    assert exported.stdout.split() == [str(folder / "back.pth"), str(folder / "back.json")]
    state, back = small_state(), read_tensors(folder / "back.pth")
    assert back.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in back.items())


def test_infer_predicts_with_weights_from_elsewhere_as_they_are(folder: Path, tmp_path: Path) -> None:
    result = vistrials(
        "infer", "baseline", "--profile", "smoke", "--weights", folder / "ours.safetensors", "--results", tmp_path,
        "--set", "data.splits=[minival]",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    predictions = [path / "smoke" / "baseline" / "seed0" / "predictions.json" for path in (tmp_path, folder)]
    assert predictions[0].read_text() == predictions[1].read_text()


def test_exported_weights_travel_with_where_they_come_from(folder: Path) -> None:
    run = folder / "smoke" / "baseline" / "seed0"
    result = vistrials("export-weights", run, "--half", "-o", folder / "out" / "small.safetensors")
    assert result.exit_code == 0
    content = json.loads((folder / "out" / "small.json").read_text())
    assert content["trial"] == "baseline" and content["half_precision"] is True
    assert content["figures"]["minival"] == json.loads((run / "metrics.json").read_text())
    assert content["provenance"]["data"]["train"]["sha256"]
    small = folder / "out" / "small.safetensors"
    weights = run / "weights.safetensors"
    network = json.loads((run / "provenance.json").read_text())["stages"]["infer/minival"]["network_sha256"]
    assert read_metadata(small) == read_metadata(weights) | {"rounded_from_network_sha256": network}
    # Rounding what is rounded changes nothing, the name of the network that it was included.
    assert vistrials("export-weights", small, "--half", "-o", folder / "again.safetensors").exit_code == 0
    assert (folder / "again.safetensors").read_bytes() == small.read_bytes()
    again = vistrials("export-weights", run, "-o", small)
    assert again.exit_code == 2 and f"{small} and {small.with_suffix('.json')}: there already" in again.stderr
    assert small.stat().st_size < 0.52 * (run / "weights.safetensors").stat().st_size


def test_files_that_an_export_would_replace_are_replaced_with_force(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights.safetensors"
    out.with_suffix(".json").write_text("{}")
    run = folder / "smoke" / "baseline" / "seed0"
    refused = vistrials("export-weights", run, "-o", out)
    assert refused.exit_code == 2 and f"{out.with_suffix('.json')}: there already" in refused.stderr
    assert not out.exists()
    # A file of weights alone has nothing beside it.
    assert vistrials("export-weights", folder / "ours.safetensors", "-o", out).exit_code == 0
    assert vistrials("export-weights", run, "-o", out, "--force").exit_code == 0
    assert json.loads(out.with_suffix(".json").read_text())["trial"] == "baseline"


def test_a_run_that_is_none_is_named(tmp_path: Path) -> None:
    result = vistrials("export-weights", tmp_path, "-o", tmp_path / "small.safetensors")
    assert result.exit_code == 2 and "no run here" in result.stderr


def test_faults_are_listed_and_stop_the_import_unless_allowed(tmp_path: Path) -> None:
    state = small_state()
    del state["rpn_head.rpn_cls.bias"]
    state["mask_head.upsample.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "original.pth")
    arguments = ("import-checkpoint", tmp_path / "original.pth", *SMOKE, "-o", tmp_path / "ours.safetensors")
    result = vistrials(*arguments)
    assert result.exit_code == 2 and not (tmp_path / "ours.safetensors").exists()
    assert "missing: rpn_head.rpn_cls.bias, expected (3,)\n" in result.stdout
    assert "of another shape: mask_head.upsample.bias, expected (48,), found (7,)\n" in result.stdout
    assert "1 missing, 1 of another shape for baseline under smoke" in result.stderr
    assert vistrials(*arguments, "--allow-mismatch").exit_code == 0
    assert (tmp_path / "ours.safetensors").is_file()


def test_the_report_says_where_names_come_from_and_what_the_file_lacks(tmp_path: Path) -> None:
    state = small_state()
    torch.save(state, tmp_path / "original.pth")
    result = vistrials(
        "import-checkpoint",
        tmp_path / "original.pth",
        *SMOKE,
        "--categories",
        "a,b,c,d,e,f,g,h",
        "-o",
        tmp_path / "a.safetensors",
    )
    assert "class rows: 9 rows, background and 8 categories, which the file does not name" in result.stdout
    torch.save({"state_dict": state, "meta": {"CLASSES": tuple("abcdefgh")}}, tmp_path / "named.pth")
    result = vistrials("import-checkpoint", tmp_path / "named.pth", *SMOKE, "-o", tmp_path / "b.safetensors")
    assert "class rows: 9 rows, background and 8 categories\n" in result.stdout


class Exploit:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("kind", ["hostile", "cut short", "text", "absent"])
def test_a_file_that_is_no_checkpoint_ends_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "original.pth"
    torch.save({"state_dict": {"a": Exploit(tmp_path / "trace") if kind == "hostile" else torch.zeros(9)}}, path)
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "absent":
        path.unlink()
    result = vistrials("import-checkpoint", path, *SMOKE, "-o", tmp_path / "ours.safetensors")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(f"error: {path}: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "trace").exists() and not (tmp_path / "ours.safetensors").exists()


def test_categories_come_by_name_or_from_an_annotation_file(tmp_path: Path) -> None:
    torch.save(small_state(), tmp_path / "original.pth")
    video = {"id": 1, "width": 4, "height": 4, "length": 1, "file_names": ["a.jpg"]}
    categories = [{"id": 10 * i, "name": name} for i, name in enumerate("abcdefgh")]
    (tmp_path / "valid.json").write_text(json.dumps({"videos": [video], "categories": categories}))
    for given in ("a, b,c,d,e,f,g,h", tmp_path / "valid.json"):
        out = tmp_path / "ours.safetensors"
        result = vistrials(
            "import-checkpoint", tmp_path / "original.pth", *SMOKE, "--categories", given, "-o", out, "--force"
        )
        assert result.exit_code == 0
        assert json.loads(read_metadata(out)["category_names"]) == list("abcdefgh")
    result = vistrials(
        "import-checkpoint",
        tmp_path / "original.pth",
        *SMOKE,
        "--categories",
        "a,b",
        "-o",
        tmp_path / "other.safetensors",
    )
    assert result.exit_code == 2 and "expected 2 categories" in result.stderr
