"""What runs have found: compare, plot-losses, plot-effects, visualize."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import (
    Format,
    Margin,
    Profile,
    Replace,
    Results,
    Seed,
    Truth,
    keep_files,
    predict_missing,
    run_folder,
)
from vistrials.errors import SpecError

app = typer.Typer()

Family = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,...",
        help="Trials, or parts of the table (starts, study, neck, ...), that verdicts are for (default: all).",
        show_default=False,
    ),
]

Against = Annotated[str, typer.Option(metavar="TRIAL", help="Trial that differences are to, and verdicts on.")]


@app.command()
def compare(
    profile: Profile = None,
    split: Annotated[
        str | None, typer.Option(help="Split that the runs predicted (default: their first).", show_default=False)
    ] = None,
    truth: Truth = "visible",
    against: Against = "baseline",
    results: Results = Path("results"),
    form: Format = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Also compare runs that are not comparable, with footnotes.")
    ] = False,
    margin: Margin = None,
    family: Family = None,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", help="Draws of videos for intervals and verdicts; 0 leaves them out.")
    ] = 10_000,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write: .md, .csv, .tex or .json.", show_default=False)
    ] = None,
    force: Replace = False,
) -> None:
    """Table 1: the figures of all trials that have been evaluated, and a verdict on each against the baseline."""
    from vistrials.reports.frame_text import choose_format

    chosen = choose_format(form, out)
    keep_files(force, out)
    from vistrials.commands.display import show_rendered, show_table, show_text
    from vistrials.reports.comparison import compare_runs
    from vistrials.reports.comparison_text import DISPENSABLE, caption, cells, columns, remarks, render
    from vistrials.specs.loading import DEFAULT_PROFILE

    comparison = compare_runs(
        results,
        profile or DEFAULT_PROFILE,
        split,
        truth=truth,
        against=against,
        mix=mix,
        num_draws=bootstrap,
        margin=margin,
        family=_names(family),
    )
    if chosen == "table":
        show_table(caption(comparison), columns(comparison), cells(comparison, "\n"), DISPENSABLE)
        for line in remarks(comparison):
            show_text(line)
    else:
        show_rendered(render(comparison, chosen), out)


@app.command("plot-losses")
def plot_losses_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .pdf, .svg, or .csv.")],
    trials: Annotated[
        list[str] | None, typer.Argument(metavar="[TRIAL]...", help="Trials (default: all that have logged losses).")
    ] = None,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    force: Replace = False,
) -> None:
    """Figure 4: six training losses of each trial as curves, or as CSV."""
    from vistrials.commands.display import show_text
    from vistrials.reports.loss_curves import SUFFIXES, save_loss_curves
    from vistrials.specs.loading import DEFAULT_PROFILE

    keep_files(force, out, suffixes=SUFFIXES)
    show_text(str(save_loss_curves(results, profile or DEFAULT_PROFILE, out, trials or (), seed)))


@app.command("plot-effects")
def plot_effects_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .pdf or .svg.")],
    profile: Profile = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Split; repeatable (default: all).", show_default=False)
    ] = None,
    results: Results = Path("results"),
    by_category: Annotated[
        bool, typer.Option("--by-category", help="Differences by category as colours instead of intervals.")
    ] = False,
    against: Against = "baseline",
    margin: Margin = None,
    family: Family = None,
    force: Replace = False,
) -> None:
    """What trials change against the baseline: intervals, margin and verdicts, or a profile over categories."""
    from vistrials.commands.display import show_text
    from vistrials.reports.effects import SUFFIXES, save_effects
    from vistrials.specs.loading import DEFAULT_PROFILE

    if by_category and (margin is not None or family is not None):
        raise SpecError("--by-category: expected without --margin and --family, since it shows no verdicts")
    keep_files(force, out, suffixes=SUFFIXES)
    path = save_effects(
        results,
        profile or DEFAULT_PROFILE,
        out,
        splits or (),
        by_category=by_category,
        against=against,
        margin=margin,
        family=_names(family),
    )
    show_text(str(path))


@app.command("visualize")
def visualize_command(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Folder of a run (results/PROFILE/TRIAL/seedN), or its trial."),
    ],
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    split: Annotated[
        str | None,
        typer.Option(help="Split that the run predicted (default: its first).", show_default=False),
    ] = None,
    video: Annotated[
        int | None, typer.Option(help="Video id (default: the one with most objects).", show_default=False)
    ] = None,
    num_frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, help="Frames of a film strip, evenly spread (default 4).", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Numbers of the frames to draw instead, from 0.", show_default=False),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--fps", min=0.01, help="Frames per second of a .mp4 or .gif (default 6).", show_default=False),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Leave out predictions with a lower score.")] = 0.3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File: .png or .pdf of a film strip, .mp4 or .gif of the whole video (default: a .png named after "
            "what it shows).",
            show_default=False,
        ),
    ] = None,
    force: Replace = False,
) -> None:
    """Draw frames of a video with the ground truth and what a run predicted.

    --profile, --seed and --results are for a run that is named by its trial; a folder implies them.
    """
    if at is not None and num_frames is not None:
        raise SpecError("--frames: expected none with --at, which names the frames")
    frames = num_frames if at is None else _frame_numbers(at)
    keep_files(force, out)
    folder = run_folder(run, profile, seed, results)
    predict_missing(folder, split)

    from vistrials.commands.display import progress_bar, show_text
    from vistrials.finished_runs.visualization import visualize

    with progress_bar("draw") as progress:
        path = visualize(
            folder,
            out,
            split=split,
            video_id=video,
            frames=frames,
            frames_per_second=rate,
            min_score=min_score,
            replace=force,
            progress=progress,
        )
    show_text(str(path))


def _names(family: str | None) -> list[str]:
    return [name.strip() for name in family.split(",")] if family else []


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise SpecError(f"--at {text}: expected frame numbers, such as 0,7,15") from None
