"""An installed wheel works from anywhere, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_wheel_carries_trials_and_weights(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("vistrials-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)

    def python(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    installed = python("-c", "import vistrials; print(vistrials.__file__)").strip()
    assert Path(installed).is_relative_to(tmp_path / "site")
    python("-m", "vistrials.cli", "check")
    assert python("-m", "vistrials", "--version").startswith("vistrials ")
    assert (tmp_path / "site" / "vistrials" / "py.typed").is_file()
    shipped = {path.name for path in (ROOT / "trials").rglob("*.yaml")}
    assert {path.name for path in (tmp_path / "site" / "vistrials" / "trials").rglob("*.yaml")} == shipped
    weights = {path.name for path in (ROOT / "vistrials" / "shipped").glob("*")}
    assert {path.name for path in (tmp_path / "site" / "vistrials" / "shipped").glob("*")} == weights
