"""Versions of vistrials and of what its figures depend on."""

import platform
from importlib.metadata import version

from vistrials import __version__


def describe_versions() -> str:
    """One line; importing none of what it names."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy"))
    return f"vistrials {__version__} (python {platform.python_version()}, {libraries})"
