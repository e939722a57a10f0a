"""Weights in and out: import-checkpoint, export-weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vistrials.commands.options import DataDir, Overrides, Profile, Replace, all_overrides, keep_files
from vistrials.errors import CheckpointError

if TYPE_CHECKING:
    from vistrials.weights.foreign import Fault, ForeignCheckpoint

app = typer.Typer()


@app.command("import-checkpoint")
def import_checkpoint_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Checkpoint of the original program or of torchvision.")],
    trial: Annotated[str, typer.Option("--trial", help="Trial that will start from it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors).")],
    profile: Profile = None,
    data: DataDir = None,
    categories: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...|FILE.json",
            show_default=False,
            help="Category names in order, or an annotation file that lists them (default: those of the trial's data).",
        ),
    ] = None,
    overrides: Overrides = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Part of the file to take, such as model_ema (default: the trained network).", show_default=False
        ),
    ] = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Load what fits and leave the rest at fresh random numbers.")
    ] = False,
    force: Replace = False,
) -> None:
    """Turn a checkpoint of mmdetection (MaskTrack R-CNN, ObjProp) or of torchvision's Mask R-CNN into weights.

    Strict: what is missing, unexpected or of another shape is listed, and nothing is written.
    """
    from vistrials.formats.files import WEIGHTS_SUFFIX
    from vistrials.specs.loading import load_trial

    keep_files(force, out, suffixes=[WEIGHTS_SUFFIX])

    spec = load_trial(trial, profile, all_overrides(data, None, overrides))
    names = _category_names(categories) if categories is not None else None

    from vistrials.commands.display import show_text
    from vistrials.data.sources import training_categories
    from vistrials.weights.foreign import read_foreign, save_foreign

    def names_of_data() -> list[str]:
        return training_categories(spec.data)

    if names is None and data is not None:
        names = names_of_data()
    checkpoint = read_foreign(file, spec, names, names_of_data, key)
    _show_report(checkpoint)
    if checkpoint.faults and not allow_mismatch:
        form = " ".join(f"--set '{setting}'" for setting in checkpoint.settings)
        raise CheckpointError(
            f"{file}: {_counts(checkpoint.faults)} for {spec.name} under {spec.profile}; "
            f"{f'its network has the form of {form}' if form else 'name another trial or profile'}, "
            "or take what fits with --allow-mismatch"
        )
    save_foreign(checkpoint, spec, out)
    show_text(str(out))


@app.command("export-weights")
def export_weights_command(
    run_or_file: Annotated[Path, typer.Argument(metavar="RUN|FILE", help="Folder of a trained run, or its weights.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write (.safetensors; .pth with --original).")],
    half: Annotated[bool, typer.Option("--half", help="As float16, half the size.")] = False,
    original: Annotated[
        bool, typer.Option("--original", help="As a checkpoint of the original program, with its parameter names.")
    ] = False,
    force: Replace = False,
) -> None:
    """Copy the weights of a run, with its provenance and figures beside them as .json; or a file of weights alone."""
    from vistrials.commands.display import show_text
    from vistrials.finished_runs.export import export_weights

    for path in export_weights(run_or_file, out, half=half, original=original, replace=force):
        show_text(str(path))


def _category_names(text: str) -> list[str]:
    """The names themselves, or those that an annotation file lists."""
    if text.endswith((".json", ".json.gz")):
        from vistrials.formats.annotations import load_video_set

        return [category.name for category in load_video_set(Path(text), Path(), require_annotations=False).categories]
    return [name.strip() for name in text.split(",") if name.strip()]


def _show_report(checkpoint: "ForeignCheckpoint") -> None:
    from vistrials.commands.display import show_text

    show_text(
        f"{checkpoint.path}: {checkpoint.program}, {checkpoint.num_categories} categories, "
        f"{len(checkpoint.tensors)} tensors fit"
    )
    for note in checkpoint.notes:
        show_text(note)
    if checkpoint.fresh_parts:
        show_text(f"kept fresh, since the file has nothing of them: {', '.join(checkpoint.fresh_parts)}")
    if checkpoint.class_rows:
        show_text(f"class rows: {checkpoint.class_rows}")
    if checkpoint.trained_categories is not None:
        trained = checkpoint.trained_categories
        fresh = [name for name in checkpoint.category_names or () if name not in trained]
        show_text(f"taken from COCO's rows: {', '.join(trained) or 'none'}")
        show_text(f"rows kept fresh for {len(fresh)} categories: {', '.join(fresh) or 'none'}")
    for fault in checkpoint.faults:
        shapes = [f"expected {fault.expected}"] if fault.expected is not None else []
        shapes += [f"found {fault.found}"] if fault.found is not None else []
        show_text(f"{fault.kind}: {fault.name}, {', '.join(shapes)}")


def _counts(faults: "tuple[Fault, ...]") -> str:
    kinds = [fault.kind for fault in faults]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
