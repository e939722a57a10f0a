"""Which files and folders are made from which video. No torch here: a mistake answers at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vistrials.errors import SpecError
from vistrials.formats.files import check_folder, numbered_files, refuse_to_replace
from vistrials.video_files.sources import Source

_KINDS = {
    ".mp4": "video with overlays",
    ".json": "tracks as YouTube-VIS results",
    ".csv": "boxes by frame",
    "": "folder of masks as palette PNGs",
}


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """A file, or for masks a folder, to make; kind: its suffix, or "" of a folder."""

    path: Path
    kind: str


def name_outputs(outputs: Sequence[str], sources: Sequence[Source]) -> list[list[OutputPlace]]:
    """What to make from each video: of several videos, each output has the video's name in it.

    out.mp4 becomes out-NAME.mp4, and masks/ becomes masks/NAME/.

    Args:
        outputs: names; the kind follows from the suffix.
        sources: the videos.

    Returns:
        For each video its outputs.

    Raises:
        SpecError: an unknown suffix, two outputs of one name, or an output that is an input.
    """
    inputs = {path.resolve() for source in sources for path in (*source.paths, *(p.parent for p in source.paths))}
    made: dict[Path, str] = {}
    named = [[_name_output(text, source.name if len(sources) > 1 else None) for text in outputs] for source in sources]
    for source, places in zip(sources, named, strict=True):
        for path in (place.path for place in places):
            before = made.setdefault(path.resolve(), source.where)
            if path.resolve() in inputs and (path.is_file() or source.kind == "images"):
                raise SpecError(f"{path}: is an input, which would be lost; name another file")
            if before != source.where or [place.path for place in places].count(path) > 1:
                what = " and ".join(dict.fromkeys((before, source.where)))
                raise SpecError(f"{path}: would be made twice, from {what}; rename one, or track them one by one")
    return named


def check_outputs(places: Sequence[OutputPlace], *, replace: bool) -> None:
    """Refuse outputs that cannot be written, and keep files that are there, and folders with masks in them.

    Args:
        places: of all videos.
        replace: replace what is there.

    Raises:
        DataError: one cannot be written, or some of them are there.
    """
    for place in places:
        check_folder(place.path.parent if place.kind else place.path)
    if replace:
        return
    there = [place.path for place in places if place.path.is_file() or _masks_in(place)]
    refuse_to_replace(there, "name another file")


def _masks_in(place: OutputPlace) -> list[Path]:
    return numbered_files(place.path, ".png") if place.kind == "" else []


def _name_output(text: str, name: str | None) -> OutputPlace:
    path = Path(text)
    kind = "" if text.endswith("/") else path.suffix.lower()
    if kind not in _KINDS:
        known = ", ".join(
            f"{suffix or 'a name without suffix, or with / at its end'} ({_KINDS[suffix]})" for suffix in _KINDS
        )
        raise SpecError(f"--out {text}: cannot be told what to write; expected {known}")
    if name is not None:
        path = path / name if kind == "" else path.with_name(f"{path.stem}-{name}{path.suffix}")
    return OutputPlace(path, kind)
