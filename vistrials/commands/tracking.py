"""One's own videos: track."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import Device, Overrides, Profile, Replace, Results, Seed, run_folder
from vistrials.errors import SpecError

app = typer.Typer()


@app.command("track")
def track_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Video (mp4, mov, webm, gif, ..), folder of images, pattern, index of a camera, or - for a stream.",
        ),
    ],
    out: Annotated[
        list[str],
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="What to write: .mp4 with overlays, .json (YouTube-VIS results), .csv of boxes, or a folder of "
            "palette PNGs (a name without suffix, or with / at its end); repeatable.",
        ),
    ],
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Track with this run: its folder (results/PROFILE/TRIAL/seedN), or its trial.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Track with this file of weights, which names its network.", show_default=False
        ),
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(help="Whose network --weights holds, where the file does not say it.", show_default=False),
    ] = None,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    score: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Overlays, masks and boxes show an object in the frames in which its own score is this or more; the "
            ".json holds the tracks whose mean score is.",
        ),
    ] = 0.3,
    rate: Annotated[
        float | None,
        typer.Option(
            "--fps", min=0.01, help="Images per second of folders of images (default 24).", show_default=False
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after so many frames of each.", show_default=False)
    ] = None,
    device: Device = "auto",
    overrides: Overrides = None,
    force: Replace = False,
) -> None:
    """Track the objects of your own videos with trained weights; no annotations are needed.

    Images of one folder are one video. Of several videos, each output has the video's name in it: out.mp4 becomes
    out-NAME.mp4, masks/ becomes masks/NAME/. Ctrl-C ends at the next frame with whole files.
    """
    if (run is None) == (weights is None):
        found = "neither" if run is None else "both"
        raise SpecError(
            f"track: expected --run RUN (results/PROFILE/TRIAL/seedN, or its trial) or --weights FILE, found {found}"
        )
    if run is not None and trial is not None:
        raise SpecError("--trial: expected only with --weights; --run says whose network it is")

    from vistrials.own_video.names import check_outputs, name_outputs
    from vistrials.video_files.sources import find_sources

    sources = find_sources(inputs)
    places = name_outputs(out, sources)
    check_outputs([place for of_source in places for place in of_source], replace=force)
    if rate is not None and all(source.kind != "images" for source in sources):
        raise SpecError("--fps: expected only with images; videos have their own times")

    from vistrials.own_video.network import find_run, find_weights

    changes = overrides or []
    if run is not None:
        found_weights = find_run(run_folder(run, profile, seed, results), changes)
    else:
        found_weights = find_weights(str(weights), trial, profile, changes)

    from vistrials.commands.display import RichReporter, count, show_text
    from vistrials.own_video.network import load_network
    from vistrials.own_video.tracking import track
    from vistrials.video_files.reading import IMAGES_PER_SECOND

    network = load_network(found_weights, device)
    with RichReporter() as reporter:
        summaries = track(
            sources,
            places,
            network,
            min_score=score,
            images_per_second=IMAGES_PER_SECOND if rate is None else Fraction(rate).limit_denominator(1001),
            max_frames=max_frames,
            reporter=reporter,
        )
    for summary, of_source in zip(summaries, places, strict=True):
        show_text(
            f"{summary.name}: {count(summary.num_frames)} frames, {count(summary.num_objects)} objects, "
            f"{summary.num_frames / summary.seconds:.1f} frames per second"
        )
        for place in of_source:
            show_text(str(place.path))
