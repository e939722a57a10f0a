"""What is queued, in which order and with what, and what becomes of it; nothing is started here."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.reports.fake_runs import SPLITS
from vistrials import pipeline
from vistrials.cli import app
from vistrials.cluster.job import QueuedRun
from vistrials.cluster.slurm import Slurm, levels
from vistrials.cluster.submission import SlurmOptions, SlurmSubmitter
from vistrials.commands.display import RichReporter
from vistrials.engine.interruption import Interrupted
from vistrials.errors import RunError
from vistrials.reports.run_states import QueuedJob
from vistrials.runs.activity import Activity, Phase, read_activity, write_activity
from vistrials.runs.directory import RunDirectory
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.training import InitSpec
from vistrials.specs.trial import TrialSpec
from vistrials.study import Failure, Job, run_all


def trial(name: str, start: str | None = None, **settings: Any) -> TrialSpec:
    data = DataSpec(source=FileSource(root="/data"), splits=SPLITS)
    init = InitSpec.model_validate({"from": start})
    return TrialSpec(name=name, profile="demo", data=data, init=init, **settings)


def finish(directory: RunDirectory, spec: TrialSpec) -> None:
    directory.prepare(spec)
    directory.weights.touch()
    for split in SPLITS:
        directory.metrics(split).write_text('{"AP": 0.5}')
    directory.activity.unlink(missing_ok=True)


class Queue:
    """Stands for Slurm: at each look one job ends, as a test says, and is gone."""

    def __init__(self, ends: Mapping[str, Callable[[RunDirectory, TrialSpec], None]] | None = None) -> None:
        self.submitted: list[tuple[list[tuple[str, int]], list[str]]] = []
        self.records: list[Activity | None] = []
        self._ends = ends or {}
        self.jobs: dict[str, QueuedRun] = {}
        self.looks = 0

    def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]:
        self.submitted.append(([(run.spec.name, run.seed) for run in runs], list(after)))
        array = len(self.submitted)
        numbers = [f"{array}_{place}" for place in range(len(runs))]
        self.jobs |= dict(zip(numbers, runs, strict=True))
        self.records += [read_activity(self._directory(run).activity) for run in runs]
        return numbers

    def read_queue(self, jobs: AbstractSet[str]) -> Mapping[str, QueuedJob] | None:
        self.looks += 1
        if self.looks == 2:
            return None  # now and then it cannot be read
        if self.jobs and self.looks > 2:
            number = next(iter(self.jobs))
            run = self.jobs.pop(number)
            self._ends.get(run.spec.name, finish)(self._directory(run), run.spec)
        return {number: QueuedJob("PENDING", "Priority", "") for number in self.jobs if number in jobs}

    def _directory(self, run: QueuedRun) -> RunDirectory:
        return RunDirectory.for_spec(run.spec, run.results_dir, run.seed)


def queue_all(queue: Queue, specs: Sequence[TrialSpec], results: Path, seeds: Sequence[int] = (0,)) -> list[Failure]:
    executor = Slurm(lambda folder: queue, RichReporter, look_seconds=0)
    return run_all(specs, results, seeds, device="cpu", executor=executor)


def test_levels_hold_what_waits_for_the_one_before() -> None:
    specs = [trial("a"), trial("b", "a"), trial("c", "b"), trial("d"), trial("e", "elsewhere")]
    jobs = [Job(spec, seed) for seed in (0, 1) for spec in specs]
    assert [[job.key for job in level] for level in levels(jobs)] == [
        [("a", 0), ("d", 0), ("e", 0), ("a", 1), ("d", 1), ("e", 1)],
        [("b", 0), ("b", 1)],
        [("c", 0), ("c", 1)],
    ]


def test_each_level_is_an_array_after_the_one_before_and_seeds_are_its_entries(tmp_path: Path) -> None:
    queue = Queue()
    assert queue_all(queue, [trial("b", "a"), trial("a")], tmp_path, [0, 3]) == []
    assert queue.submitted == [([("a", 0), ("a", 3)], []), ([("b", 0), ("b", 3)], ["1_0", "1_1"])]
    assert [record and (record.phase, record.waits_for) for record in queue.records] == [
        (Phase.QUEUED, None),
        (Phase.QUEUED, None),
        (Phase.QUEUED, "a"),
        (Phase.QUEUED, "a"),
    ]


def test_what_is_done_is_not_queued_and_what_is_queued_is_waited_for(tmp_path: Path) -> None:
    specs = [trial("a"), trial("b", "a"), trial("c")]
    done = RunDirectory.for_spec(specs[0], tmp_path, 0)
    finish(done, specs[0])
    queue = Queue()
    run = QueuedRun(specs[1], 0, str(tmp_path), "cpu", (), {}, 1, RichReporter)
    queue.jobs["9_0"] = run
    write_activity(RunDirectory.for_spec(specs[1], tmp_path, 0).activity, Activity(Phase.QUEUED, job="9_0"))
    assert queue_all(queue, specs, tmp_path) == []
    assert queue.submitted == [([("c", 0)], [])]


def test_failures_and_jobs_that_vanish_are_told_with_their_reason(tmp_path: Path) -> None:
    def fail(directory: RunDirectory, spec: TrialSpec) -> None:
        write_activity(directory.activity, Activity(Phase.FAILED, reason="no memory"))

    queue = Queue({"a": fail, "b": lambda directory, spec: None})
    failures = queue_all(queue, [trial("a"), trial("b"), trial("c")], tmp_path)
    log = tmp_path / "demo" / "b" / "seed0" / "log.txt"
    assert failures == [
        Failure("a", 0, "no memory"),
        Failure(
            "b", 0, f"its job 1_1 ended before the run did (its job left the queue before it began); {log} may say more"
        ),
    ]


def test_a_run_of_another_spec_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    finish(RunDirectory.for_spec(trial("a"), tmp_path, 0), trial("a"))
    changed = trial("a", inference={"precision": "bf16-mixed"})
    queue = Queue()
    (failure,) = queue_all(queue, [changed], tmp_path)
    assert "holds a run of another spec" in failure.reason and queue.submitted == []


def test_jobs_that_slurm_refuses_leave_nothing(tmp_path: Path) -> None:
    class Refusing(Queue):
        def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]:
            raise RunError("sbatch refuses the jobs: invalid partition")

    with pytest.raises(RunError, match="invalid partition"):
        queue_all(Refusing(), [trial("a")], tmp_path)
    assert not list(tmp_path.rglob(".activity.json"))


def test_an_interrupt_leaves_the_jobs_and_says_how_to_stop_them(tmp_path: Path) -> None:
    class Interrupting(Queue):
        def read_queue(self, jobs: AbstractSet[str]) -> Mapping[str, QueuedJob] | None:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="the jobs go on: .* `scancel 1 2` stops them"):
        queue_all(Interrupting(), [trial("a"), trial("b", "a")], tmp_path)


def test_a_record_of_a_job_that_has_begun_is_not_overwritten(tmp_path: Path) -> None:
    class Fast(Queue):
        def submit(self, runs: Sequence[QueuedRun], after: Sequence[str]) -> list[str]:
            numbers = super().submit(runs, after)
            write_activity(self._directory(runs[0]).activity, Activity(Phase.FAILED, reason="no such data"))
            self.jobs.clear()
            return numbers

    assert queue_all(Fast(), [trial("a")], tmp_path) == [Failure("a", 0, "no such data")]


# --- What a job does


def test_a_job_skips_what_starts_from_an_untrained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(pipeline, "run", lambda spec, *args, **options: called.append(spec.name))
    monkeypatch.setattr("vistrials.cluster.job._write_to", lambda shared, job: None)
    specs = {"a": trial("a"), "b": trial("b", "a")}
    run = QueuedRun(specs["b"], 0, str(tmp_path), "cpu", (), specs, 1, RichReporter)
    assert run._run() == "skipped, because it starts from a, which is not finished"
    RunDirectory.for_spec(specs["a"], tmp_path, 0).path.mkdir(parents=True)
    RunDirectory.for_spec(specs["a"], tmp_path, 0).weights.touch()
    assert run._run() is None and called == ["b"]


# --- What Slurm is told


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Slurm's commands, first on PATH; it keeps what it is given in the file that is returned."""
    folder, given = tmp_path / "bin", tmp_path / "given"
    folder.mkdir()
    (folder / "sbatch").write_text(f'#!/bin/sh\ncat "$1" >> {given}\necho "Submitted batch job 7"\n')
    (folder / "srun").write_text("#!/bin/sh\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return given


def test_options_reach_sbatch(sbatch: Path, tmp_path: Path) -> None:
    options = SlurmOptions("gpu", 2, 4, 90, "8G", 5, {"account": "vision"})
    runs = [QueuedRun(trial("a"), seed, str(tmp_path), "cuda", (), {}, 2, RichReporter) for seed in (0, 1)]
    assert SlurmSubmitter(options, tmp_path / "jobs").submit(runs, ["5_0", "5_1", "6"]) == ["7_0", "7_1"]
    lines = sbatch.read_text().splitlines()
    asked = ["partition=gpu", "gpus-per-node=2", "cpus-per-task=4", "time=90", "mem=8G", "array=0-1%2"]
    asked += ["account=vision", "requeue", "signal=USR2@120", "dependency=afterany:5:6"]
    assert [option for option in asked if f"#SBATCH --{option}" not in lines] == []
    assert any(line.startswith("srun ") and "--cpus-per-task=4" in line for line in lines)


def test_a_refusal_of_sbatch_is_one_line(sbatch: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid\npartition' >&2\nexit 1\n")
    run = QueuedRun(trial("a"), 0, str(tmp_path), "cpu", (), {}, 1, RichReporter)
    with pytest.raises(RunError, match="sbatch refuses the jobs: .*invalid partition"):
        SlurmSubmitter(SlurmOptions(), tmp_path / "jobs").submit([run], [])


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--on", "moon"], "--on moon: expected local or slurm"),
        (["--partition", "gpu"], "--partition: expected only with --on slurm"),
        (["--no-wait"], "--no-wait: expected only with --on slurm"),
        (["--on", "slurm", "--jobs", "2"], "--jobs: expected only with --on local"),
        (["--on", "slurm", "--time", "soon"], "--time soon: expected minutes"),
        (["--on", "slurm", "--time", "0:00"], "--time 0:00: expected more than 0"),
        (["--on", "slurm", "--sbatch", "account"], "--sbatch account: expected NAME=VALUE"),
        (["--on", "slurm", "--sbatch", "mem=8G"], "--sbatch mem=8G: --mem says that here"),
        (["--on", "slurm", "--until-decided", "--no-wait"], "--no-wait: expected none with --until-decided"),
    ],
)
def test_bad_options_are_one_line(sbatch: Path, options: list[str], expected: str) -> None:
    result = vistrials("run-all", "baseline", *options)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: {expected}")


def test_a_machine_without_slurm_or_submitit_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = vistrials("run-all", "baseline", "--on", "slurm")
    assert result.exit_code == 2 and result.stderr.startswith("error: --on slurm: found no sbatch and srun on PATH")
    monkeypatch.setattr("vistrials.cluster.submission.find_spec", lambda name: None)
    result = vistrials("run-all", "baseline", "--on", "slurm")
    assert result.exit_code == 2 and "pip install 'vistrials[slurm]'" in result.stderr


@pytest.mark.parametrize(
    ("text", "minutes"), [("90", 90), ("1:30", 90), ("0:00:30", 1), ("1-12:00", 36 * 60), ("2:05:00", 125)]
)
def test_times_are_read_as_slurm_users_write_them(
    sbatch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, minutes: int
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vistrials("run-all", "baseline", "--on", "slurm", "--time", text, "--no-wait")
    assert result.exit_code == 0 and "1 of 1 runs are done or in the queue" in result.stdout
    assert f"#SBATCH --time={minutes}\n" in sbatch.read_text()
    record = read_activity(next((tmp_path / "results").rglob(".activity.json")))
    assert record == replace(Activity(Phase.QUEUED), job="7")
