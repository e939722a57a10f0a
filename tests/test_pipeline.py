import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.engine.tiny_videos import NUM_FRAMES, write_tiny_data_set
from tests.tiny_runs import TINY, tiny_spec
from vistrials import pipeline
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import SilentReporter
from vistrials.errors import CheckpointError, DataError, RunError
from vistrials.evaluation.average_precision import FIGURES, accumulate, compute_figures
from vistrials.evaluation.stored_matches import load_matches
from vistrials.finished_runs.export import export_weights
from vistrials.formats.files import sha256_of
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import update_provenance
from vistrials.specs.loading import load_trial, parse_spec
from vistrials.specs.model import ModelSpec
from vistrials.specs.trial import TrialSpec
from vistrials.stages import starts, training, validating
from vistrials.weights.files import digest_of_tensors, read_metadata, read_tensors, save_tensors


class Recording(SilentReporter):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def stage(self, name: str, total: int | None) -> None:
        self.stages.append(name)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Backbone weights are not fetched; returns the sources that were asked for."""
    asked: list[str] = []

    def read_backbone(spec: ModelSpec, source: str) -> None:
        if source == "imagenet":
            raise CheckpointError("imagenet weights are out of reach")

    fake = SimpleNamespace(load_backbone=lambda model, source: asked.append(source), read_backbone=read_backbone)
    monkeypatch.setitem(sys.modules, "vistrials.weights.backbones", fake)
    return asked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_tiny_data_set(tmp_path / "data")


def run(spec: TrialSpec, tmp_path: Path, **how: Any) -> tuple[RunDirectory, Recording]:
    reporter = Recording()
    return pipeline.run(spec, tmp_path / "results", device="cpu", reporter=reporter, **how), reporter


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def content(directory: RunDirectory) -> dict[str, bytes]:
    names = ("losses.jsonl", "weights.safetensors", "predictions.json", "matches.json.gz", "metrics.json")
    return {name: (directory.path / name).read_bytes() for name in names}


def test_a_run_goes_from_spec_to_figures_and_is_then_finished(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data)
    directory, reporter = run(spec, tmp_path, overrides=["train.max_iters=3"])
    assert reporter.stages == ["train tiny", "infer tiny on valid", "evaluate tiny on valid"]
    names = {"spec.yaml", "provenance.json", "losses.jsonl", "tensorboard", "weights.safetensors"}
    names |= {"predictions.json", "matches.json.gz", "metrics.json", ".lock"}
    assert {path.name for path in directory.path.iterdir()} == names

    losses = [json.loads(line) for line in directory.losses.read_text().splitlines()]
    assert [record["iter"] for record in losses] == [1, 2, 3]
    assert "loss_propmask" in losses[0]
    for row in load(directory.predictions()):
        assert row["video_id"] in (7, 3) and row["category_id"] in (5, 9)
        assert len(row["segmentations"]) == NUM_FRAMES
    metrics = load(directory.metrics())
    matches = load_matches(directory.matches())
    assert matches.video_ids == (3, 7)
    figures = compute_figures(*accumulate(matches.records, matches.category_ids))
    assert figures == {name: metrics[name] for name in FIGURES}
    assert metrics["split"] == "valid" and set(metrics["AP_per_category"]) == {"five", "nine"}
    metadata = read_metadata(directory.weights)
    assert (metadata["trial"], metadata["iteration"], metadata["num_categories"]) == ("tiny", "3", "2")
    assert (metadata["category_names"], metadata["category_ids"]) == ('["five", "nine"]', "[5, 9]")
    carried = parse_spec(metadata["spec"])
    assert (carried.model, carried.inference) == (spec.model, spec.inference)
    assert str(data) not in metadata["spec"]
    provenance = load(directory.provenance)
    assert provenance["overrides"] == ["train.max_iters=3"]
    assert set(provenance["stages"]) == {"train", "infer/valid", "evaluate/valid"}
    assert provenance["stages"]["infer/valid"]["frames"] == 2 * NUM_FRAMES
    network = digest_of_tensors(read_tensors(directory.weights))
    assert provenance["stages"]["infer/valid"]["network_sha256"] == network
    assert set(provenance["data"]) == {"train", "valid"}

    before = content(directory)
    _, reporter = run(spec, tmp_path)
    assert reporter.stages == [] and "done already" in reporter.messages[0]
    assert content(directory) == before


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec(data)
    whole, _ = run(spec, tmp_path / "whole")
    real = training.build_pair_loader

    def interrupting(*arguments: Any) -> Any:
        loader = real(*arguments)

        class Interrupting:
            iters_per_epoch = loader.iters_per_epoch

            def __iter__(self) -> Iterator[Any]:
                for number, batch in enumerate(loader):
                    if number == 1:
                        os.kill(os.getpid(), signal.SIGINT)
                    yield batch

        return Interrupting()

    monkeypatch.setattr(training, "build_pair_loader", interrupting)
    with pytest.raises(Interrupted, match="after iteration 2 of 3"):
        run(spec, tmp_path / "cut")
    monkeypatch.setattr(training, "build_pair_loader", real)
    cut, _ = run(spec, tmp_path / "cut")
    assert cut.weights.read_bytes() == whole.weights.read_bytes()
    assert cut.predictions().read_bytes() == whole.predictions().read_bytes()
    assert load(cut.provenance)["stages"]["train"]["calls"] == 2


def test_force_redoes_what_is_asked_for_and_what_follows_from_it(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 1})
    directory, _ = run(spec, tmp_path)
    _, reporter = run(spec, tmp_path, force=True, stages=["evaluate"])
    assert reporter.stages == ["evaluate tiny on valid"]
    _, reporter = run(spec, tmp_path, force=True, stages=["infer"])
    assert reporter.stages == ["infer tiny on valid"]
    assert not directory.metrics().exists()
    changed = tiny_spec(data, train={"max_iters": 2})
    with pytest.raises(RunError, match=r"train\.max_iters \(1 there, 2 asked for\)"):
        run(changed, tmp_path)
    _, reporter = run(changed, tmp_path, force=True)
    assert reporter.stages == ["train tiny", "infer tiny on valid", "evaluate tiny on valid"]


def test_stages_alone(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    with pytest.raises(RunError, match="no such run yet"):
        run(spec, tmp_path, stages=["infer"])
    directory, _ = run(spec, tmp_path, stages=["train"])
    assert directory.is_trained() and not directory.is_inferred("valid")
    with pytest.raises(RunError, match="no predictions of split valid here"):
        run(spec, tmp_path, stages=["evaluate"])


def test_no_iterations_keep_the_initial_weights(data: Path, tmp_path: Path) -> None:
    first, _ = run(tiny_spec(data, "first"), tmp_path, stages=["train"])
    spec = tiny_spec(data, "second", train={"max_iters": 0}, init={"weights": str(first.weights)})
    second, _ = run(spec, tmp_path, stages=["train"])
    assert second.losses.read_text() == ""
    from safetensors.torch import load_file

    ours, theirs = load_file(second.weights), load_file(first.weights)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    start = load(second.provenance)["initial_weights"]
    assert start["source"] == str(first.weights) and len(start["sha256"]) == 64
    assert start["network_sha256"] == network(first.weights) != start["sha256"]


def test_the_trial_to_start_from_is_trained_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_download: list[str]
) -> None:
    no_propagation = {**TINY["model"], "propagation": None}
    first = tiny_spec(Path("/elsewhere"), "first", model=no_propagation, train={"max_iters": 1})
    monkeypatch.setattr(starts, "load_trial", lambda name, profile, overrides: {"first": first}[name])
    spec = tiny_spec(data, "second", train={"max_iters": 1}, init={"from": "first"})
    directory, reporter = run(spec, tmp_path, stages=["train"])
    assert reporter.stages == ["train first", "train second"]
    assert "second starts from first, which is trained first" in reporter.messages
    assert no_download == ["random"]
    assert any("fresh, absent from the file (propagation." in text for text in reporter.messages)
    assert load(directory.provenance)["initial_weights"]["source"] == "trial first, seed 0"
    _, reporter = run(
        tiny_spec(data, "third", train={"max_iters": 0}, init={"from": "first"}), tmp_path, stages=["train"]
    )
    assert reporter.stages == ["train third"]


def test_settings_of_the_training_reach_the_trial_to_start_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_download: list[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def load_start(name: str, profile: str, overrides: tuple[str, ...]) -> TrialSpec:
        asked.append(overrides)
        return tiny_spec(data, "first", train={"max_iters": 1})

    monkeypatch.setattr(starts, "load_trial", load_start)
    overrides = [
        "train={max_iters: 1}",
        "model.propagation.at_inference=false",
        "init={weights: null, backbone: random}",
    ]
    spec = tiny_spec(data, "second", train={"max_iters": 1}, init={"from": "first"})
    _, reporter = run(spec, tmp_path, stages=["train"], overrides=overrides)
    assert set(asked) == {("train={max_iters: 1}", "init={backbone: random}")}
    assert any("trained first with train={max_iters: 1}, init={backbone: random}" in text for text in reporter.messages)


def test_a_start_trained_on_other_data_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_download: list[str]
) -> None:
    monkeypatch.setattr(
        starts, "load_trial", lambda name, profile, overrides: tiny_spec(data, "first", train={"max_iters": 1})
    )
    run(tiny_spec(data, "second", train={"max_iters": 1}, init={"from": "first"}), tmp_path, stages=["train"])
    annotations = load(data / "train.json")
    annotations["info"] = "another file"
    (data / "train.json").write_text(json.dumps(annotations))
    with pytest.raises(RunError, match="annotations of split train have changed"):
        run(tiny_spec(data, "third", train={"max_iters": 1}, init={"from": "first"}), tmp_path, stages=["train"])


def test_force_loses_nothing_to_a_mistake(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data)
    directory, _ = run(spec, tmp_path)
    before = content(directory)
    other = spec.model_copy(update={"inference": spec.inference.model_copy(update={"score_threshold": 0.7})})
    with pytest.raises(RunError, match="another spec"):
        run(other, tmp_path, stages=["infer"], force=True)
    with pytest.raises(DataError):
        run(tiny_spec(tmp_path / "nowhere"), tmp_path, force=True)
    with pytest.raises(CheckpointError, match="no such file"):
        run(tiny_spec(data, init={"weights": str(tmp_path / "nothing.safetensors")}), tmp_path, force=True)
    assert content(directory) == before


def test_a_broken_split_is_found_before_the_training(data: Path, tmp_path: Path) -> None:
    (data / "valid.json").write_text("{")
    with pytest.raises(DataError, match=r"valid\.json"):
        _, reporter = run(tiny_spec(data), tmp_path)
    assert not list((tmp_path / "results").glob("**/losses.jsonl"))


def test_a_missing_frame_is_found_before_the_training(data: Path, tmp_path: Path) -> None:
    document = load(data / "valid.json")
    document["videos"][0]["file_names"][1] = "nowhere/1.png"
    (data / "valid.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"valid\.json: video .* frame 1: .*nowhere/1\.png: no such frame; .* holds"):
        run(tiny_spec(data), tmp_path)
    assert not list((tmp_path / "results").glob("**/losses.jsonl"))


def test_frames_under_other_names_are_used_and_said(data: Path, tmp_path: Path) -> None:
    directory, _ = run(tiny_spec(data), tmp_path)
    for split in ("train", "valid"):
        document = load(data / f"{split}.json")
        for video in document["videos"]:
            video["file_names"] = [f"JPEGImages\\{Path(name).with_suffix('.bmp')}" for name in video["file_names"]]
        (data / f"{split}.json").write_text(json.dumps(document))
    other, reporter = run(tiny_spec(data), tmp_path / "other")
    assert [warning.split(": ")[1] for warning in reporter.warnings] == ["frames found under another name"] * 2
    assert content(other)["predictions.json"] == content(directory)["predictions.json"]


def test_what_is_only_scored_needs_no_frames(data: Path, tmp_path: Path) -> None:
    directory, _ = run(tiny_spec(data), tmp_path)
    directory.metrics("valid").unlink()
    for path in data.rglob("*"):
        if path.suffix in (".png", ".jpg"):
            path.unlink()
    run(tiny_spec(data), tmp_path)
    assert directory.is_evaluated("valid")


def test_a_backbone_out_of_reach_stops_the_run_before_anything_is_lost(data: Path, tmp_path: Path) -> None:
    directory, _ = run(tiny_spec(data, train={"max_iters": 0}), tmp_path)
    before = content(directory)
    with pytest.raises(CheckpointError, match="out of reach"):
        run(tiny_spec(data, train={"max_iters": 0}, init={"backbone": "imagenet"}), tmp_path, force=True)
    assert content(directory) == before


def test_data_that_are_not_there_are_said_before_weights_are_fetched(data: Path, tmp_path: Path) -> None:
    (data / "train.json").unlink()
    with pytest.raises(DataError, match=r"train\.json"):
        run(tiny_spec(data, init={"backbone": "imagenet"}), tmp_path)


def test_weights_of_another_network_say_whose_they_are(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_tensors(weights, {"encoder": torch.zeros(3)}, {"trial": "baseline", "profile": "laptop"})
    spec = tiny_spec(data, init={"weights": str(weights), "backbone": "imagenet"})
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors \(of baseline, profile laptop\): nothing fits .* out of"
    ):
        run(spec, tmp_path)


def test_a_start_whose_backbone_is_out_of_reach_stops_the_run_too(data: Path, tmp_path: Path) -> None:
    first = tiny_spec(data, "first", init={"backbone": "imagenet"})
    second = tiny_spec(data, "second", init={"from": "first"})
    with pytest.raises(CheckpointError, match="out of reach"):
        run(second, tmp_path, starts={"first": first})
    assert not list((tmp_path / "results").glob("**/spec.yaml"))


def test_published_figures_name_the_command_that_makes_the_rest(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tiny_spec(data, train={"max_iters": 0})
    directory, _ = run(spec, tmp_path)
    directory.weights.unlink()
    directory.predictions().unlink()
    # "tiny" is no trial that could be named, so the recorded spec is.
    cure = "`vistrials run results/tiny/tiny/seed0/spec.yaml --force` trains again and makes them"
    _, reporter = run(spec, tmp_path)
    assert cure in reporter.messages[0]
    for stage in ("infer", "evaluate"):
        directory.metrics().touch() if stage == "infer" else directory.metrics().unlink()
        with pytest.raises(RunError) as caught:
            run(spec, tmp_path, stages=[stage])
        assert str(caught.value).endswith(cure)
    with pytest.raises(RunError) as caught:
        directory.predicted_split(spec, None)
    assert str(caught.value).endswith(cure)
    _, reporter = run(load_trial("results/tiny/tiny/seed0/spec.yaml"), tmp_path, force=True)
    assert directory.is_inferred("valid") and directory.is_evaluated("valid")


def test_a_run_with_weights_makes_the_predictions_that_are_missing(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    directory, _ = run(spec, tmp_path)
    before, record = content(directory), directory.provenance.read_bytes()
    for stages in (pipeline.STAGES, ["infer"]):
        directory.predictions().unlink()
        _, reporter = run(spec, tmp_path, stages=stages)
        assert (reporter.stages, reporter.warnings) == (["infer tiny on valid"], [])
        # The figures are still those of these predictions, and so is the record of how they came about.
        assert content(directory) == before and directory.provenance.read_bytes() == record


def test_predictions_made_again_are_held_against_the_figures(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    directory, _ = run(spec, tmp_path)
    published = load(directory.metrics()) | {"AP": 0.875}
    directory.metrics().write_text(json.dumps(published))
    directory.predictions().unlink()
    stages = load(directory.provenance)["stages"]
    _, reporter = run(spec, tmp_path)
    (warning,) = reporter.warnings
    assert warning.startswith("split valid, predicted again here, has AP ")
    assert ", but 87.50 in metrics.json, which stays: " in warning
    assert load(directory.metrics()) == published
    record = load(directory.provenance)
    assert record["stages"] == stages
    assert record["predicted_again"]["valid"]["figures"]["AR10"] == published["AR10"]


def test_weights_are_on_record_when_the_training_ends_and_others_are_not_predicted_with(
    data: Path, tmp_path: Path
) -> None:
    spec = tiny_spec(data)
    directory, _ = run(spec, tmp_path, stages=["train"])
    recorded = load(directory.provenance)["stages"]["train"]
    assert recorded["weights_sha256"] == sha256_of(directory.weights)
    assert recorded["network_sha256"] == network(directory.weights)
    assert not directory.has_checkpoint() and not directory.last_weights.exists()
    tensors, metadata = read_tensors(directory.weights), read_metadata(directory.weights)
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    save_tensors(directory.weights, tensors | {name: tensors[name] + 1}, metadata)
    with pytest.raises(RunError, match="damaged or replaced; put it back, or redo with .*--force"):
        run(spec, tmp_path)
    with pytest.raises(RunError, match="damaged or replaced"):
        export_weights(directory.path, tmp_path / "copy.safetensors")
    # As published: rounded after the training, and named so.
    save_tensors(directory.weights, tensors, metadata, half=True)
    run(spec, tmp_path)
    assert directory.is_evaluated("valid")
    copy, beside = export_weights(directory.path, tmp_path / "copy.safetensors")
    assert load(beside)["sha256"] == sha256_of(copy)


def test_an_export_names_no_folder_of_its_owner(data: Path, tmp_path: Path) -> None:
    directory, _ = run(tiny_spec(data), tmp_path, stages=["train"])
    update_provenance(
        directory.provenance,
        overrides=[f"data.source={{kind: files, root: {json.dumps(str(data))}}}", r"init.weights=C:\me\start.pt"],
        initial_weights={"source": str(tmp_path / "start.pt"), "report": "3 / 4 of https://a.b/c"},
    )
    _, beside = export_weights(directory.path, tmp_path / "copy.safetensors")
    record = load(beside)["provenance"]
    assert record["overrides"] == [f'data.source={{kind: files, root: "{data.name}"}}', "init.weights=start.pt"]
    start = record["initial_weights"]
    assert (start["source"], start["report"]) == ("start.pt", "3 / 4 of https://a.b/c")
    assert str(tmp_path) not in beside.read_text()


def test_what_is_damaged_of_a_finished_run_is_said(data: Path, tmp_path: Path) -> None:
    directory, _ = run(tiny_spec(data), tmp_path)
    assert run(tiny_spec(data), tmp_path)[1].warnings == []
    directory.losses.unlink()
    directory.matches().write_bytes(b"")
    directory.weights.unlink()
    warnings = run(tiny_spec(data), tmp_path)[1].warnings
    assert len(warnings) == 3 and all("--force" in line and "\n" not in line for line in warnings)
    assert all(any(str(file) in line for line in warnings) for file in (directory.losses, directory.matches()))


def test_another_number_of_threads_is_said_when_a_training_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.fit

    def interrupted(*args: Any, **how: Any) -> int:
        real(*args, **how)
        raise Interrupted

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(Interrupted):
        run(tiny_spec(data), tmp_path)
    monkeypatch.setattr(training, "fit", real)
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: before + 1)
    assert f"with {before + 1} threads where it had {before}" in run(tiny_spec(data), tmp_path)[1].warnings[0]


def test_splits_asked_for_alone_are_predicted(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"splits": ("valid", "train")})})
    directory, _ = run(spec, tmp_path, splits=["train"])
    assert [directory.is_evaluated(split) for split in spec.data.splits] == [False, True]


def test_files_of_others_in_the_folder_do_not_stop_a_run(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    folder = RunDirectory.for_spec(spec, tmp_path / "results", 0).path
    folder.mkdir(parents=True)
    for name in ("slurm-1.out", ".spec.yaml.tmp", ".spec.yaml.0123.tmp"):
        (folder / name).touch()
    directory, _ = run(spec, tmp_path)
    assert directory.is_evaluated("valid") and (folder / "slurm-1.out").exists()
    run(spec, tmp_path, force=True)


def test_shipped_weights_that_are_not_there_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="shipped:nothing: no such weights in this package"):
        run(tiny_spec(data, init={"weights": "shipped:nothing"}), tmp_path)


def test_a_split_without_annotations_is_predicted_but_not_scored(tmp_path: Path) -> None:
    data = write_tiny_data_set(tmp_path / "data", valid_annotated=False)
    spec = tiny_spec(data, train={"max_iters": 0})
    directory, reporter = run(spec, tmp_path)
    assert directory.is_inferred("valid") and not directory.is_evaluated("valid")
    assert "vistrials data split" in reporter.warnings[0]


def test_changed_annotations_are_not_mixed_in(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    run(spec, tmp_path, stages=["train", "infer"])
    (data / "valid.json").write_text((data / "valid.json").read_text() + " ")
    with pytest.raises(RunError, match="annotations of split valid have changed"):
        run(spec, tmp_path)


def test_categories_in_another_order_are_refused(data: Path, tmp_path: Path) -> None:
    document = load(data / "valid.json")
    document["categories"].reverse()
    (data / "valid.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="'five' was trained where 'nine' is listed"):
        run(tiny_spec(data, train={"max_iters": 0}), tmp_path)


def test_published_figures_rest_although_weights_and_predictions_are_gone(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 0})
    directory, _ = run(spec, tmp_path)
    directory.weights.unlink()
    directory.predictions().unlink()
    _, reporter = run(spec, tmp_path)
    assert reporter.stages == []
    with pytest.raises(RunError, match="but not weights.safetensors"):
        run(tiny_spec(data, train={"max_iters": 0}), tmp_path, stages=["train"])


# --- Validation while it trains


def network(weights: Path) -> str:
    return digest_of_tensors(read_tensors(weights))


def scores_in_turn(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Validations find these APs instead of the real ones."""
    left = iter(scores)

    def evaluate(*files: Path) -> SimpleNamespace:
        score = next(left)
        return SimpleNamespace(figures=dict.fromkeys(FIGURES, score))

    monkeypatch.setattr(validating, "evaluate_files", evaluate)


