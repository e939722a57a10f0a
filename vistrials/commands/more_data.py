"""More data to train on, published or made from one's own: data get, data pseudo."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from vistrials.errors import DataError

app = typer.Typer()


@app.command("get")
def get_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A data set; without, all are listed.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="New or empty folder (default: data/NAME).", show_default=False
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="URL|FILE",
            help="Your own link or file instead of the public address; repeatable.",
            show_default=False,
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Digest that the file must have.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
) -> None:
    """Download a published data set, check it, unpack it, convert it and split it."""
    from vistrials.data.download.catalogue import find_set
    from vistrials.data.download.getting import (
        bytes_needed,
        check_room,
        check_target,
        describe_bytes,
        find_sources,
        get_set,
    )

    if name is None:
        _list_sets()
        return
    public_set = find_set(name)
    found = find_sources(public_set, sources or ())
    out = Path("data") / name if out is None else out
    check_target(out)
    from vistrials.commands.data import check_and_show
    from vistrials.commands.display import RichReporter, show_text
    from vistrials.data.split import describe_use

    reporter = RichReporter()
    needed = bytes_needed(public_set, found, out)
    free = check_room(out, needed or 0)
    size = "a size that its server will say" if needed is None else f"{describe_bytes(needed)} needed on the way"
    licence = public_set.licence or "no statement on record"
    reporter.message(f"{public_set.title} ({public_set.home})")
    reporter.message(f"licence: {licence}; read {public_set.licence_source}")
    reporter.message(f"disk: {size}, {describe_bytes(free)} free")
    _ask_for_consent(yes)
    done = get_set(public_set, out, found, _Shown(), sha256)
    show_text(str(done.folder))
    if done.split is not None:
        for line in describe_use(*done.split):
            reporter.message(line)
    check_and_show(done.folder, no_annotations=True)


def _list_sets() -> None:
    from vistrials.commands.display import show_table
    from vistrials.data.download.catalogue import SETS
    from vistrials.data.download.getting import describe_bytes

    rows = [
        (
            one.name,
            one.title,
            "–" if one.size is None else describe_bytes(one.size),
            one.licence or f"see {one.licence_source}",
            one.address or f"--from: {one.how} ({one.home})",
        )
        for one in SETS
    ]
    show_table(None, ("name", "what", "size", "licence", "address"), rows)


def _ask_for_consent(yes: bool) -> None:
    if yes:
        return
    if not _is_asked_at_a_terminal():
        raise DataError("data get: nobody to ask whether the licence is accepted; accept it with --yes")
    if not typer.confirm("Accept the licence and go on?", err=True):
        raise DataError("data get: the licence was not accepted; nothing was downloaded")


def _is_asked_at_a_terminal() -> bool:
    return sys.stdin.isatty()


class _Shown:
    """The work of `data get` on the screen."""

    def __init__(self) -> None:
        from vistrials.commands import display

        self.message = display.RichReporter().message
        self.bytes_bar = display.bytes_bar
        self.bar = display.progress_bar


@app.command("pseudo")
def pseudo_command(
    clips: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...", help="Folders in YouTube-VIS form, or annotation files; the more the better."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="New or empty folder, or one with other splits.")
    ],
    videos: Annotated[int, typer.Option(min=1, help="How many pseudo videos.")] = 20,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each.")] = 20,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Their size in pixels (default: that of the clips).", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other videos.")] = 0,
    originals: Annotated[
        bool, typer.Option("--originals/--no-originals", help="Put the videos of the clips before them.")
    ] = True,
) -> None:
    """Make training videos from few annotated ones: occluders pasted, camera moved, time turned, colours changed."""
    from vistrials.commands.display import progress_bar, show_text
    from vistrials.data.pseudo.clips import load_clips
    from vistrials.data.pseudo.dataset import write_pseudo_set
    from vistrials.formats.files import check_folder

    check_folder(out)
    pixels = None if size is None else _parse_size(size)
    loaded = load_clips(clips)
    with progress_bar("videos") as progress:
        made = write_pseudo_set(
            loaded, out, videos, frames, size=pixels, seed=seed, originals=originals, progress=progress
        )
    show_text(
        f"{made.annotations}: {made.num_videos} videos, {made.num_frames} frames, "
        f"{made.num_tracks} tracks, {made.num_masks} masks"
    )


def _parse_size(text: str) -> tuple[int, int]:
    """Height and width of WIDTHxHEIGHT."""
    found = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", text)
    if found is None:
        raise DataError(f"--size {text}: expected WIDTHxHEIGHT in pixels, such as 432x240")
    return int(found[2]), int(found[1])
