"""Make, check and split data sets: data synthesize, check, split."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import EXIT_FAULTS_FOUND, Overrides, Profile, all_overrides
from vistrials.errors import SpecError

app = typer.Typer()


@app.command("synthesize")
def synthesize_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Draw the embedded data set into a folder; sizes and seed are the profile's."""
    from vistrials.data.synthetic import SyntheticSizes, synthesize
    from vistrials.display import progress_bar, show_text
    from vistrials.specs.data import SyntheticSource
    from vistrials.specs.loading import load_trial

    source = load_trial("baseline", profile, overrides or ()).data.source
    if not isinstance(source, SyntheticSource):
        raise SpecError(f"profile {profile}: expected data.source of kind synthetic, found {source.kind}")
    sizes = SyntheticSizes(source.train, source.minival, source.occlusion)
    with progress_bar("videos") as progress:
        synthesize(directory, sizes, source.seed, progress)
    show_text(str(directory))


@app.command("check")
def check_data_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a data set, or an annotation file.")],
    frames: Annotated[Path | None, typer.Option(help="Frame folder of an annotation file.")] = None,
    profile: Profile = None,
    no_annotations: Annotated[
        bool,
        typer.Option("--no-annotations", help="Accept a file without tracks (official validation sets)."),
    ] = False,
) -> None:
    """Find everything that is wrong with a data set."""
    from vistrials.data.check import check_dataset
    from vistrials.data.sources import resolve_split
    from vistrials.display import progress_bar, show_table, show_text
    from vistrials.specs.loading import load_trial

    if path.is_dir():
        overrides = all_overrides(path, None, None)
        data = load_trial("baseline", profile or "youtube_vis_2019", overrides).data
        found = [resolve_split(data, split) for split in ("train", "valid")]
        parts: list[tuple[Path, Path | None]] = [(split.annotations, split.frames_dir) for split in found]
    else:
        parts = [(path, frames)]
    sound = True
    for annotations, frames_dir in parts:
        with progress_bar("frames") as progress:
            report = check_dataset(annotations, frames_dir, not no_annotations, progress)
        looked = f"{report.num_frames_read} files read" if frames_dir else "not read: give --frames"
        show_text(
            f"{report.annotations}: {report.num_videos} videos, {report.num_frames} frames ({looked}), "
            f"{report.num_categories} categories, {report.num_tracks} tracks, {report.num_masks} masks"
        )
        if report.problems:
            rows = [(p.severity, str(p.count), p.kind, "\n".join(p.examples)) for p in report.problems]
            show_table(None, ("", "count", "what", "first"), rows)
        sound &= report.ok
    if not sound:
        raise typer.Exit(EXIT_FAULTS_FOUND)


@app.command("split")
def split_command(
    train_json: Annotated[Path, typer.Argument(metavar="TRAIN.json", help="Annotations to split by video.")],
    fraction: Annotated[float, typer.Option(help="Part of the videos that goes to minival.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to (default: beside the input).")
    ] = None,
) -> None:
    """Write minitrain.json and minival.json: the official validation sets have no public annotations."""
    from vistrials.data.split import split_annotations
    from vistrials.display import show_text

    for path in split_annotations(train_json, fraction, seed, out_dir):
        show_text(str(path))
