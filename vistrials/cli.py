"""Commands: parse, call what does the work, print. The only place that prints.

Heavy imports stay inside the commands, so that help and mistakes answer at once.
"""

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vistrials.errors import SpecError, VistrialsError

if TYPE_CHECKING:
    from vistrials.specs.trial import TrialSpec

EXIT_FAULTS_FOUND = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Turns what a user can mend, and an interrupt, into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        from vistrials.engine.interruption import Interrupted

        try:
            return super().invoke(ctx)
        except (VistrialsError, OSError) as error:
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            _show_error(str(error))
            raise typer.Exit(EXIT_ERROR) from None
        except (Interrupted, KeyboardInterrupt) as error:
            if ctx.params.get("debug"):
                raise
            _show_error(str(error) or "interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _show_error(message: str) -> None:
    from vistrials.display import show_error

    show_error(message)


app = typer.Typer(
    cls=_Commands,
    help="Reproducible trials of video instance segmentation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Make, check and split data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

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
        help="Start from these weights (init.weights); with --set train.max_iters=0 use them as they are.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Redo what is done already.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks instead of one-line errors.")] = False,
) -> None:
    """Reproducible trials of video instance segmentation."""


@app.command("list")
def list_command() -> None:
    """Trials and profiles."""
    from vistrials.display import show_table
    from vistrials.specs.loading import list_profiles, list_trials

    show_table(None, ("trial", ""), [(file.name, file.description) for file in list_trials()])
    show_table("", ("profile", ""), [(file.name, file.description) for file in list_profiles()])


@app.command()
def show(
    trial: Trial,
    profile: Profile = None,
    data: DataDir = None,
    overrides: Overrides = None,
    doc: Annotated[bool, typer.Option("--doc", help="Explain each field.")] = False,
    categories: Annotated[
        int | None,
        typer.Option(min=1, help="Categories to count parameters for (default 40; embedded data 8)."),
    ] = None,
) -> None:
    """A resolved trial: its settings as YAML, what differs from baseline, parameters."""
    from vistrials.display import out, show_parameters, show_table, show_text
    from vistrials.specs.loading import dump_spec, load_trial, trial_differences
    from vistrials.specs.yaml_text import scalar_to_yaml

    spec = load_trial(trial, profile, _all_overrides(data, None, overrides))
    baseline = load_trial("baseline", spec.profile)
    show_text(dump_spec(spec, docs=doc))
    out.print()
    differences = [
        (path, scalar_to_yaml(before), scalar_to_yaml(after))
        for path, before, after in trial_differences(spec, baseline)
    ]
    if differences:
        show_table("against baseline", ("setting", "baseline", spec.name), differences)
    else:
        show_text(f"no setting differs from baseline under {spec.profile}")
    out.print()
    num_categories = categories or _num_categories(spec)
    show_parameters(
        _count_parameters(spec, num_categories), _count_parameters(baseline, num_categories), num_categories
    )


@app.command()
def check(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Trials or profiles; all without.")
    ] = None,
) -> None:
    """Validate trials under all profiles."""
    from vistrials.display import show_error, show_text
    from vistrials.specs.loading import list_profiles, list_trials, load_trial

    trials, profiles = [file.name for file in list_trials()], [file.name for file in list_profiles()]
    pairs = [(trial, profile) for trial in trials for profile in profiles]
    if files:
        pairs = [pair for file in files for pair in _pairs_of_file(file, trials, profiles)]
    mistakes: dict[str, None] = {}
    for trial, profile in pairs:
        try:
            load_trial(trial, profile)
        except VistrialsError as error:
            mistakes[str(error)] = None
    for mistake in mistakes:
        show_error(mistake)
    if mistakes:
        raise typer.Exit(EXIT_ERROR)
    show_text(f"{len(pairs)} combinations of trial and profile are valid")


