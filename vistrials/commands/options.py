"""Options that several commands share."""

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vistrials.finished_runs.predictions import ScoredFiles

from vistrials.errors import SpecError, VistrialsError

EXIT_FAULTS_FOUND = 1
EXIT_ERROR = 2

JSON_SUFFIXES = (".json", ".json.gz")


def _complete(kind: str) -> Callable[[str], list[str]]:
    """The names of trials or profiles that begin with what is typed; a broken file among them offers nothing."""

    def names(incomplete: str) -> list[str]:
        from vistrials.specs import loading

        try:
            files = loading.list_trials() if kind == "trial" else loading.list_profiles()
        except VistrialsError:
            return []
        return [file.name for file in files if file.name.startswith(incomplete)]

    return names


Trial = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL", help="Name of a trial, its YAML, or a run's spec.yaml.", autocompletion=_complete("trial")
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        *("--profile", "-p"),
        help="Data set and size of the network (default demo).",
        show_default=False,
        autocompletion=_complete("profile"),
    ),
]
DataDir = Annotated[
    Path | None, typer.Option("--data", help="Folder of a data set in YouTube-VIS form.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change a setting; repeatable.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the run; each seed makes a run of its own.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of all runs.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[
    int, typer.Option(min=1, help="How many devices of that kind to train on, one process each; GPUs predict as well.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="Start from these weights (init.weights); infer, and --set train.max_iters=0, use them unchanged.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="table|markdown|csv|latex|json",
        help="How to write it (default: table; with --out, by the name of the file).",
        show_default=False,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="D",
        show_default=False,
        help="AP, in percent, by which trials may differ and still count as equal (default: 1, or that of a plan).",
    ),
]
Truth = Annotated[
    str,
    typer.Option(
        metavar="visible|amodal", help="Score against what is visible of objects, or whole objects, hidden or not."
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
ValidateEvery = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        show_default=False,
        help="Score every N iterations while it trains, and keep the best weights (train.validation.every_iters).",
    ),
]
Replace = Annotated[bool, typer.Option("--force", help="Replace files that exist already.")]
Force = Annotated[bool, typer.Option("--force", help="Redo stages that are finished.")]


def all_overrides(
    data: Path | None, weights: str | None, overrides: list[str] | None, validate_every: int | None = None
) -> list[str]:
    """What --data, --weights and --validate-every mean, then what --set says."""
    chosen = []
    if data is not None:
        root = json.dumps(str(data.resolve()))
        chosen += [f"data.source={{kind: files, root: {root}}}", "data.splits=[valid]"]
    if weights is not None:
        chosen.append(f"init.weights={json.dumps(weights)}")
    if validate_every is not None:
        chosen.append(f"train.validation.every_iters={validate_every}")
    return [*chosen, *(overrides or [])]


def seed_numbers(text: str) -> list[int]:
    """The numbers of --seeds, each once."""
    numbers = [number.strip() for number in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise SpecError(f"--seeds {text}: expected numbers from 0, such as 0,1,2")
    return list(dict.fromkeys(map(int, numbers)))


def keep_files(force: bool, *outputs: Path | None, suffixes: Collection[str] = ()) -> None:
    """Refuse outputs of another kind than their command writes, that cannot be written, or, without --force, exist.

    Called before any work is done; `suffixes` are those of `formats.files.check_output`.
    """
    from vistrials.formats.files import check_output

    for path in outputs:
        if path is not None:
            check_output(path, suffixes, replace=force)


def find_predictions(
    source: str,
    annotations: Path | None = None,
    split: str | None = None,
    profile: str | None = None,
    seed: int = 0,
    results: Path = Path("results"),
    truth: str = "visible",
) -> "ScoredFiles":
    """Annotations and predictions of what a command is given: a run's folder, a trial, or a predictions file.

    What a run with weights has not predicted yet it predicts now.
    """
    return find_all_predictions([source], annotations, split, profile, seed, results, truth)[0]


def find_all_predictions(
    sources: Sequence[str],
    annotations: Path | None = None,
    split: str | None = None,
    profile: str | None = None,
    seed: int = 0,
    results: Path = Path("results"),
    truth: str = "visible",
) -> list["ScoredFiles"]:
    """`find_predictions` of several; a mistake in one is told before any of them predicts something."""
    from vistrials.finished_runs.predictions import find_predictions, is_predictions_file
    from vistrials.runs.directory import RunDirectory

    found = [s if is_predictions_file(s) else run_folder(s, profile, seed, results) for s in sources]
    splits = {}  # of runs; found once, since the annotations are read whole for it
    for run in (place for place in found if isinstance(place, Path)):
        directory, spec = RunDirectory.open(run)
        splits[run] = directory.find_split(spec, split, annotations)
    for run, of_run in splits.items():
        predict_missing(run, of_run)
    return [
        find_predictions(place, annotations, splits[place] if isinstance(place, Path) else split, truth)
        for place in found
    ]


def predict_missing(run: Path, split: str | None) -> None:
    """Predict a split that a run with weights has not predicted yet; of one without, readers say what to do."""
    from vistrials.runs.directory import RunDirectory

    directory, spec = RunDirectory.open(run)
    split = directory.find_split(spec, split)
    if directory.is_inferred(split) or not directory.is_trained():
        return
    from vistrials import pipeline
    from vistrials.commands.display import RichReporter

    with RichReporter() as reporter:
        reporter.message(f"{run}: split {split} is not predicted yet, and is now")
        pipeline.run(spec, directory.results_dir, directory.seed, stages=["infer"], splits=[split], reporter=reporter)


def run_folder(run: str, profile: str | None, seed: int, results: Path) -> Path:
    """The folder of a run that is named by this folder or by its trial."""
    is_yaml = run.endswith((".yaml", ".yml"))
    if (Path(run) / "spec.yaml").is_file() or ("/" in run and not is_yaml):
        return Path(run)
    from vistrials.runs.directory import RunDirectory
    from vistrials.specs.loading import load_trial

    directory = RunDirectory.for_spec(load_trial(run, profile), results, seed)
    directory.check_there()
    return directory.path
