"""Make, convert, export, check, count and split data sets."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.conversions import convert
from vistrials.commands.exports import export_command
from vistrials.commands.options import (
    EXIT_FAULTS_FOUND,
    Format,
    Overrides,
    Profile,
    Replace,
    all_overrides,
    keep_files,
)
from vistrials.errors import SpecError

app = typer.Typer()
app.add_typer(
    convert,
    name="convert",
    help="Convert another data set to YouTube-VIS form (docs/own_data.md).",
    no_args_is_help=True,
)


@app.command("synthesize")
def synthesize_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    profile: Profile = None,
    overrides: Overrides = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split", help="Split; repeatable (default: train and those of the profile).", show_default=False
        ),
    ] = None,
) -> None:
    """Draw the embedded data set into a folder, with the profile's sizes and seed."""
    from vistrials.commands.display import progress_bar, show_text
    from vistrials.data.synthetic.dataset import SPLITS, SyntheticSizes, synthesize
    from vistrials.specs.data import SyntheticSource
    from vistrials.specs.loading import load_trial

    data = load_trial("baseline", profile, overrides or ()).data
    source = data.source
    if not isinstance(source, SyntheticSource):
        raise SpecError(f"profile {profile}: expected data.source of kind synthetic, found {source.kind}")
    sizes = SyntheticSizes(**source.sizes)
    splits = list(dict.fromkeys(splits or ["train", *data.splits]))
    if unknown := [split for split in splits if split not in SPLITS]:
        raise SpecError(f"--split {unknown[0]}: expected one of {', '.join(SPLITS)}")
    with progress_bar("videos") as progress:
        synthesize(directory, sizes, source.seed, progress, splits)
    show_text(str(directory))


@app.command("check")
def check_data_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a data set, or an annotation file.")],
    frames: Annotated[Path | None, typer.Option(help="Folder that file names of frames start from.")] = None,
    profile: Profile = None,
    no_annotations: Annotated[
        bool,
        typer.Option("--no-annotations", help="Accept a file without tracks (official validation sets)."),
    ] = False,
) -> None:
    """Find everything that is wrong with a data set."""
    check_and_show(path, frames, profile, no_annotations)


def check_and_show(
    path: Path, frames: Path | None = None, profile: str | None = None, no_annotations: bool = False
) -> None:
    """Check the splits of a data set and show what is found; exits where an error is."""
    from vistrials.commands.display import progress_bar, show_table, show_text
    from vistrials.data.check.dataset import check_dataset
    from vistrials.data.check.report import Report
    from vistrials.data.check.splits import find_between
    from vistrials.formats.annotation_faults import NO_ANNOTATIONS

    sound = True
    reports: list[Report] = []
    for split, annotations, frames_dir in _annotation_files(path, frames, profile):
        # Of a set that is trained on, the official validation file has none.
        needs_annotations = not no_annotations and not (split == "valid" and reports)
        with progress_bar("frames") as progress:
            report = check_dataset(annotations, frames_dir, needs_annotations, progress)
        looked = f"{report.num_frames_read} files read" if frames_dir else "not read: give --frames"
        show_text(
            f"{report.annotations}: {report.num_videos} videos, {report.num_frames} frames ({looked}), "
            f"{report.num_categories} categories, {report.num_tracks} tracks, {report.num_masks} masks"
        )
        if not (report.num_tracks or needs_annotations or no_annotations):
            show_text(NO_ANNOTATIONS)
        if report.problems:
            rows = [(p.severity, str(p.count), p.kind, "\n".join(p.examples)) for p in report.problems]
            show_table(None, ("", "count", "what", "first"), rows)
        sound &= report.ok
        reports.append(report)
    between = [finding for report in reports[1:] for finding in find_between(reports[0], report)]
    if between:
        show_table(None, ("", "what", "where"), [(f.severity, f.kind, str(f)) for f in between])
        sound &= all(finding.severity != "error" for finding in between)
    if not sound:
        raise typer.Exit(EXIT_FAULTS_FOUND)


@app.command("split")
def split_command(
    train_json: Annotated[Path, typer.Argument(metavar="TRAIN.json", help="Annotations to split by video.")],
    fraction: Annotated[float, typer.Option(help="Part of the videos that goes to minival.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of videos.")] = 0,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to (default: beside the input).")
    ] = None,
    force: Replace = False,
) -> None:
    """Write minitrain.json and minival.json: the official validation sets have no public annotations."""
    from vistrials.commands.display import RichReporter, show_text
    from vistrials.data.split import describe_use, split_annotations

    outputs = split_annotations(train_json, fraction, seed, out_dir, replace=force)
    for path in outputs:
        show_text(str(path))
    for line in describe_use(*outputs):
        RichReporter().message(line)


@app.command("stats")
def stats_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a data set, or an annotation file.")],
    form: Format = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write: .md, .csv, .tex or .json.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them: .png, .pdf or .svg.", show_default=False)
    ] = None,
    profile: Profile = None,
    force: Replace = False,
) -> None:
    """Count what a data set holds: videos, tracks per category, lengths, sizes, occlusion."""
    from vistrials.reports.data_statistics import SUFFIXES, TITLE, category_table, render, save_data_statistics, table
    from vistrials.reports.frame_text import choose_format

    chosen = choose_format(form, out)
    keep_files(force, out)
    keep_files(force, plot, suffixes=SUFFIXES)
    from vistrials.commands.display import RichReporter, show_rendered, show_table, show_text
    from vistrials.data.statistics import compute_statistics
    from vistrials.formats.annotations import load_video_set

    sets = {}
    for _, annotations, _ in _annotation_files(path, None, profile):
        video_set = load_video_set(annotations, Path(), require_annotations=False)
        for note in video_set.notes:
            RichReporter().warning(f"{annotations}: {note}")
        name = str(annotations.relative_to(path.resolve())) if path.is_dir() else annotations.name
        sets[name.removesuffix(".gz").removesuffix(".json")] = compute_statistics(video_set)
    if chosen == "table":
        show_table(TITLE, ("", *sets), table(sets))
        show_table("tracks per category", ("", *sets), category_table(sets))
    else:
        show_rendered(render(sets, chosen), out)
    if plot is not None:
        show_text(str(save_data_statistics(sets, plot)))


app.command("export")(export_command)


def _annotation_files(
    path: Path, frames: Path | None, profile: str | None
) -> list[tuple[str | None, Path, Path | None]]:
    """Splits, annotation files and frame folders: of a folder those of train and valid, as far as they are there."""
    if not path.is_dir():
        return [(None, path, frames)]
    from vistrials.data.sources import resolve_split
    from vistrials.specs.data import FileSource
    from vistrials.specs.loading import load_trial

    data = load_trial("baseline", profile or "youtube_vis_2019", all_overrides(path, None, None)).data
    source = data.source
    assert isinstance(source, FileSource)  # a folder makes it so
    if frames is not None:
        named = (str(frames.resolve()),)
        source = source.model_copy(update={"train_frames": named, "valid_frames": named})
        data = data.model_copy(update={"source": source})
    candidates = {"train": source.train_annotations, "valid": source.valid_annotations}
    there = [split for split, names in candidates.items() if any((path / name).is_file() for name in names)]
    return [(split, *resolve_split(data, split)) for split in there or candidates]
