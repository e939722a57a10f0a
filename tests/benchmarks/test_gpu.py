"""The benchmark of a GPU goes through all its parts, in a small size on the CPU."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu


def test_every_part_runs_and_leaves_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--smoke", "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 0
    found = json.loads(out.read_text())
    assert list(found["modes"]) == ["float32", "TF32", "bf16"]
    for mode in found["modes"].values():
        assert mode["step_tflop"] > 0 and mode["images_per_second"] > 0 and mode["frame_seconds"] > 0
    assert set(found["demo"]["AP"]) == {"minival", "occlusion"}
    assert "skipped" in found["tests"]["says"] or "passed" in found["tests"]["says"]
    assert "| TF32 |" in capsys.readouterr().out
