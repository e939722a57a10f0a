"""Convert data sets of other forms: data convert, a command per form."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vistrials.data.convert.writing import SourceSet

convert = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.")]


def _can_be_written(folder: Path) -> Path:
    """A folder to write to, refused while the command line is read: readers may take long over the source."""
    from vistrials.formats.files import check_folder

    check_folder(folder if folder.is_dir() else folder.parent)
    return folder


Out = Annotated[
    Path,
    typer.Option(
        *("--out", "-o"),
        metavar="DIR",
        help="New or empty folder, or one with other splits.",
        callback=_can_be_written,
    ),
]
Split = Annotated[str, typer.Option(help="Name of the annotation file: a run trains on train and scores on valid.")]
AnnotationFile = Annotated[Path, typer.Argument(metavar="SRC", help="The annotation file.")]
Frames = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where file names start from (default: the file's folder).")
]
ObjectCategories = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON {video: {object: category}} (default: every object is an 'object')."),
]
Copy = Annotated[bool, typer.Option("--copy", help="Copy the frames rather than make hard links.")]
Trust = Annotated[
    bool, typer.Option("--trust-identities", help="Take tracks as they are where their ids look invented.")
]


class NumberedLabels(StrEnum):
    """What a number at the end of labels tells apart."""

    OBJECTS = "objects"
    CATEGORIES = "categories"


@convert.command("davis")
def convert_davis_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    categories: ObjectCategories = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """DAVIS 2016 and 2017: PNGs whose palette index is the object, 255 is void."""
    from vistrials.data.convert.davis import read_davis

    _convert(read_davis(source, split, categories), out, split, copy, trust)


@convert.command("mots")
@convert.command("mots-png", hidden=True)
def convert_mots_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    categories: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON {class id: name} (default: SRC's own, or 1 car, 2 pedestrian)."),
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """KITTI MOTS and MOTSChallenge, of any classes: PNGs of class_id * 1000 + instance_id, or their text form."""
    from vistrials.data.convert.mots import read_mots

    _convert(read_mots(source, categories), out, split, copy, trust)


@convert.command("coco-video")
def convert_coco_video_command(
    source: AnnotationFile,
    out: Out,
    split: Split = "train",
    frames: Frames = None,
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
    """labelme: a folder per video; label and group_id say which object a polygon or AI mask shows."""
    from vistrials.data.convert.labelme import read_labelme

    source_set = read_labelme(source, merge_labels=merge_labels, numbers=None if numbers is None else numbers.value)
    _convert(source_set, out, split, copy, trust)


@convert.command("cvat")
def convert_cvat_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="annotations.xml, its folder, or a folder of those.")],
    out: Out,
    split: Split = "train",
    frames: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Folder of images, or the video (default: beside the XML).")
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """CVAT for video 1.1: tracks of polygons and masks, with images or the video file."""
    from vistrials.data.convert.cvat import read_cvat

    _convert(read_cvat(source, frames), out, split, copy, trust)


@convert.command("cvat-coco")
def convert_cvat_coco_command(
    source: AnnotationFile,
    out: Out,
    split: Split = "train",
    frames: Frames = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """CVAT's COCO 1.0 export of a video: attributes.track_id says which object a polygon or mask shows."""
    from vistrials.data.convert.cvat_coco import read_cvat_coco

    _convert(read_cvat_coco(source, frames), out, split, copy, trust)


@convert.command("burst")
def convert_burst_command(
    source: AnnotationFile,
    out: Out,
    split: Split = "train",
    frames: Frames = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """BURST (TAO with masks): one JSON of sequences; --frames holds <dataset>/<sequence>/."""
    from vistrials.data.convert.burst import read_burst

    _convert(read_burst(source, frames), out, split, copy, trust)


@convert.command("vipseg")
def convert_vipseg_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    categories: Annotated[
        Path | None, typer.Option(metavar="FILE", help="panoVIPSeg_categories.json (default: SRC's own).")
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """VIPSeg and panoptic videos of its form: things become tracks, stuff is left out."""
    from vistrials.data.convert.vipseg import read_vipseg

    _convert(read_vipseg(source, split, categories), out, split, copy, trust)


@convert.command("sa-v")
def convert_sa_v_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    masklets: Annotated[str, typer.Option(metavar="manual|auto", help="Which masklets to take.")] = "manual",
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """SA-V: masklets in JSON beside mp4 files (train), or folders of PNGs (validation, test)."""
    from vistrials.data.convert.sa_v import read_sa_v

    _convert(read_sa_v(source, masklets), out, split, copy, trust)


@convert.command("youtube-vos")
def convert_youtube_vos_command(
    source: Folder, out: Out, split: Split = "train", copy: Copy = False, trust: Trust = False
) -> None:
    """YouTube-VOS: palette PNGs of object numbers, categories in meta.json."""
    from vistrials.data.convert.youtube_vos import read_youtube_vos

    _convert(read_youtube_vos(source), out, split, copy, trust)


@convert.command("youtube-vis")
def convert_youtube_vis_command(
    source: AnnotationFile,
    out: Out,
    split: Split = "train",
    frames: Frames = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """YouTube-VIS form with frames elsewhere: YouTube-VIS, OVIS, LV-VIS, UVO."""
    from vistrials.data.convert.youtube_vis import read_youtube_vis

    _convert(read_youtube_vis(source, frames, split), out, split, copy, trust)


@convert.command("masks")
def convert_masks_command(
    source: Folder,
    out: Out,
    split: Split = "train",
    categories: ObjectCategories = None,
    frames: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Holds <video>/ with the frames (default: SRC/JPEGImages).")
    ] = None,
    copy: Copy = False,
    trust: Trust = False,
) -> None:
    """A folder of PNGs per object: <video>/<object>/00000.png; objects may overlap."""
    from vistrials.data.convert.masks import read_masks

    _convert(read_masks(source, categories, frames), out, split, copy, trust)


@convert.command("video")
def convert_video_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A video file, or a folder of them.")],
    out: Out,
    split: Split = "valid",
    every: Annotated[int, typer.Option(metavar="N", help="Keep one frame in N.")] = 1,
    categories: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Annotation file to take categories from (default: DIR's own).")
    ] = None,
) -> None:
    """Video files without annotations: their frames, to infer on or to annotate."""
    from vistrials.data.convert.video import read_videos

    _convert(read_videos(source, every, categories), out, split, copy=False)


def _convert(source: "SourceSet", out: Path, split: str, copy: bool, trust: bool = False) -> None:
    from vistrials.commands.display import RichReporter, progress_bar, show_text
    from vistrials.data.convert.writing import write_youtube_vis
    from vistrials.data.split import describe_unused

    with progress_bar("videos") as progress:
        made = write_youtube_vis(source, out, split, copy, progress, trust_identities=trust)
    show_text(
        f"{made.annotations}: {made.num_videos} videos, {made.num_frames} frames, "
        f"{made.num_tracks} tracks, {made.num_masks} masks"
    )
    for line in source.notes.lines():
        RichReporter().message(line)
    if unused := describe_unused(made.annotations):
        RichReporter().warning(unused)