def _add_pipeline_command(name: str, stages: tuple[str, ...], help_text: str) -> None:
    """A command for stages of the pipeline; all of them say where and how to run in the same way."""

    @app.command(name, help=help_text)
    def command(
        trial: Trial,
        profile: Profile = None,
        data: DataDir = None,
        seed: Seed = 0,
        results: Results = Path("results"),
        device: Device = "auto",
        devices: Devices = 1,
        weights: Weights = None,
        overrides: Overrides = None,
        force: Force = False,
    ) -> None:
        from vistrials.specs.loading import load_trial

        changes = _all_overrides(data, weights, overrides)
        spec = load_trial(trial, profile, changes)  # before torch is imported: a mistake answers at once

        from vistrials import pipeline
        from vistrials.display import RichReporter, show_figures, show_text
        from vistrials.reports.comparison import FIGURES

        with RichReporter() as reporter:
            directory = pipeline.run(
                spec,
                results,
                seed,
                device=device,
                num_devices=devices,
                force=force,
                stages=stages,
                overrides=changes,
                reporter=reporter,
            )
        show_text(str(directory.path))
        scored = [split for split in spec.data.splits if directory.is_evaluated(split)]
        if scored and "evaluate" in stages:
            metrics = {split: directory.read_metrics(split) for split in scored}
            show_figures(
                "split", {split: {name: of_split[name] for name in FIGURES} for split, of_split in metrics.items()}
            )


_add_pipeline_command(
    "run",
    ("train", "infer", "evaluate"),
    "Train, infer and evaluate a trial, as far as that is not done.",
)
_add_pipeline_command("train", ("train",), "Train a trial, going on where it was interrupted.")
_add_pipeline_command("infer", ("infer",), "Predict the splits of a trained trial.")


@app.command("run-all")
def run_all_command(
    trials: Annotated[list[str] | None, typer.Argument(metavar="[TRIAL]...", help="Trials; all without.")] = None,
    profile: Profile = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="Seeds; another one, another run.")] = "0",
    data: DataDir = None,
    results: Results = Path("results"),
    device: Device = "auto",
    overrides: Overrides = None,
) -> None:
    """Run trials in the order in which they start from each other, as far as they are not done.

    One that fails does not stop the others.
    """
    numbers = _seed_numbers(seeds)
    from vistrials import study
    from vistrials.display import RichReporter, show_error, show_text
    from vistrials.specs.loading import list_trials, load_trial

    changes = _all_overrides(data, None, overrides)
    specs = [load_trial(trial, profile, changes) for trial in trials or [file.name for file in list_trials()]]
    failures = study.run_all(specs, results, numbers, device=device, overrides=changes, open_reporter=RichReporter)
    total = len({spec.name for spec in specs}) * len(numbers)
    show_text(f"{total - len(failures)} of {total} runs are done")
    for failure in failures:
        show_error(f"{failure.trial} seed {failure.seed}: {failure.reason}")
    if failures:
        show_text("the same command goes on with the others; `vistrials run` shows in full how one of them crashes")
        raise typer.Exit(EXIT_FAULTS_FOUND)


