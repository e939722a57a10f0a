"""Trials and profiles: list, show, check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vistrials.errors import VistrialsError

if TYPE_CHECKING:
    from vistrials.specs.trial import TrialSpec

from vistrials.commands.options import EXIT_ERROR, DataDir, Overrides, Profile, Trial, all_overrides

app = typer.Typer()


@app.command("list")
def list_command() -> None:
    """Trials and profiles."""
    from vistrials.commands.display import show_table
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
    """A resolved trial: its settings as YAML, what differs from baseline, parameters, and what it starts from."""
    from vistrials.commands.display import out, show_parameters, show_table, show_text
    from vistrials.specs.loading import dump_spec, load_trial, trial_differences
    from vistrials.specs.yaml_text import scalar_to_yaml

    settings = all_overrides(data, None, overrides)
    spec = load_trial(trial, profile, settings)
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
    out.print()
    show_table("starts from", ("trial", "weights", "from", "licence"), _starts(spec, settings))


@app.command()
def check(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Trials or profiles (default: all).")
    ] = None,
) -> None:
    """Validate trials under all profiles."""
    from vistrials.commands.display import show_error, show_text
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


def _pairs_of_file(file: str, trials: list[str], profiles: list[str]) -> list[tuple[str, str]]:
    if Path(file).parent.name == "profiles":
        return [(trial, file) for trial in trials]
    return [(file, profile) for profile in profiles]


def _num_categories(spec: "TrialSpec") -> int:
    from vistrials.data.synthetic.shapes import CATEGORY_NAMES

    return len(CATEGORY_NAMES) if spec.data.source.kind == "synthetic" else 40


def _starts(spec: "TrialSpec", settings: list[str]) -> list[tuple[str, str, str, str]]:
    """Rows by trial: the one asked for, and those that it starts from, to the first."""
    from vistrials.specs.loading import load_trial
    from vistrials.stages.starts import passed_on
    from vistrials.weights.starts import describe_starts

    rows, seen = [], set()
    while spec.name not in seen:
        seen.add(spec.name)
        rows += [(spec.name, *start) for start in describe_starts(spec.init, spec.model)]
        if spec.init.weights is not None or spec.init.from_trial is None:
            break
        spec = load_trial(spec.init.from_trial, spec.profile, passed_on(settings))
    return rows


def _count_parameters(spec: "TrialSpec", num_categories: int) -> dict[str, int]:
    import torch

    from vistrials.models.objprop import build_model

    # Shapes are all that counting needs.
    with torch.device("meta"):
        model = build_model(spec.model, num_categories)
    return {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
