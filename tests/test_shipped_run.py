"""The run that ships with its weights: what they are, and that nothing else of it comes from others."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from vistrials.data.synthetic.shapes import CATEGORY_NAMES
from vistrials.errors import CheckpointError
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json
from vistrials.models.objprop import build_model
from vistrials.runs.directory import RunDirectory
from vistrials.weights import shipped
from vistrials.weights.files import ROUNDED_FROM, digest_of_tensors, load_weights, read_metadata, read_tensors

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "results" / "demo" / "baseline" / "seed0"


def test_its_weights_are_small_and_its_figures_are_theirs() -> None:
    directory, spec = RunDirectory.open(RUN)
    tensors, metadata = read_tensors(directory.weights), read_metadata(directory.weights)
    assert directory.weights.stat().st_size < 10_000_000
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float16}
    model = build_model(spec.model, len(CATEGORY_NAMES))
    load_weights(model, directory.weights, allow_missing=False)
    provenance = load_json(directory.provenance)
    for split in spec.data.splits:
        stage = provenance["stages"][f"infer/{split}"]
        assert stage["weights_sha256"] == sha256_of(directory.weights)
        assert stage["network_sha256"] == digest_of_tensors(model.state_dict())
        assert stage[ROUNDED_FROM] == metadata[ROUNDED_FROM] != stage["network_sha256"]
    assert metadata["spec_sha256"] == sha256_of(directory.spec)
    assert provenance["environment"]["dirty"] is False
    assert all("environment" not in stage for stage in provenance["stages"].values())


def test_git_keeps_them_and_no_predictions_beside_them() -> None:
    rules = (ROOT / ".gitignore").read_text().splitlines()
    weights = rules.index("/results/**/weights*.safetensors")
    assert rules.index(f"!/{RUN.relative_to(ROOT)}/weights.safetensors") > weights
    assert "/results/**/predictions*.json" in rules


def test_readme_and_makefile_agree_on_what_an_install_downloads() -> None:
    readme, makefile = (" ".join((ROOT / name).read_text().split()) for name in ("README.md", "Makefile"))
    (size,) = re.findall(r"the install is (\d+ GB) to download", readme)
    assert f"{size} to download on Linux" in makefile


def test_shipped_weights_are_those_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shipped.weights_file("shipped:masktrack_rcnn_demo")
    copy = tmp_path / source.name
    shutil.copy(source.with_suffix(".json"), tmp_path)
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="damaged; install vistrials again"):
        shipped.weights_file("shipped:masktrack_rcnn_demo")
