"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

from vistrials.engine.threads import bound_spinning

bound_spinning()  # as the command line does, before any test loads torch

SHARED = Path(__file__).resolve().parents[2] / "shared"
RECORDINGS = Path(__file__).parent / "recordings"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--recordings", type=Path, default=RECORDINGS, help="folder of recordings of the original program")


@pytest.fixture(scope="session")
def recordings(pytestconfig: pytest.Config) -> Path:
    """The outputs of the original program that the network is compared with."""
    folder: Path = pytestconfig.getoption("recordings")
    return folder


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Larger material beside the checkout: a real clip, the evaluation of eight real videos."""
    if not SHARED.is_dir():
        pytest.skip("the reference material (../shared beside the checkout) is not here")
    return SHARED


@pytest.fixture
def adversarial() -> Path:
    """Folder with the evaluation of 40 small made-up videos by the official program."""
    return RECORDINGS / "evaluation" / "adversarial"


@pytest.fixture(params=["adversarial", "davis8"])
def scored(request: pytest.FixtureRequest) -> Path:
    """Folder with gt.json.gz, dt.json.gz and the figures of the official program, made-up and real in turn."""
    if request.param == "davis8":
        return Path(request.getfixturevalue("shared_dir")) / "evaluation" / "davis8"
    return Path(request.getfixturevalue("adversarial"))
