"""Parts of a network that a file of the user's own holds: where the file lies, and which content it must have."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import field_serializer, field_validator

from vistrials.errors import SpecError
from vistrials.specs.base import Spec

FOLDER = "modules"
"""Folder inside that of a run with copies of such files; a recorded spec names them there."""

SpecT = TypeVar("SpecT", bound=Spec)


class CustomSpec(Spec):
    """What parts of kind custom share (docs/custom_modules.md)."""

    path: str
    """FILE.py:CLASS; the file is looked for from the folder of the YAML that names it."""
    sha256: str | None = None
    """Digest of the file, filled in when a trial is read; a file with another one is refused."""
    options: dict[str, Any] = {}
    """Further arguments of the class, by name."""

    @field_validator("path")
    @classmethod
    def _file_and_class(cls, value: str) -> str:
        file, _, name = value.rpartition(":")
        if Path(file).suffix != ".py" or not name.isidentifier():
            raise ValueError(f"expected FILE.py:CLASS, found {value!r}")
        return value

    @field_serializer("path")
    def _without_place(self, value: str) -> str:
        # Where the file lies changes no result: the digest says what it holds.
        return self.recorded_path

    @property
    def file(self) -> Path:
        return Path(self.path.rpartition(":")[0])

    @property
    def class_name(self) -> str:
        return self.path.rpartition(":")[2]

    @property
    def recorded_path(self) -> str:
        """`path` inside the folder of a run."""
        return f"{FOLDER}/{self.file.name}:{self.class_name}"

    def at(self, folder: Path) -> "CustomSpec":
        """The same with a relative path taken from a folder."""
        return self.model_copy(update={"path": f"{(folder / self.file).absolute()}:{self.class_name}"})

    def read(self, where: str) -> bytes:
        """The content of the file.

        Args:
            where: what names the file, for the error.

        Raises:
            SpecError: there is no such file, or it has another digest than recorded.
        """
        try:
            content = self.file.read_bytes()
        except OSError as error:
            raise SpecError(f"{where}: {self.file}: expected a readable file: {error.strerror or error}") from None
        found = hashlib.sha256(content).hexdigest()
        if self.sha256 not in (None, found):
            raise SpecError(
                f"{where}: {self.file} has changed: expected sha256 {str(self.sha256)[:12]}.., found {found[:12]}..; "
                "put back the one that was recorded; a new one belongs to a new run, of a YAML without this sha256"
            )
        return content

    def pinned(self, where: str) -> "CustomSpec":
        """The same with the digest of the file as it is; errors as of `read`."""
        return self.model_copy(update={"sha256": hashlib.sha256(self.read(where)).hexdigest()})


def change_custom_parts(spec: SpecT, change: Callable[[str, CustomSpec], CustomSpec], path: str = "") -> SpecT:
    """A spec with its custom parts replaced.

    Args:
        spec: of a trial, or a part.
        change: (dotted path, part) -> the part to put there.
        path: of the spec itself.
    """
    parts = {name: getattr(spec, name) for name in type(spec).model_fields}
    changed = {
        name: change_custom_parts(part, change, f"{path}.{name}" if path else name)
        for name, part in parts.items()
        if isinstance(part, Spec)
    }
    if updates := {name: part for name, part in changed.items() if part is not parts[name]}:
        spec = spec.model_copy(update=updates)
    return change(path, spec) if isinstance(spec, CustomSpec) else spec  # type: ignore[return-value]


def custom_parts(spec: Spec) -> dict[str, CustomSpec]:
    """The custom parts of a spec by their dotted path."""
    found: dict[str, CustomSpec] = {}

    def note(path: str, part: CustomSpec) -> CustomSpec:
        found[path] = part
        return part

    change_custom_parts(spec, note)
    return found