@app.command()
def evaluate(
    ground_truth: Annotated[Path, typer.Argument(metavar="GT", help="Annotations (.json or .json.gz).")],
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="Predictions (.json or .json.gz).")],
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Score predictions, of this or any other program, against annotations."""
    from vistrials.display import RichReporter, percent, show_figures, show_table, show_text
    from vistrials.evaluation.youtube_vis import evaluate_files

    result = evaluate_files(ground_truth, predictions)
    for warning in result.warnings:
        RichReporter().warning(warning)
    show_text(f"{result.num_predictions} predictions, {result.num_tracks} tracks, {result.num_videos} videos")
    show_figures("", {"all": result.figures})
    show_table("", ("category", "AP"), [(name, percent(ap)) for name, ap in result.ap_per_category.items()])
    if json_path is not None:
        json_path.write_text(json.dumps(result.to_dict(), indent=2) + "\n")


@app.command()
def visualize(
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
    num_frames: Annotated[int, typer.Option("--frames", min=1, help="Frames, evenly spread.")] = 4,
    at: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="These frames instead, from 0.", show_default=False),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Leave predictions below out.")] = 0.3,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="PNG (default: named after what it shows).", show_default=False),
    ] = None,
) -> None:
    """Draw frames of a video with the ground truth and what a run predicted.

    Profile, seed and results folder matter where a trial is named; a folder says them itself.
    """
    frames = num_frames if at is None else _frame_numbers(at)
    folder = _run_folder(run, profile, seed, results)

    from vistrials import pipeline
    from vistrials.display import show_text

    path = pipeline.visualize(folder, out, split=split, video_id=video, frames=frames, min_score=min_score)
    show_text(str(path))


@app.command()
def compare(
    profile: Profile = None,
    split: Annotated[
        str | None, typer.Option(help="Split that the runs predicted (default: their first).", show_default=False)
    ] = None,
    results: Results = Path("results"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="table|markdown|csv|latex|json",
            help="How to write it (default: table; with --out, by the name of the file).",
            show_default=False,
        ),
    ] = None,
    mix: Annotated[bool, typer.Option("--mix", help="Compare what is not comparable, too, with footnotes.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write.", show_default=False)] = None,
) -> None:
    """Table 1: the figures of all trials that have been evaluated, and how far they are from the baseline's."""
    from vistrials.display import show_table, show_text
    from vistrials.reports.comparison import compare_runs
    from vistrials.reports.comparison_text import COLUMNS, caption, cells, choose_format, remarks, render
    from vistrials.specs.loading import DEFAULT_PROFILE

    chosen = choose_format(form, out)
    comparison = compare_runs(results, profile or DEFAULT_PROFILE, split, mix=mix)
    if chosen == "table":
        show_table(caption(comparison), COLUMNS, cells(comparison))
        for line in remarks(comparison):
            show_text(line)
    elif out is None:
        show_text(render(comparison, chosen))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(render(comparison, chosen), encoding="utf-8")
        show_text(str(out))


@app.command("plot-losses")
def plot_losses_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .png, .pdf, .svg, or .csv.")],
    trials: Annotated[
        list[str] | None, typer.Argument(metavar="[TRIAL]...", help="Trials; all that have logged losses without.")
    ] = None,
    profile: Profile = None,
    seed: Seed = 0,
    results: Results = Path("results"),
) -> None:
    """Figure 4: how six losses fall in the training of trials, or the same as CSV."""
    from vistrials.display import show_text
    from vistrials.reports.loss_curves import save_loss_curves
    from vistrials.specs.loading import DEFAULT_PROFILE

    show_text(str(save_loss_curves(results, profile or DEFAULT_PROFILE, out, trials or (), seed)))


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


@app.command()
def version() -> None:
    """Versions of vistrials and of what its figures depend on."""
    import platform
    from importlib.metadata import version as installed

    from vistrials import __version__
    from vistrials.display import show_text

    libraries = ", ".join(f"{name} {installed(name)}" for name in ("torch", "torchvision", "numpy"))
    show_text(f"vistrials {__version__} (python {platform.python_version()}, {libraries})")


@data_app.command("synthesize")
def synthesize_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Empty or new folder.")],
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Draw the embedded data set into a folder; sizes and seed are the profile's."""
    from vistrials.data.synthetic import SyntheticSizes, synthesize
    from vistrials.display import progress_bar, show_text
    from vistrials.specs.data import SyntheticSource
    from vistrials.specs.loading import load_trial

    source = load_trial("baseline", profile, overrides or ()).data.source
    if not isinstance(source, SyntheticSource):
        raise SpecError(f"profile {profile}: expected data.source of kind synthetic, found {source.kind}")
    sizes = SyntheticSizes(source.train, source.minival, source.occlusion)
    with progress_bar("videos") as progress:
        synthesize(directory, sizes, source.seed, progress)
    show_text(str(directory))


