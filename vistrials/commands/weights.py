"""Weights in and out: export-weights."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("export-weights")
def export_weights_command(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    half: Annotated[bool, typer.Option("--half", help="As float16, half the size.")] = False,
) -> None:
    """Copy the weights of a run, with its provenance and figures beside them as .json."""
    from vistrials import pipeline
    from vistrials.display import show_text

    for path in pipeline.export_weights(run_folder, out, half=half):
        show_text(str(path))
