"""A trial spec -> its stages in turn -> a finished run."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from vistrials.engine.devices import choose_device
from vistrials.engine.finished_files import find_damage
from vistrials.engine.heartbeat import Heartbeat
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.runs.directory import RunDirectory
from vistrials.specs.trial import TrialSpec
from vistrials.stages.checks import check_before_work
from vistrials.stages.evaluation import evaluate, hold_against_figures
from vistrials.stages.inference import infer
from vistrials.stages.job import Job, Splits, prepare
from vistrials.stages.training import train

STAGES = ("train", "infer", "evaluate")


def run(
    spec: TrialSpec,
    results_dir: Path | str = "results",
    seed: int = 0,
    *,
    device: str = "auto",
    num_devices: int = 1,
    force: bool = False,
    stages: Sequence[str] = STAGES,
    splits: Sequence[str] = (),
    overrides: Sequence[str] = (),
    starts: Mapping[str, TrialSpec] | None = None,
    reporter: Reporter | None = None,
) -> RunDirectory:
    """Train, infer and evaluate; stages that are finished are skipped.

    A trial that starts from another one has that one trained first, under the same profile, data and seed. A run that
    another process works on is waited for; what that one has finished is not done again.

    Args:
        spec: the resolved trial; everything that changes the result is in it.
        results_dir: the run lives in results_dir/<profile>/<trial>/seed<N>/.
        seed: of the run, 0 or more.
        device: auto, cpu, cuda, cuda:N or mps.
        num_devices: processes to train on, one each; of GPUs each also predicts, a video at a time.
        force: redo the stages asked for, and drop what follows from them.
        stages: some of `STAGES`, to do no more than these.
        splits: some of the spec's, to predict and score no more than these.
        overrides: those that went into the spec, for the record.
        starts: specs of trials to start from, by name, where they are not what that name alone means.
        reporter: hears of stages, progress, news and warnings.

    Returns:
        The folder of the run, with the paths of what it holds.

    Raises:
        RunError: the folder holds a run of another spec or data, or a stage asked for needs one that is neither done
            nor asked for.
        VistrialsError: anything else that the user can mend, in one line.
        Interrupted: stopped by a signal; the same call continues from there.
    """
    directory = RunDirectory.for_spec(spec, results_dir, seed)
    heartbeat = Heartbeat(directory.activity, reporter or SilentReporter())
    job = Job(
        spec,
        Splits(spec.data, heartbeat),
        directory,
        choose_device(device),
        num_devices,
        tuple(overrides),
        starts or {},
        heartbeat,
    )
    if "train" not in stages:
        directory.check_there()
    with directory.lock(before_wait=lambda: _say_waiting(job)), ExitStack() as stack:
        if not (force and "train" in stages):
            directory.check(spec)  # before its record says that this is what it is doing
        stack.enter_context(heartbeat)
        check_before_work(job, stages, force)
        if force:
            _discard(directory, stages, spec.data.splits)
        todo = [split for split in splits or spec.data.splits if _lacks_something(spec, directory, split, stages)]
        # Looked at before a record that is gone is begun anew.
        damage = [] if todo else find_damage(directory, list(filter(directory.is_evaluated, spec.data.splits)))
        if todo and directory.has_results() and not directory.provenance.exists():
            job.reporter.warning(f"{directory.provenance}: is gone, and with it the record of what was done before")
        prepare(job)
        if not todo:
            job.reporter.message(f"{directory.path}: done already; {_how_to_redo(directory)}")
            for line in damage:
                job.reporter.warning(line)
        unpredicted = [split for split in todo if not directory.is_inferred(split)]
        if "train" in stages and (unpredicted or "infer" not in stages):
            train(job)
        for split in todo:
            if "infer" in stages and not directory.is_inferred(split):
                infer(job, split)
                if directory.is_evaluated(split):
                    hold_against_figures(job, split)
            if "evaluate" in stages:
                evaluate(job, split)
    return directory


def _say_waiting(job: Job) -> None:
    job.reporter.stage("wait for another process", None)
    job.reporter.message(f"waiting: another process works on {job.directory.path}")


def _lacks_something(spec: TrialSpec, directory: RunDirectory, split: str, stages: Sequence[str]) -> bool:
    if "evaluate" not in stages or directory.unscored(spec, split):
        return True
    # Published figures may come without weights and predictions, and are no reason to train anew.
    return "infer" in stages and directory.is_trained() and not directory.is_inferred(split)


def _how_to_redo(directory: RunDirectory) -> str:
    split = directory.main_split
    return "--force redoes it" if directory.is_inferred(split) else directory.how_to_predict(split)


def _discard(directory: RunDirectory, stages: Sequence[str], splits: Sequence[str]) -> None:
    """Remove what the stages made, and what was made from that."""
    if "train" in stages:
        directory.clear()
    for split in splits:
        if "infer" in stages:
            directory.clear_split(split)
        directory.clear_figures(split)
