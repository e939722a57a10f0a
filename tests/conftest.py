"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

from vistrials.engine.threads import bound_spinning

bound_spinning()  # as the command line does, before any test loads torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The reference material beside the checkout (goldens, clips, evaluation files)."""
    if not SHARED.is_dir():
        pytest.skip("the reference material (../shared beside the checkout) is not here")
    return SHARED
