import errno
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from vistrials.errors import RunError, SpecError
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.trial import TrialSpec


def spec(**train: object) -> TrialSpec:
    data = DataSpec(source=FileSource(root="/data"), splits=("minival", "occlusion"))
    return TrialSpec(name="baseline", profile="demo", data=data, train=train)


def folder_of(tmp_path: Path, made_from: TrialSpec) -> RunDirectory:
    return RunDirectory.for_spec(made_from, tmp_path, 3)


def test_names(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    assert run.path == tmp_path / "demo" / "baseline" / "seed3"
    assert run.predictions().name == run.predictions("minival").name == "predictions.json"
    assert run.predictions("occlusion").name == "predictions-occlusion.json"
    assert run.metrics("minival").name == "metrics.json"
    assert run.metrics("occlusion").name == "metrics-occlusion.json"
    assert run.matches().name == run.matches("minival").name == "matches.json.gz"
    assert run.matches("occlusion").name == "matches-occlusion.json.gz"
    assert run.partial_predictions("occlusion").name == "predictions-occlusion.partial.jsonl"


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="0 or more, found -1"):
        RunDirectory.for_spec(spec(), tmp_path, -1)


def test_what_is_done_follows_from_the_files(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    assert not run.is_trained() and not run.is_inferred("minival") and not run.is_evaluated("minival")
    run.weights.touch()
    run.predictions("minival").touch()
    assert run.is_trained() and run.is_inferred("minival") and not run.is_inferred("occlusion")


def test_the_same_spec_comes_back_to_its_run(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    written = run.spec.read_text()
    run.prepare(spec())
    assert run.spec.read_text() == written


def test_another_spec_is_refused_by_its_fields(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.weights.write_bytes(b"weights")
    with pytest.raises(RunError) as caught:
        run.prepare(spec(batch_size=8, max_iters=5, epochs=13, clip_grad_norm=1.0))
    message = str(caught.value)
    assert "\n" not in message
    assert "train.epochs (12 there, 13 asked for)" in message
    assert "and 1 more" in message
    assert "--force" in message and "--results" in message


def test_a_spec_that_nothing_came_from_is_replaced(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.prepare(spec(batch_size=8))
    assert run.differences(spec(batch_size=8)) == ""
    assert "train.batch_size" in run.differences(spec())


def test_damaged_metrics_are_named(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.metrics().write_text('{"trial": "baseline"}')
    with pytest.raises(RunError, match=r"metrics\.json: expected figures such as AP"):
        run.read_metrics()


def test_what_has_no_effect_on_the_result_may_change(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.prepare(spec(num_workers=0, cache_frames=True, checkpoint_every_iters=7))
    moved = spec().model_copy(update={"description": "new words"})
    run.prepare(moved)
    elsewhere = DataSpec(source=FileSource(root="/elsewhere"), splits=("minival", "occlusion"))
    run.prepare(spec().model_copy(update={"data": elsewhere}))


def test_files_without_a_spec_are_refused(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.path.mkdir(parents=True)
    run.weights.touch()
    with pytest.raises(RunError, match=r"no spec\.yaml"):
        run.prepare(spec())


def test_a_damaged_spec_is_refused(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.spec.write_text("name: [")
    with pytest.raises(RunError, match="--force"):
        run.prepare(spec())


def test_clear_removes_what_runs_write_and_nothing_else(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    for path in (run.weights, run.losses, run.checkpoint, run.provenance, run.metrics("occlusion")):
        path.touch()
    run.matches().touch()
    run.partial_predictions("occlusion").touch()
    run.tensorboard.mkdir()
    (run.tensorboard / "events").touch()
    (run.path / "notes.txt").touch()
    run.clear()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_what_a_killed_process_left_goes_and_files_of_others_stay(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    left = run.path / f".weights.safetensors.{'0' * 32}.tmp"
    others = [run.path / name for name in (".notes.tmp", "slurm-1.out", ".x.0123.tmp", "predictions.txt")]
    for path in (left, *others, run.checkpoint, run.previous_checkpoint, run.partial_predictions()):
        path.touch()
    run.remove_leftovers()
    assert not left.exists() and all(path.exists() for path in others)
    assert run.checkpoint.exists() and run.previous_checkpoint.exists() and run.partial_predictions().exists()
    for path in (run.weights, run.predictions(), run.predictions("occlusion"), run.best_weights):
        path.touch()
    run.partial_predictions("occlusion").touch()
    run.remove_leftovers()
    there = {path.name for path in run.path.iterdir()}
    names = {"spec.yaml", "weights.safetensors", "predictions.json", "predictions-occlusion.json"}
    assert there == names | {path.name for path in others}


@pytest.mark.parametrize("left", ["checkpoint.pt", "checkpoint-previous.pt"])
def test_either_checkpoint_is_one_to_go_on_from(tmp_path: Path, left: str) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    assert not run.has_checkpoint() and not run.has_results()
    (run.path / left).touch()
    assert run.has_checkpoint() and run.has_results()
    run.clear()
    assert not run.has_checkpoint()


def test_a_folder_where_a_file_belongs_is_left_to_its_owner(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.metrics().mkdir()
    with pytest.raises(RunError, match="metrics.json: expected a file of the run, found a folder; remove it"):
        run.clear()


def test_clear_split_removes_all_of_a_split_and_nothing_of_others(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    for split in ("minival", "occlusion"):
        for path in (run.predictions(split), run.partial_predictions(split), run.matches(split), run.metrics(split)):
            path.touch()
    run.clear_split("minival")
    names = {"predictions-occlusion.json", "predictions-occlusion.partial.jsonl", "metrics-occlusion.json"}
    assert {path.name for path in run.path.iterdir()} == names | {"spec.yaml", "matches-occlusion.json.gz"}


def test_figures_without_their_weights_are_not_mixed_with_a_new_training(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    run.prepare(spec())
    run.check_trainable()
    run.metrics().touch()
    with pytest.raises(RunError, match=r"metrics\.json but not weights\.safetensors"):
        run.check_trainable()
    run.weights.touch()
    run.check_trainable()


def _try_to_lock(run: RunDirectory, connection) -> None:
    try:
        with run.lock():
            connection.send("locked")
    except RunError as error:
        connection.send(str(error))


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    context = multiprocessing.get_context("fork")

    def try_in_another_process() -> str:
        ours, theirs = context.Pipe()
        process = context.Process(target=_try_to_lock, args=(run, theirs))
        process.start()
        answer = ours.recv()
        process.join()
        return answer

    with run.lock():
        assert "another process works on this run" in try_in_another_process()
    assert try_in_another_process() == "locked"


def test_a_run_that_another_process_works_on_can_be_waited_for(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    events: list[str] = []

    def wait() -> None:
        with run.lock(before_wait=lambda: events.append("waits")):
            events.append("has it")

    # A second lock of the same folder is as good as another process.
    other = threading.Thread(target=wait)
    with run.lock():
        other.start()
        deadline = time.monotonic() + 30
        while not events and time.monotonic() < deadline:
            time.sleep(0.01)
        events.append("gives it back")
    other.join(30)
    assert events == ["waits", "gives it back", "has it"]


def _lock_and_fork(run: RunDirectory, connection) -> None:
    with run.lock():
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        forked.start()
        connection.send(forked.pid)
        forked.join()


def test_a_killed_process_gives_its_run_back_whatever_it_has_forked(tmp_path: Path) -> None:
    run = folder_of(tmp_path, spec())
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_lock_and_fork, args=(run, theirs))
    process.start()
    forked = ours.recv()
    try:
        with pytest.raises(RunError, match="another process works on this run"), run.lock():
            pass
        process.kill()
        process.join()
        os.kill(forked, 0)  # is still there
        with run.lock():
            pass
    finally:
        os.kill(forked, signal.SIGKILL)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EROFS, errno.EACCES])
def test_a_run_goes_on_where_nothing_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(self: FileLock, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with folder_of(tmp_path, spec()).lock():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    run = RunDirectory.for_spec(spec(), tmp_path / "results", 3)
    with (
        pytest.raises(RunError, match=r"seed3: cannot be written \(.+\); choose another folder with --results"),
        run.lock(),
    ):
        pass


def test_the_digest_follows_the_result() -> None:
    digest = result_digest(spec(), "data", "0")
    assert digest == result_digest(spec(num_workers=0), "data", "0")
    assert digest != result_digest(spec(batch_size=8), "data", "0")
    assert digest != result_digest(spec(), "other data", "0")
    assert digest != result_digest(spec(), "data", "1")
    inference = result_digest(spec(), "w", sections=("model", "inference"))
    assert inference == result_digest(spec(batch_size=8), "w", sections=("model", "inference"))