@data_app.command("check")
def check_data_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a data set, or an annotation file.")],
    frames: Annotated[Path | None, typer.Option(help="Frame folder of an annotation file.")] = None,
    profile: Profile = None,
    no_annotations: Annotated[
        bool,
        typer.Option("--no-annotations", help="Accept a file without tracks (official validation sets)."),
    ] = False,
) -> None:
    """Find everything that is wrong with a data set."""
    from vistrials.data.check import check_dataset
    from vistrials.data.sources import resolve_split
    from vistrials.display import progress_bar, show_table, show_text
    from vistrials.specs.loading import load_trial

    if path.is_dir():
        overrides = _all_overrides(path, None, None)
        data = load_trial("baseline", profile or "youtube_vis_2019", overrides).data
        found = [resolve_split(data, split) for split in ("train", "valid")]
        parts: list[tuple[Path, Path | None]] = [(split.annotations, split.frames_dir) for split in found]
    else:
        parts = [(path, frames)]
    sound = True
    for annotations, frames_dir in parts:
        with progress_bar("frames") as progress:
            report = check_dataset(annotations, frames_dir, not no_annotations, progress)
        looked = f"{report.num_frames_read} files read" if frames_dir else "not read: give --frames"
        show_text(
            f"{report.annotations}: {report.num_videos} videos, {report.num_frames} frames ({looked}), "
            f"{report.num_categories} categories, {report.num_tracks} tracks, {report.num_masks} masks"
        )
        if report.problems:
            rows = [(p.severity, str(p.count), p.kind, "\n".join(p.examples)) for p in report.problems]
            show_table(None, ("", "count", "what", "first"), rows)
        sound &= report.ok
    if not sound:
        raise typer.Exit(EXIT_FAULTS_FOUND)


@data_app.command("split")
def split_command(
    train_json: Annotated[Path, typer.Argument(metavar="TRAIN.json", help="Annotations to split by video.")],
    fraction: Annotated[float, typer.Option(help="Part of the videos that goes to minival.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to (default: beside the input).")
    ] = None,
) -> None:
    """Write minitrain.json and minival.json: the official validation sets have no public annotations."""
    from vistrials.data.split import split_annotations
    from vistrials.display import show_text

    for path in split_annotations(train_json, fraction, seed, out_dir):
        show_text(str(path))


def _all_overrides(data: Path | None, weights: str | None, overrides: list[str] | None) -> list[str]:
    """What --data and --weights mean, then what --set says."""
    chosen = []
    if data is not None:
        root = json.dumps(str(data.resolve()))
        chosen += [f"data.source={{kind: files, root: {root}}}", "data.splits=[valid]"]
    if weights is not None:
        chosen.append(f"init.weights={json.dumps(weights)}")
    return [*chosen, *(overrides or [])]


def _frame_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise SpecError(f"--at {text}: expected frame numbers, such as 0,7,15") from None


def _seed_numbers(text: str) -> list[int]:
    numbers = [number.strip() for number in text.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise SpecError(f"--seeds {text}: expected numbers from 0, such as 0,1,2")
    return list(dict.fromkeys(map(int, numbers)))


def _run_folder(run: str, profile: str | None, seed: int, results: Path) -> Path:
    """The folder of a run that is given as such, or by its trial."""
    is_yaml = run.endswith((".yaml", ".yml"))
    if (Path(run) / "spec.yaml").is_file() or ("/" in run and not is_yaml):
        return Path(run)
    from vistrials.runs.directory import RunDirectory
    from vistrials.specs.loading import load_trial

    return RunDirectory.for_spec(load_trial(run, profile), results, seed).path


def _pairs_of_file(file: str, trials: list[str], profiles: list[str]) -> list[tuple[str, str]]:
    if Path(file).parent.name == "profiles":
        return [(trial, file) for trial in trials]
    return [(file, profile) for profile in profiles]


def _num_categories(spec: "TrialSpec") -> int:
    from vistrials.data.synthetic_shapes import CATEGORY_NAMES

    return len(CATEGORY_NAMES) if spec.data.source.kind == "synthetic" else 40


def _count_parameters(spec: "TrialSpec", num_categories: int) -> dict[str, int]:
    import torch

    from vistrials.models.objprop import build_model

    # Shapes are all that counting needs.
    with torch.device("meta"):
        model = build_model(spec.model, num_categories, spec.released_behaviour)
    return {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}


def main() -> None:
    """Entry point of the `vistrials` command."""
    app()


if __name__ == "__main__":
    main()
