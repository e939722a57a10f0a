"""Trained weights that travel with the package, in vistrials/shipped/."""

from pathlib import Path

from vistrials.errors import CheckpointError
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json

_FOLDER = Path(__file__).resolve().parents[1] / "shipped"
_PREFIX = "shipped:"


def is_shipped(name: str) -> bool:
    """Whether `init.weights` names weights of this package."""
    return name.startswith(_PREFIX)


def weights_file(name: str) -> Path:
    """The file that `init.weights` names: a path, or `shipped:NAME` for one of this package.

    Raises:
        CheckpointError: the package has no such weights, or they are not those whose origin it records.
    """
    if not is_shipped(name):
        return Path(name).expanduser()
    path = _FOLDER / f"{name.removeprefix(_PREFIX)}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.safetensors"))) or "none"
        raise CheckpointError(f"init.weights: {name}: no such weights in this package; it has {known}")
    recorded, found = load_json(path.with_suffix(".json"))["sha256"], sha256_of(path)
    if found != recorded:
        raise CheckpointError(
            f"{path}: expected the weights of this package (sha256 {recorded[:12]}), found others ({found[:12]}): "
            "damaged; install vistrials again"
        )
    return path
