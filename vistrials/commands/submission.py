"""Archives for evaluation servers: submit."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import Profile, Replace, Results, Seed, run_folder
from vistrials.errors import SpecError

app = typer.Typer()


@app.command("submit")
def submit_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PRED.json", help="Folder of a run (results/PROFILE/TRIAL/seedN), its trial, or predictions."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Archive to write.")] = Path("results.zip"),
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
        typer.Option(help="Split that the run predicted (default: its first).", show_default=False),
    ] = None,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    force: Replace = False,
) -> None:
    """Check predictions as a benchmark server would, and write the archive that it takes.

    --split is for runs; --profile, --seed and --results are for a run that is named by its trial.
    """
    is_file = source.endswith((".json", ".json.gz"))
    if is_file and annotations is None:
        raise SpecError(f"{source}: predictions are checked against the server's annotation file: name it with --gt")
    if is_file and split is not None:
        raise SpecError(f"{source}: --split is for runs; a file holds the predictions of one split")

    from vistrials.commands.display import RichReporter, count, show_text

    if is_file:
        assert annotations is not None
        from vistrials.evaluation.submission import submit_files

        submission = submit_files(source, annotations, out, replace=force)
    else:
        folder = run_folder(source, profile, seed, results)

        from vistrials.finished_runs.submission import submit_run

        submission = submit_run(folder, out, split=split, annotations=annotations, replace=force)
    for fix in submission.fixes:
        RichReporter().warning(f"repaired: {fix}")
    show_text(
        f"{out}: {count(len(submission.rows))} tracks in {count(submission.num_predicted_videos)} of "
        f"{count(submission.num_videos)} videos, {count(out.stat().st_size)} bytes"
    )
