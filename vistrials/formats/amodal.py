"""Amodal annotations: beside a file whose masks are what is visible, one of the same tracks with whole masks."""

from pathlib import Path

from vistrials.errors import DataError
from vistrials.specs.truths import scored_name


def amodal_file(annotations: Path) -> Path:
    """NAME.amodal.json of NAME.json; of NAME.json.gz likewise.

    >>> from pathlib import Path
    >>> from vistrials.formats.amodal import amodal_file
    >>> amodal_file(Path("minival.json.gz")).name
    'minival.amodal.json.gz'
    """
    end = ".json.gz" if annotations.name.endswith(".json.gz") else annotations.suffix
    return annotations.with_name(f"{annotations.name.removesuffix(end)}.amodal{end}")


def annotations_of(annotations: Path, truth: str) -> Path:
    """The file of a truth, visible or amodal, where `annotations` is that of what is visible.

    Raises:
        SpecError: no such truth.
        DataError: amodal annotations that are not there.
    """
    if scored_name("", truth) == "":
        return annotations
    path = amodal_file(annotations)
    if not path.is_file():
        raise DataError(
            f"{path}: no amodal annotations beside {annotations.name}; score what is visible, or put a file there with "
            "the same videos and tracks and with the masks of whole objects"
        )
    return path
