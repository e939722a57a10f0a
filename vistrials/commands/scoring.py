"""Score predictions, of this or any other program: evaluate."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def evaluate(
    ground_truth: Annotated[Path, typer.Argument(metavar="GT", help="Annotations (.json or .json.gz).")],
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="Predictions (.json or .json.gz).")],
    json_path: Annotated[
        Path | None,
        typer.Option("--json", help="Also write the figures here, with AP per category and threshold, AR per video."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse tracks whose frames or mask sizes are not their video's.")
    ] = False,
) -> None:
    """Score predictions, of this or any other program, against annotations."""
    from vistrials.display import RichReporter, percent, show_figures, show_table, show_text
    from vistrials.evaluation.youtube_vis import evaluate_files
    from vistrials.structures.json_file import save_json_atomic

    result = evaluate_files(ground_truth, predictions, strict=strict)
    for warning in result.warnings:
        RichReporter().warning(warning)
    show_text(f"{result.num_predictions} predictions, {result.num_tracks} tracks, {result.num_videos} videos")
    show_figures("", {"all": result.figures})
    show_table("", ("category", "AP"), [(name, percent(ap)) for name, ap in result.ap_per_category.items()])
    if json_path is not None:
        save_json_atomic(json_path, result.to_dict(), indent=2)
