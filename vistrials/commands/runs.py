"""Run trials: run, train, infer, run-all."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vistrials.commands.execution import (
    ArrayLimit,
    Cpus,
    Gpus,
    Jobs,
    Memory,
    NoWait,
    On,
    Partition,
    Sbatch,
    Time,
    choose_executor,
)
from vistrials.commands.options import (
    EXIT_FAULTS_FOUND,
    DataDir,
    Device,
    Devices,
    Force,
    Overrides,
    Precision,
    Profile,
    Results,
    Seed,
    Trial,
    ValidateEvery,
    Weights,
    all_overrides,
    seed_numbers,
)
from vistrials.errors import SpecError

app = typer.Typer()


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
        precision: Precision = None,
        validate_every: ValidateEvery = None,
        overrides: Overrides = None,
        force: Force = False,
    ) -> None:
        from vistrials.specs.loading import load_trial

        if validate_every is not None and "train" not in stages:
            raise SpecError(f"--validate-every is for training, which {name} does not do; `vistrials train` does")
        changes, todo = all_overrides(data, weights, overrides, validate_every), stages
        if precision is not None:
            if "infer" not in stages:
                raise SpecError(
                    f"--precision is that of inference, which {name} does not do; use --set train.precision=P"
                )
            changes.append(f"inference.precision={json.dumps(precision)}")
        if weights is not None and "train" not in stages:
            # To predict with weights from elsewhere is to train from them for no step.
            changes, todo = [*changes, "train.max_iters=0"], ("train", *stages)
        spec = load_trial(trial, profile, changes)  # before torch is imported: a mistake answers at once

        from vistrials import pipeline
        from vistrials.commands.display import RichReporter, show_figures, show_text
        from vistrials.evaluation.average_precision import TABLE_FIGURES

        with RichReporter() as reporter:
            directory = pipeline.run(
                spec,
                results,
                seed,
                device=device,
                num_devices=devices,
                force=force,
                stages=todo,
                overrides=changes,
                reporter=reporter,
            )
        show_text(str(directory.path))
        scored = [split for split in spec.data.splits if directory.is_evaluated(split)]
        if scored and "evaluate" in stages:
            metrics = {split: directory.read_metrics(split) for split in scored}
            show_figures(
                "split",
                {split: {name: of_split[name] for name in TABLE_FIGURES} for split, of_split in metrics.items()},
            )


_add_pipeline_command(
    "run",
    ("train", "infer", "evaluate"),
    "Train, infer and evaluate a trial; finished stages are skipped.",
)
_add_pipeline_command("train", ("train",), "Train a trial; an interrupted training continues where it stopped.")
_add_pipeline_command("infer", ("infer",), "Predict the splits of a trained trial.")


@app.command("run-all")
def run_all_command(
    trials: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRIAL]...",
            help="Trials, or parts of the table: starts, study, further, and the controls neck, propagation, affinity, "
            "sampling (default: all but the controls).",
        ),
    ] = None,
    profile: Profile = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Seeds; each makes a run of its own (default 0).", show_default=False),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds to undecided trials only, until all are decided.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(metavar="D", help="Of --until-decided: AP within which trials are equal (1).", show_default=False),
    ] = None,
    max_seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Of --until-decided: seeds at most (10).", show_default=False)
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of --until-decided: split that decides (the first).", show_default=False)
    ] = None,
    data: DataDir = None,
    results: Results = Path("results"),
    device: Device = "auto",
    on: On = "local",
    jobs: Jobs = None,
    partition: Partition = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    memory: Memory = None,
    time: Time = None,
    array_limit: ArrayLimit = None,
    sbatch: Sbatch = None,
    no_wait: NoWait = False,
    validate_every: ValidateEvery = None,
    overrides: Overrides = None,
) -> None:
    """Run several trials, each after the one that it starts from; finished runs are skipped.

    A trial that fails does not stop the others. As jobs of Slurm, each run writes log.txt in its folder.
    """
    options = {"--margin": margin, "--max-seeds": max_seeds, "--split": split}
    given = [name for name, value in options.items() if value is not None]
    if until_decided and seeds is not None:
        raise SpecError("--seeds: expected none with --until-decided, which begins with seeds 0, 1 and 2")
    if given and not until_decided:
        raise SpecError(f"{given[0]}: expected only with --until-decided")
    if until_decided and no_wait:
        raise SpecError("--no-wait: expected none with --until-decided, which has to see the figures")
    numbers = seed_numbers(seeds or "0")
    executor = choose_executor(
        on,
        jobs=jobs,
        partition=partition,
        gpus=gpus,
        cpus=cpus,
        memory=memory,
        time=time,
        array_limit=array_limit,
        sbatch=sbatch,
        no_wait=no_wait,
    )
    from vistrials import study
    from vistrials.commands.display import shared_bars, show_error, show_text
    from vistrials.specs.loading import load_trial, trials_of_parts

    changes = all_overrides(data, None, overrides, validate_every)
    specs = [load_trial(trial, profile, changes) for trial in trials_of_parts(trials or [])]
    with shared_bars() as open_reporter:
        if until_decided:
            from vistrials.reports.comparison import BASELINE
            from vistrials.until_decided import run_until_decided

            if BASELINE not in [spec.name for spec in specs]:
                specs.insert(0, load_trial(BASELINE, profile, changes))
            outcome = run_until_decided(
                specs,
                results,
                split,
                margin=1.0 if margin is None else margin,
                max_seeds=10 if max_seeds is None else max_seeds,
                device=device,
                overrides=changes,
                executor=executor,
                open_reporter=open_reporter,
                say=show_text,
            )
            failures, total = list(outcome.failures), outcome.num_runs
            show_text(
                f"still undecided: {', '.join(outcome.undecided) or 'none'}; "
                f"{outcome.num_runs} runs of the {outcome.num_planned} that all seeds would have taken"
            )
        else:
            failures = study.run_all(
                specs,
                results,
                numbers,
                device=device,
                overrides=changes,
                executor=executor,
                open_reporter=open_reporter,
            )
            total = len({spec.name for spec in specs}) * len(numbers)
    if no_wait:
        show_text(f"{total - len(failures)} of {total} runs are done or in the queue")
    else:
        show_text(f"{total - len(failures)} of {total} runs are done")
    for failure in failures:
        show_error(f"{failure.trial} seed {failure.seed}: {failure.reason}")
    if failures:
        show_text("the same command continues with the unfinished ones; `vistrials run` shows in full how one crashes")
        raise typer.Exit(EXIT_FAULTS_FOUND)
