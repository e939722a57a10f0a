"""What is written without effect is refused by the layer that wrote it; a layer above may make another one idle."""

from pathlib import Path

import pytest

from vistrials.errors import SpecError
from vistrials.specs.loading import dump_spec, load_trial

PUBLISHED = "youtube_vis_2019"


@pytest.mark.parametrize(
    ("trial", "profile", "overrides", "message"),
    [
        ("baseline", "demo", ["train.epochs=3"], "train.max_iters says how long it trains, 500; set that to null"),
        ("baseline", PUBLISHED, ["train.max_iters=9", "train={epochs: 3, schedule: {kind: cosine}}"], "trains, 9"),
        ("baseline", "demo", ["train.num_workers=2"], "train.cache_frames keeps the frames in the training process"),
        ("baseline", PUBLISHED, ["train={num_workers: 2, cache_frames: true}"], "train.cache_frames keeps the frames"),
        ("baseline", "demo", ["train={max_iters: 0, validation: {every_iters: 5}}"], "there is no training to score"),
        ("baseline", "demo", ["train.max_iters=0", "data.num_references=2"], "no training to take samples for"),
        (
            "weighted_affinity_shared",
            "demo",
            ["model.propagation.affinity.num_samples=8"],
            "it counts the matrices of scope per_sample, and the scope is shared",
        ),
        (
            "weighted_affinity",
            "demo",
            ["model.propagation.affinity={num_samples: 8, scope: per_category}"],
            "the scope is per_category",
        ),
        (
            "baseline",
            "demo",
            ["model.propagation.at_inference=false", "model.propagation.network_px_propagation=true"],
            "model.propagation.at_inference is false",
        ),
        ("baseline", "demo", ["model.propagation={at_inference: false, sigma_cells: 4}"], "at_inference is false"),
        ("propagation_train_only", "demo", ["model.propagation.gap_frames=4"], "at_inference is false"),
        (
            "weighted_affinity",
            "demo",
            ["model.propagation={at_inference: false, affinity: {at_inference: true}}"],
            "model.propagation.at_inference is false",
        ),
        ("baseline", "demo", ["init.from=attention_neck"], "it starts from init.weights, shipped:masktrack_rcnn_demo"),
        ("baseline", "demo", ["init.backbone=random"], "it starts from init.weights, shipped:masktrack_rcnn_demo"),
    ],
)
def test_an_override_without_effect(trial: str, profile: str, overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_trial(trial, profile, overrides)
    assert str(caught.value).startswith(f"--set {overrides[-1]}: ")
    assert f": without effect in {trial}: " in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("trial", "profile", "overrides"),
    [
        ("baseline", "demo", ["train.epochs=3", "train.max_iters=null"]),
        ("baseline", "demo", ["train.max_iters=null", "train.epochs=3"]),
        # The milestones of the published schedule refer to the epochs.
        ("baseline", PUBLISHED, ["train.epochs=24", "train.max_iters=100"]),
        ("baseline", PUBLISHED, ["train.max_iters=100"]),
        ("baseline", "demo", ["train.num_workers=0"]),
        ("baseline", "demo", ["train.validation.every_iters=5", "train.validation.patience=2"]),
        ("consistent_memory", "demo", ["train.max_iters=0"]),
        ("baseline", "demo", ["train.max_iters=0", "data.num_references=1"]),
        ("baseline", "demo", ["train.num_workers=2", "train.cache_frames=false"]),
        ("baseline", PUBLISHED, ["train.cache_frames=true"]),
        ("weighted_affinity", "demo", ["model.propagation.affinity.num_samples=8"]),
        ("weighted_affinity_shared", "demo", ["model.propagation.affinity={num_samples: 8, scope: per_sample}"]),
        ("baseline", "demo", ["model.propagation.network_px_propagation=true"]),
        ("baseline", "demo", ["model.propagation={at_inference: false, network_px_propagation: false}"]),
        # Over null it adds the head.
        ("masktrack_rcnn", "demo", ["model.propagation.network_px_propagation=true"]),
        ("baseline", "demo", ["init={from: attention_neck, weights: null}"]),
        ("baseline", "demo", ["init={from: null, weights: null, backbone: random}"]),
        ("baseline", PUBLISHED, ["init.backbone=random"]),  # reaches the trial that it starts from
    ],
)
def test_an_override_with_an_effect(trial: str, profile: str, overrides: list[str]) -> None:
    load_trial(trial, profile, overrides)


def test_a_file_is_blamed_for_what_it_wrote_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: baseline\ntrain: {epochs: 30}\n")
    assert load_trial(file, PUBLISHED).train.epochs == 30
    with pytest.raises(SpecError, match=r"mine\.yaml: train\.epochs: without effect in mine: train\.max_iters says"):
        load_trial(file, "demo")
    file.write_text(file.read_text() + "per_profile: {demo: {train: {max_iters: null}}}\n")
    assert load_trial(file, "demo").train.max_iters is None


def test_epochs_beside_a_number_of_iterations_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: baseline\ntrain: {epochs: 20, max_iters: 90}\n")
    assert load_trial(file, PUBLISHED).train.epochs == 20  # what its milestones refer to
    file.write_text("extends: baseline\ntrain: {epochs: 20, max_iters: 90, schedule: {kind: cosine}}\n")
    with pytest.raises(SpecError, match=r"mine\.yaml: train\.epochs: without effect in mine: .* 90;"):
        load_trial(file, PUBLISHED)


def test_a_recorded_spec_may_hold_all_and_overrides_of_it_may_not(tmp_path: Path) -> None:
    recorded = tmp_path / "spec.yaml"
    recorded.write_text(dump_spec(load_trial("weighted_affinity_shared", "demo")))
    spec = load_trial(recorded)
    assert (spec.train.epochs, spec.train.max_iters) == (12, 500)
    with pytest.raises(SpecError, match=r"^--set train\.epochs=3: train\.epochs: without effect"):
        load_trial(recorded, overrides=["train.epochs=3"])


@pytest.mark.parametrize("profile", ["demo", PUBLISHED])
def test_a_start_that_is_no_trial_is_refused_also_beside_weights(tmp_path: Path, profile: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: baseline\ninit: {from: basline}\n")
    with pytest.raises(SpecError, match=r"mine\.yaml: init\.from: no trial 'basline'; did you mean 'baseline'\?"):
        load_trial(file, profile)
