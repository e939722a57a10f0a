"""A few runs on a real Slurm, disturbed; `python -m tests.cluster.torture` makes more, and says what happens."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.cluster.one_node_slurm import missing_programs
from tests.cluster.torture import torture

pytestmark = pytest.mark.slow


def test_disturbed_runs_on_a_real_slurm_end_as_undisturbed_ones() -> None:
    if missing_programs() or os.geteuid() != 0:
        pytest.skip(f"needs root, and Slurm and munge: found no {', '.join(missing_programs()) or 'root'}")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to munge's user
        folder, said = Path(name), list[str]()
        folder.chmod(0o755)
        assert torture(6, 0, folder, said.append), "\n".join(said)
