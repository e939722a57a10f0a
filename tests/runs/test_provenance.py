import hashlib
import json
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from vistrials.errors import RunError
from vistrials.runs import provenance
from vistrials.runs.provenance import (
    describe_device,
    describe_environment,
    describe_threads,
    peak_memory_mib,
    read_provenance,
    record_data,
    record_stage,
    sha256_of,
    update_provenance,
)


def test_sections_are_added_and_merged(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    update_provenance(path, seed=1, stages={"train": {"seconds": 1}})
    update_provenance(path, stages={"infer": {"seconds": 2}})
    assert read_provenance(path) == {"seed": 1, "stages": {"train": {"seconds": 1}, "infer": {"seconds": 2}}}


def test_a_stage_is_recorded_with_time_memory_and_environment(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    with record_stage(path, "train", "cpu", goes_on=False) as entry:
        entry["iterations"] = 12
    stage = read_provenance(path)["stages"]["train"]
    assert stage["iterations"] == 12
    assert stage["calls"] == 1
    assert stage["seconds"] >= 0 and stage["peak_memory_mib"] > 0
    assert stage["started"] <= stage["finished"]
    assert "environment" not in stage
    assert read_provenance(path)["environment"] == describe_environment()


def test_a_broken_off_stage_goes_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "provenance.json"
    clock = iter([0.0, 10.0, 100.0, 105.0, 200.0, 201.0])
    monkeypatch.setattr(provenance.time, "perf_counter", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), record_stage(path, "train", "cpu", goes_on=False):
        raise KeyboardInterrupt
    stage = read_provenance(path)["stages"]["train"]
    assert (stage["finished"], stage["seconds"], stage["calls"]) == (None, 10.0, 1)
    with record_stage(path, "train", "cpu", goes_on=True):
        pass
    stage = read_provenance(path)["stages"]["train"]
    assert (stage["seconds"], stage["calls"]) == (10.0 + 5.0, 2)
    with record_stage(path, "train", "cpu", goes_on=False):
        pass  # done anew, not gone on with
    stage = read_provenance(path)["stages"]["train"]
    assert (stage["seconds"], stage["calls"]) == (1.0, 1)


def test_of_a_stage_that_is_killed_its_beginning_is_known(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    with record_stage(path, "train", "cpu", goes_on=False):
        killed = read_provenance(path)
    path.write_text(json.dumps(killed))
    assert killed["stages"]["train"]["finished"] is None
    with record_stage(path, "train", "cpu", goes_on=True):
        pass
    stage = read_provenance(path)["stages"]["train"]
    assert (stage["calls"], stage["started"]) == (2, killed["stages"]["train"]["started"])


def test_another_number_of_threads_is_said_where_a_stage_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "provenance.json"
    assert describe_threads(path, "train") is None
    with record_stage(path, "train", "cpu", goes_on=False):
        pass
    assert describe_threads(path, "train") is None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    line = describe_threads(path, "train")
    assert line is not None and "77 threads" in line and "OMP_NUM_THREADS=" in line
    assert describe_threads(path, "infer/valid") is None


def test_another_environment_is_noted_where_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "provenance.json"
    with record_stage(path, "train", "cpu", goes_on=False):
        pass
    monkeypatch.setattr(provenance, "_cpu_name", lambda: "another processor")
    with record_stage(path, "infer", "cpu", goes_on=False):
        pass
    content = read_provenance(path)
    assert content["environment"]["cpu"] != "another processor"
    assert content["stages"]["infer"]["environment"]["cpu"] == "another processor"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[]", "expected an object, found a list"),
        ('{"stages": {', "JSON cut short"),
        ("", "the file is empty"),
        ('{"stages": 3}', "stages: expected an object, found a int"),
        ('{"stages": {"train": []}}', "stages/train: expected an object, found a list"),
        ('{"data": {"train": "x"}}', "data/train: expected an object, found a str"),
        ('{"environment": null}', "environment: expected an object, found a NoneType"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "provenance.json"
    path.write_text(text)
    with pytest.raises(RunError, match=f"provenance.json: .*{what}.*--force"):
        update_provenance(path, seed=1)


def test_data_are_known_by_their_digest(tmp_path: Path) -> None:
    path, annotations = tmp_path / "run" / "provenance.json", tmp_path / "train.json"
    path.parent.mkdir()
    annotations.write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    assert record_data(path, "train", annotations) == record_data(path, "train", annotations) == digest
    assert read_provenance(path)["data"] == {"train": {"annotations": "train.json", "sha256": digest}}
    annotations.write_text('{"videos": []}')
    with pytest.raises(RunError, match="annotations of split train have changed"):
        record_data(path, "train", annotations)


def test_nothing_about_the_machine_but_its_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    with record_stage(path, "train", describe_device("cpu"), goes_on=False):
        pass
    text = path.read_text()
    assert str(Path.home()) not in text and str(tmp_path) not in text
    assert json.dumps(socket.gethostname()) not in text


def test_the_commit_is_that_of_the_checkout_around_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "checkout" / "vistrials"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "_PACKAGE_DIR", package)
    assert describe_environment()["commit"] is None
    (package / "code.py").write_text("1")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=package.parent, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    found = describe_environment()
    assert len(found["commit"]) == 40 and found["dirty"] is False
    (package.parent / "results").mkdir()
    (package.parent / "results" / "metrics.json").write_text("{}")
    assert describe_environment()["dirty"] is False
    (package / "code.py").write_text("2")
    assert describe_environment()["dirty"] is True


def test_peak_memory_is_plausible() -> None:
    assert 10 < peak_memory_mib() < 2**20


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea")
    assert describe_device("cpu", 2).startswith("2 x cpu")
