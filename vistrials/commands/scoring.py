"""Score predictions, of this or any other program: evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.options import (
    JSON_SUFFIXES,
    Profile,
    Replace,
    Results,
    Seed,
    Truth,
    find_predictions,
    keep_files,
)
from vistrials.errors import SpecError

app = typer.Typer()


@app.command()
def evaluate(
    ground_truth: Annotated[Path, typer.Argument(metavar="GT", help="Annotations (.json or .json.gz).")],
    predictions: Annotated[
        str,
        typer.Argument(metavar="PRED|RUN", help="Predictions (.json or .json.gz), a run's folder, or its trial."),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Split that a run predicted (default: that of GT, or its first).", show_default=False),
    ] = None,
    truth: Truth = "visible",
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    json_path: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Also write the figures here (.json, .json.gz), with AP per category and threshold, AR per video.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse tracks whose frames or mask sizes are not their video's.")
    ] = False,
    tracking: Annotated[bool, typer.Option("--tracking", help="HOTA, DetA, AssA and IDF1 as well.")] = False,
    min_score: Annotated[
        float | None,
        typer.Option(help="With --tracking: leave out predictions with a lower score, since all count the same there."),
    ] = None,
    force: Replace = False,
) -> None:
    """Score predictions, of this or any other program, against annotations.

    --profile, --seed and --results are for a run that is named by its trial; a folder implies them.
    """
    if min_score is not None and not tracking:
        raise SpecError("--min-score: expected only with --tracking; AP uses all predictions, by falling score")
    keep_files(force, json_path, suffixes=JSON_SUFFIXES)
    files = find_predictions(predictions, ground_truth, split, profile, seed, results, truth)
    from vistrials.commands.display import RichReporter, percent, show_figures, show_table, show_text
    from vistrials.evaluation.average_precision import NOT_COUNTED
    from vistrials.evaluation.track_files import naming_files, read_files
    from vistrials.evaluation.youtube_vis import evaluate as evaluate_tracks
    from vistrials.formats.json_file import save_json_atomic

    annotations, predicted = read_files(*files)
    with naming_files(*files):
        result = evaluate_tracks(annotations, predicted, strict=strict)
    for warning in result.warnings:
        RichReporter().warning(warning)
    show_text(f"{result.num_predictions} predictions, {result.num_tracks} tracks, {result.num_videos} videos")
    show_figures("", {"all": result.figures})
    scored = {name: ap for name, ap in result.ap_per_category.items() if ap != NOT_COUNTED}
    show_table("", ("category", "AP"), [(name, percent(ap)) for name, ap in scored.items()])
    if without := len(result.ap_per_category) - len(scored):
        show_text(f"{without} of {len(result.ap_per_category)} categories have no true track to find")
    content = result.to_dict()
    if tracking:
        from vistrials.evaluation.hota import evaluate_tracking

        with naming_files(*files):
            tracked = evaluate_tracking(annotations, predicted, min_score=min_score)
        averages = {"categories": tracked.class_averaged, "detections": tracked.detection_averaged}
        show_text(f"tracking, {tracked.num_predictions} predictions")
        show_figures("mean over", averages)
        content["tracking"] = {"min_score": min_score, **averages}
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        save_json_atomic(json_path, content, indent=2)
