"""Archives for evaluation servers: submit."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import Profile, Replace, Results, Seed, find_predictions, keep_files

app = typer.Typer()


@app.command("submit")
def submit_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PRED.json", help="Folder of a run (results/PROFILE/TRIAL/seedN), its trial, or predictions."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Archive to write: .zip.")] = Path("results.zip"),
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--gt",
            "--server-annotations",
            metavar="FILE",
            help="The server's annotation file, which lists videos and categories (default: that of the run's split).",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split that the run predicted (default: that of --gt, or its first).", show_default=False),
    ] = None,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    force: Replace = False,
) -> None:
    """Check predictions as a benchmark server would, and write the archive that it takes.

    --split is for runs; --profile, --seed and --results are for a run that is named by its trial.
    """
    from vistrials.commands.display import RichReporter, count, show_text
    from vistrials.evaluation.submission import ARCHIVE_SUFFIX, submit_files

    keep_files(force, out, suffixes=[ARCHIVE_SUFFIX])
    files = find_predictions(source, annotations, split, profile, seed, results)
    submission = submit_files(files.predictions, files.annotations, out, replace=force)
    for fix in submission.fixes:
        RichReporter().warning(f"repaired: {fix}")
    show_text(
        f"{out}: {count(len(submission.rows))} tracks in {count(submission.num_predicted_videos)} of "
        f"{count(submission.num_videos)} videos, {count(out.stat().st_size)} bytes"
    )
