"""What keeps predictions from a higher AP: diagnose."""

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
    find_all_predictions,
    keep_files,
    run_folder,
)
from vistrials.errors import SpecError

app = typer.Typer()


@app.command("diagnose")
def diagnose_command(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN|PRED", help="Folder of a run, or its trial; with --gt a predictions file."),
    ],
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--gt", help="Annotations (.json or .json.gz), for predictions of any program.", show_default=False
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Another run or predictions file to compare with.", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split that the run predicted (default: that of --gt, or its first).", show_default=False),
    ] = None,
    truth: Truth = "visible",
    propagation: Annotated[
        bool, typer.Option("--propagation", help="Also measure the masks that a run's network propagates one frame.")
    ] = False,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Also write everything here: .json or .json.gz.", show_default=False)
    ] = None,
    force: Replace = False,
) -> None:
    """Sort errors by kind and cause, and say how much higher AP would be without each.

    --profile, --seed and --results are for a run that is named by its trial; a folder implies them.
    """
    keep_files(force, json_path, suffixes=JSON_SUFFIXES)
    names = [run, *([against] if against is not None else [])]
    if propagation and (against is not None or ground_truth is not None):
        raise SpecError("--propagation: expected one run, whose network propagates, and nothing to compare it with")
    files = find_all_predictions(names, ground_truth, split, profile, seed, results, truth)

    from vistrials.evaluation.errors.analysis import diagnose_files

    diagnoses = [diagnose_files(*of_name) for of_name in files]

    sizes = dict.fromkeys(f"{found.num_tracks} tracks in {found.num_videos} videos" for found in diagnoses)
    if len(sizes) > 1:
        raise SpecError(f"--against {against}: expected the same annotations, found {' and '.join(sizes)}")

    from vistrials.commands.display import RichReporter, show_table, show_text
    from vistrials.formats.json_file import save_json_atomic
    from vistrials.reports.diagnosis_text import REMARK, tables

    for letter, name, diagnosis in zip("AB", names, diagnoses, strict=False):
        label = f"{letter}: {name}: " if against is not None else ""
        for warning in diagnosis.warnings:
            RichReporter().warning(f"{label}{warning}")
        show_text(f"{label}{diagnosis.num_predictions} predictions, {next(iter(sizes))}")
    for table in tables(diagnoses):
        show_text("")
        show_text(table.title)
        show_table(None, table.columns, table.rows)
        if table.columns[0] == "kind":
            show_text(REMARK)
    ahead = None
    if propagation:
        from vistrials.finished_runs.one_frame_ahead import ahead_rows, measure_ahead

        ahead = measure_ahead(run_folder(run, profile, seed, results), split)
        show_text("")
        show_text("Objects propagated from their true boxes to the next frame: IoU with their true masks, and how many")
        show_table(None, *ahead_rows(ahead))
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        documents = [{"predictions": name, **found.to_dict()} for name, found in zip(names, diagnoses, strict=True)]
        if ahead is not None:
            documents[0]["one_frame_ahead"] = ahead
        save_json_atomic(
            json_path, documents[0] if against is None else dict(zip("AB", documents, strict=True)), indent=2
        )
