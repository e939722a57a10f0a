"""What several commands are told in the same way."""

import json
from pathlib import Path
from typing import Annotated

import typer

EXIT_FAULTS_FOUND = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

Trial = Annotated[str, typer.Argument(metavar="TRIAL", help="Name of a trial, its YAML, or a run's spec.yaml.")]
Profile = Annotated[
    str | None,
    typer.Option("--profile", "-p", help="Data set and size of the network (default demo).", show_default=False),
]
DataDir = Annotated[
    Path | None, typer.Option("--data", help="Folder of a data set in YouTube-VIS form.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change a setting; repeatable.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the run; another seed, another run.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of all runs.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[int, typer.Option(min=1, help="Devices of that kind to train on, a process each.")]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="Start from these weights (init.weights); infer, and --set train.max_iters=0, take them as they are.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="P",
        show_default=False,
        help="Arithmetic of inference (inference.precision): 32-true, bf16-mixed or 16-mixed.",
    ),
]
Replace = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]
Force = Annotated[bool, typer.Option("--force", help="Redo what is done already.")]


def all_overrides(data: Path | None, weights: str | None, overrides: list[str] | None) -> list[str]:
    """What --data and --weights mean, then what --set says."""
    chosen = []
    if data is not None:
        root = json.dumps(str(data.resolve()))
        chosen += [f"data.source={{kind: files, root: {root}}}", "data.splits=[valid]"]
    if weights is not None:
        chosen.append(f"init.weights={json.dumps(weights)}")
    return [*chosen, *(overrides or [])]


def run_folder(run: str, profile: str | None, seed: int, results: Path) -> Path:
    """The folder of a run that is given as such, or by its trial."""
    is_yaml = run.endswith((".yaml", ".yml"))
    if (Path(run) / "spec.yaml").is_file() or ("/" in run and not is_yaml):
        return Path(run)
    from vistrials.runs.directory import RunDirectory
    from vistrials.specs.loading import load_trial

    return RunDirectory.for_spec(load_trial(run, profile), results, seed).path
