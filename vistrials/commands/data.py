"""Make, convert, check, count and split data sets: data synthesize, convert, check, stats, split."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from vistrials.data.convert.writing import SourceSet


class NumberedLabels(StrEnum):
    OBJECTS = "objects"
    CATEGORIES = "categories"


app = typer.Typer()
convert = typer.Typer()
app.add_typer(
    convert,
    name="convert",
    help="Convert another data set to YouTube-VIS form (docs/own_data.md).",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="New or empty folder, or one with other splits.")]
Split = Annotated[str, typer.Option(help="Name of the annotation file: a run trains on train and scores on valid.")]
Copy = Annotated[bool, typer.Option("--copy", help="Copy the frames rather than make hard links.")]
Trust = Annotated[
    bool, typer.Option("--trust-identities", help="Take tracks as they are where their ids look invented.")
]


@app.command("synthesize")
def synthesize_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Draw the embedded data set into a folder, with the profile's sizes and seed."""
    from vistrials.commands.display import progress_bar, show_text
    from vistrials.data.synthetic.dataset import SyntheticSizes, synthesize
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
    from vistrials.commands.display import progress_bar, show_table, show_text
    from vistrials.data.check.dataset import check_dataset
    from vistrials.data.check.splits import find_between

    sound, reports = True, []
    for annotations, frames_dir in _annotation_files(path, frames, profile):
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
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.", show_default=False)] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them: .png, .pdf or .svg.", show_default=False)
    ] = None,
    profile: Profile = None,
    force: Replace = False,
) -> None:
    """Count what a data set holds: videos, tracks per category, lengths, sizes, occlusion."""
    keep_files(force, out, plot)
    from vistrials.commands.display import show_rendered, show_table, show_text
    from vistrials.data.statistics import compute_statistics
    from vistrials.formats.annotations import load_video_set
    from vistrials.reports.data_statistics import TITLE, category_table, render, save_data_statistics, table
    from vistrials.reports.frame_text import choose_format

    chosen, sets = choose_format(form, out), {}
    for annotations, _ in _annotation_files(path, None, profile):
        video_set = load_video_set(annotations, Path(), require_annotations=False)
        name = str(annotations.relative_to(path.resolve())) if path.is_dir() else annotations.name
        sets[name.removesuffix(".gz").removesuffix(".json")] = compute_statistics(video_set)
    if chosen == "table":
        show_table(TITLE, ("", *sets), table(sets))
        show_table("tracks per category", ("", *sets), category_table(sets))
    else:
        show_rendered(render(sets, chosen), out)
    if plot is not None:
        show_text(str(save_data_statistics(sets, plot)))


@convert.command("davis")
def convert_davis_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    categories: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="davis_semantics.json (default: every object is an 'object')."),
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """DAVIS 2016 and 2017: PNGs whose palette index is the object, 255 is void."""
    from vistrials.data.convert.davis import read_davis

    _convert(read_davis(source, split, categories), out, split, copy, trust)


@convert.command("mots-png")
def convert_mots_command(
    source: Folder, out: Out, split: Split = "train", copy: Copy = False, trust: Trust = False
) -> None:
    """KITTI MOTS and MOTSChallenge: PNGs of class_id * 1000 + instance_id, or their text form."""
    from vistrials.data.convert.mots import read_mots

    _convert(read_mots(source), out, split, copy, trust)


@convert.command("coco-video")
def convert_coco_video_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The annotation file.")],
    out: Out,
    split: Split = "train",
    frames: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where file names start from (default: the file's folder).")
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """COCO with videos (CocoVID, TAO): images with video_id and frame_id, annotations with instance_id or track_id."""
    from vistrials.data.convert.coco_video import read_coco_video

    _convert(read_coco_video(source, frames), out, split, copy, trust)


@convert.command("labelme")
def convert_labelme_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    copy: Copy = False,
    trust: Trust = False,
    merge_labels: Annotated[
        bool, typer.Option("--merge-labels", help="Labels that differ by case or blanks alone are one category.")
    ] = False,
    numbers: Annotated[
        NumberedLabels | None,
        typer.Option(help="cow-1, cow-2: objects of one category, or categories of their own.", show_default=False),
    ] = None,
) -> None:
    """labelme: a folder per video; label and group_id say which object a polygon shows."""
    from vistrials.data.convert.labelme import read_labelme

    source_set = read_labelme(source, merge_labels=merge_labels, numbers=None if numbers is None else numbers.value)
    _convert(source_set, out, split, copy, trust)


def _convert(source: "SourceSet", out: Path, split: str, copy: bool, trust: bool) -> None:
    from vistrials.commands.display import RichReporter, progress_bar, show_text
    from vistrials.data.convert.writing import write_youtube_vis

    with progress_bar("videos") as progress:
        made = write_youtube_vis(source, out, split, copy, progress, trust_identities=trust)
    show_text(
        f"{made.annotations}: {made.num_videos} videos, {made.num_frames} frames, "
        f"{made.num_tracks} tracks, {made.num_masks} masks"
    )
    for line in source.notes.lines():
        RichReporter().message(line)


def _annotation_files(path: Path, frames: Path | None, profile: str | None) -> list[tuple[Path, Path | None]]:
    """Annotation files and their frame folders: of a folder those of train and valid, as far as they are there."""
    if not path.is_dir():
        return [(path, frames)]
    from vistrials.data.sources import resolve_split
    from vistrials.specs.data import FileSource
    from vistrials.specs.loading import load_trial

    data = load_trial("baseline", profile or "youtube_vis_2019", all_overrides(path, None, None)).data
    assert isinstance(data.source, FileSource)  # a folder makes it so
    candidates = {"train": data.source.train_annotations, "valid": data.source.valid_annotations}
    there = [split for split, names in candidates.items() if any((path / name).is_file() for name in names)]
    found = [resolve_split(data, split) for split in there or candidates]
    return [(split.annotations, split.frames_dir) for split in found]
