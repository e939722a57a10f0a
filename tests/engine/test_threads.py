"""Threads wait in the way that the user says, else with a bounded spin, and the record of a run says how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vistrials.engine.threads import SPIN_COUNT, bound_spinning
from vistrials.runs.provenance import describe_environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


def test_the_spin_is_bounded_where_nothing_is_said(nothing_said: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    bound_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == SPIN_COUNT


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7")])
def test_what_the_user_says_stands(nothing_said: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    bound_spinning()
    said = {key: os.environ.get(key) for key in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    assert said == {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None} | {name: value}


def test_the_command_line_says_it_before_torch_is_loaded(nothing_said: None) -> None:
    code = (
        "import os, sys, vistrials.cli as cli\n"
        "cli.app = lambda: print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{SPIN_COUNT} False\n"


def test_the_record_names_threads_waiting_and_instructions(nothing_said: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    record = describe_environment()
    assert record["threads"] == torch.get_num_threads()
    assert record["thread_waiting"]["GOMP_SPINCOUNT"] == "7"
    assert record["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert record["torch_build"]["git"] == torch.version.git_version