def test_the_best_weights_are_kept_beside_the_last(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = run(tiny_spec(data), tmp_path / "plain", stages=["train"])
    spec = tiny_spec(data, train={"validation": {"every_iters": 1}})
    with monkeypatch.context() as patched:
        scores_in_turn(patched, [0.25, 0.75, 0.5])
        directory, reporter = run(spec, tmp_path, stages=["train"])
    assert "chosen by their AP on split valid, which the run scores too" in reporter.warnings[0]
    assert reporter.messages[-1] == "keeps the best weights, iteration 2: AP 75.0, AP50 75.0 on valid"
    assert reporter.stages == ["train tiny"]
    assert network(directory.last_weights) == network(plain.weights) != network(directory.weights)
    assert (read_metadata(directory.weights)["iteration"], read_metadata(directory.last_weights)["iteration"]) == (
        ("2", "3")
    )
    trained = load(directory.provenance)["stages"]["train"]
    assert trained["iterations"] == 3
    best = {"iter": 2, "AP": 0.75, "AP50": 0.75, "AP75": 0.75, "AR1": 0.75, "AR10": 0.75}
    assert trained["validation"] == {"split": "valid", "validations": 3, "best": best}
    names = {"spec.yaml", "provenance.json", "losses.jsonl", "validation.jsonl", "tensorboard", ".lock"}
    names |= {"weights.safetensors", "weights-last.safetensors"}
    assert {path.name for path in directory.path.iterdir()} == names

    _, reporter = run(spec, tmp_path)
    assert reporter.messages == ["predicts with the best weights of the training, of iteration 2"]
    inferred = load(directory.provenance)["stages"]["infer/valid"]
    assert inferred["network_sha256"] == network(directory.weights) and inferred["weights_iteration"] == 2
    assert inferred["weights_chosen_by"]["AP"] == 0.75

    run(tiny_spec(data, train={"max_iters": 0}), tmp_path, force=True, stages=["train"])
    assert not directory.last_weights.exists() and not directory.validation.exists()


def test_a_validation_finds_what_the_evaluation_finds_later(data: Path, tmp_path: Path) -> None:
    spec = tiny_spec(data, train={"max_iters": 1, "validation": {"every_iters": 5}})
    directory, _ = run(spec, tmp_path)
    (found,) = (json.loads(line) for line in directory.validation.read_text().splitlines())
    metrics = load(directory.metrics())
    assert found == {"iter": 1} | {name: metrics[name] for name in ("AP", "AP50", "AP75", "AR1", "AR10")}
    assert network(directory.weights) == network(directory.last_weights)


def test_a_validation_that_was_interrupted_goes_on_with_its_next_video(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vistrials.engine import inference

    spec = tiny_spec(data, train={"validation": {"every_iters": 2}})
    whole, _ = run(spec, tmp_path / "whole")
    real, predicted = inference.track_video, []

    def track(model: Any, frames: Any, video_id: int, *more: Any) -> Any:
        predicted.append(video_id)
        if len(predicted) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(model, frames, video_id, *more)

    monkeypatch.setattr(inference, "most_processes", lambda: 1)
    monkeypatch.setattr(inference, "track_video", track)
    with pytest.raises(Interrupted, match="in the validation, stopped after iteration 2 of 3"):
        run(spec, tmp_path / "cut")
    cut, reporter = run(spec, tmp_path / "cut")
    # The second video again, then both of the last validation and both of the run.
    assert predicted == [7, 3, 3, 7, 3, 7, 3]
    for name in ("weights.safetensors", "weights-last.safetensors", "validation.jsonl", "predictions.json"):
        assert (cut.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.parametrize("has_crowds", [False, True])
def test_a_split_without_truth_cannot_choose_weights(tmp_path: Path, has_crowds: bool) -> None:
    data = write_tiny_data_set(tmp_path / "data", valid_annotated=has_crowds)
    document = load(data / "valid.json")
    for annotation in document.get("annotations", []):
        annotation["iscrowd"] = 1  # which counts neither as found nor as missed
    (data / "valid.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"valid\.json: found no annotated objects, but train\.validation") as caught:
        run(tiny_spec(data, train={"validation": {"every_iters": 1}}), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").glob("**/losses.jsonl"))


def test_one_video_and_another_split_are_enough(data: Path, tmp_path: Path) -> None:
    document = load(data / "train.json")
    first = document["videos"][0]["id"]
    document["videos"] = document["videos"][:1]
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] == first]
    (data / "train.json").write_text(json.dumps(document))
    spec = tiny_spec(data, train={"max_iters": 1, "validation": {"every_iters": 1, "split": "train"}})
    directory, reporter = run(spec, tmp_path, stages=["train"])
    assert reporter.warnings == []
    assert load(directory.provenance)["stages"]["train"]["validation"]["split"] == "train"
