"""Names that stand in other people's files: they lead to files below the folder that was given, or nowhere."""

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeGuard

from vistrials.errors import DataError, shortened


def relative_name(name: object, where: str) -> PurePosixPath:
    """A name of a file or folder out of an annotation file, as a path that stays below its folder.

    Args:
        name: what the file says; Windows separators are taken for /.
        where: file and entry, for messages.

    Raises:
        DataError: it is no text, empty, absolute, or climbs with `..`.
    """
    if not is_name(name):
        raise DataError(f"{where}: {shortened(name)} is no name; expected a path that starts from the folder of frames")
    path = PurePosixPath(name.replace("\\", "/"))
    if not stays_below(name) or not path.parts:
        raise DataError(
            f"{where}: {shortened(name)} leads out of the folder of frames; expected a path below it, without `..`"
        )
    return path


def file_below(folder: Path, name: object, where: str) -> Path:
    """The file of that name below a folder; it need not be there.

    Raises:
        DataError: as `relative_name`, or a link on the way leads out of the folder.
    """
    path = folder / relative_name(name, where)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: {shortened(name)} is a link that leads out of {folder}; copy the file there")
    return path


def is_name(name: object) -> TypeGuard[str]:
    """Whether something is a text that can name a file: not empty, and without control characters."""
    return isinstance(name, str) and bool(name.strip()) and not any(map(_is_control, name))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def stays_below(name: str) -> bool:
    """Whether a name is neither absolute, on any system, nor climbs."""
    return not (name.startswith(("/", "\\")) or PureWindowsPath(name).drive or leads_out(name))


def leads_out(name: str) -> bool:
    """Whether a name climbs with `..`. One that is absolute is looked for below the folder, see `data.frame_files`."""
    return ".." in PurePosixPath(name.replace("\\", "/")).parts
