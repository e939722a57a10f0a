"""Inheritance, overrides and errors of trials and profiles, on files written here and on the shipped ones."""

from pathlib import Path
from typing import Any

import pytest

from vistrials.errors import SpecError
from vistrials.models.objprop import build_model
from vistrials.specs.loading import (
    dump_spec,
    list_profiles,
    list_trials,
    load_table_rows,
    load_trial,
    overrides_within,
    parse_spec,
    trial_differences,
    trials_of_parts,
)
from vistrials.specs.trial import TrialSpec

TRIALS = [file.name for file in list_trials()]
PROFILES = [file.name for file in list_profiles()]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes ./trials/NAME.yaml of an empty working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trials" / "profiles").mkdir(parents=True)

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / "trials" / f"{name}.yaml"
        path.write_text(text)
        return path

    return write_file


# --- The shipped trials


def test_the_eight_trials_and_what_they_start_from_are_shipped() -> None:
    assert set(TRIALS) >= {
        *("baseline", "baseline_tuning_1", "baseline_tuning_2", "baseline_ordered", "additional_training"),
        *("attention_neck", "attention_neck_ordered", "weighted_affinity"),
        *("masktrack_rcnn", "masktrack_rcnn_continued"),
    }
    assert set(PROFILES) >= {"youtube_vis_2019", "youtube_vis_2021", "ovis", "demo", "demo_pretrain", "smoke"}


def test_every_shipped_trial_has_its_row_in_tables_once() -> None:
    rows = load_table_rows()
    assert sorted(trial for part in rows.values() for trial in part) == TRIALS
    assert set(rows) == {"starts", "study", "further", "neck", "propagation", "affinity", "sampling"}
    assert len(rows["study"]) == 8


def test_parts_of_the_table_stand_for_their_trials() -> None:
    rows = load_table_rows()
    assert trials_of_parts(["neck", "baseline", "neck_conv"]) == [*rows["neck"], "baseline"]
    assert sorted(trials_of_parts([])) == sorted((*rows["starts"], *rows["study"], *rows["further"]))


@pytest.mark.parametrize("trial", [trial for part in ("propagation", "affinity") for trial in load_table_rows()[part]])
def test_controls_that_train_nothing_differ_from_their_start_at_inference_alone(trial: str) -> None:
    spec = load_trial(trial)
    if spec.train.max_iters != 0:
        return
    start = load_trial(spec.init.from_trial)
    assert spec.init.weights is None and spec.data == start.data and spec.inference == start.inference
    ours, theirs = (build_model(s.model, 3).state_dict() for s in (spec, start))
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("trial", TRIALS)
def test_every_shipped_trial_resolves_under_every_profile_and_reads_back(trial: str, profile: str) -> None:
    spec = load_trial(trial, profile)
    assert (spec.name, spec.profile) == (trial, profile)
    assert spec.description
    assert parse_spec(dump_spec(spec)) == spec
    assert parse_spec(dump_spec(spec, docs=True)) == spec


@pytest.mark.parametrize(
    ("trial", "differences"),
    [
        ("baseline", {}),
        (
            "baseline_tuning_1",
            {
                "init.from": ("masktrack_rcnn", "masktrack_rcnn_deep"),
                "model.backbone.depth": (50, 101),
                "model.box_head.num_fcs": (2, 4),
                "model.track_head.num_fcs": (2, 4),
                "model.mask_head.num_convs": (4, 6),
            },
        ),
        (
            "baseline_tuning_2",
            {
                "model.box_head.loss_cls_weight": (1.0, 1.5),
                "model.box_head.assigner.positive_iou": (0.5, 0.6),
                "model.box_head.assigner.negative_iou": (0.5, 0.6),
                "model.box_head.assigner.min_positive_iou": (0.5, 0.6),
            },
        ),
        ("baseline_ordered", {"data.sampling": ("random", "ordered")}),
        ("baseline_window", {"data.sampling": ("random", "window:3")}),
        ("additional_training", {"init.from": ("masktrack_rcnn", "baseline")}),
    ],
)
def test_a_trial_differs_from_the_baseline_only_where_published(
    trial: str, differences: dict[str, tuple[Any, Any]]
) -> None:
    spec, baseline = load_trial(trial, "youtube_vis_2019"), load_trial("baseline", "youtube_vis_2019")
    found = {path: (before, after) for path, before, after in trial_differences(spec, baseline)}
    assert found == differences


@pytest.mark.parametrize(
    ("trial", "paths"),
    [
        ("attention_neck", {"model.neck"}),
        ("attention_neck_ordered", {"model.neck", "data.sampling"}),
        ("attention_neck_deep", {"model.neck"}),
        ("weighted_affinity", {"model.propagation.affinity"}),
        ("weighted_affinity_shared", {"model.propagation.affinity"}),
        ("weighted_affinity_per_category", {"model.propagation.affinity"}),
        ("masktrack_rcnn_continued", {"model.propagation"}),
    ],
)
@pytest.mark.parametrize("profile", ["youtube_vis_2019", "demo"])
def test_a_structural_trial_differs_in_one_part(trial: str, paths: set[str], profile: str) -> None:
    differences = trial_differences(load_trial(trial, profile), load_trial("baseline", profile))
    assert {path for path, _, _ in differences} == paths


def test_the_published_profile_is_the_published_setting() -> None:
    spec = load_trial("baseline", "youtube_vis_2019")
    assert spec.model.model_dump() == TrialSpec(name="x", profile="x").model_dump()["model"]
    assert spec.data.image_size_px == (640, 360)
    assert (spec.train.epochs, spec.train.batch_size, spec.train.optimizer.kind) == (12, 4, "sgd")


def test_additional_training_starts_from_the_baseline_even_where_a_profile_ships_weights() -> None:
    spec = load_trial("additional_training", "demo")
    assert (spec.init.from_trial, spec.init.weights) == ("baseline", None)


def test_masktrack_rcnn_settings_of_the_real_data_do_not_reach_the_demo() -> None:
    real, demo = load_trial("masktrack_rcnn", "youtube_vis_2021"), load_trial("masktrack_rcnn", "demo")
    baseline = load_trial("baseline", "demo")
    assert real.model.rpn.proposals.max_num == 200 and real.inference.max_detections == 10
    assert demo.model.rpn == baseline.model.rpn and demo.inference == baseline.inference
    assert demo.train.max_iters == 0


# --- Merging


def test_the_order_of_the_layers(write: Any) -> None:
    write("profiles/base", "train: {epochs: 21, batch_size: 1, num_workers: 1, checkpoint_every_iters: 1}")
    write("profiles/child", "extends: base\ntrain: {batch_size: 2, num_workers: 2, checkpoint_every_iters: 2}")
    write("root", "train: {num_workers: 3}\nper_profile:\n  base: {train: {checkpoint_every_iters: 3}}")
    write("leaf", "extends: root\ninit: {backbone: random}")
    train = load_trial("leaf", "child", ["train.checkpoint_every_iters=4"]).train
    # defaults < root profile < profile < trial < overrides, one field each
    assert train.clip_grad_norm == 35.0
    assert (train.epochs, train.batch_size, train.num_workers, train.checkpoint_every_iters) == (21, 2, 3, 4)
    assert load_trial("leaf", "child").train.checkpoint_every_iters == 3


def test_per_profile_applies_root_first_and_only_where_it_belongs(write: Any) -> None:
    write("profiles/base", "")
    write("profiles/child", "extends: base")
    write("profiles/other", "")
    write("t", "per_profile:\n  child: {train: {epochs: 14}}\n  base: {train: {epochs: 13, batch_size: 3}}")
    assert (load_trial("t", "child").train.epochs, load_trial("t", "child").train.batch_size) == (14, 3)
    assert load_trial("t", "base").train.epochs == 13
    assert load_trial("t", "other").train.epochs == 12


def test_a_trials_per_profile_comes_before_the_sections_of_one_that_extends_it(write: Any) -> None:
    write("profiles/p", "")
    write("root", "per_profile: {p: {train: {epochs: 13}}}")
    write("leaf", "extends: root\ntrain: {epochs: 14}")
    assert load_trial("leaf", "p").train.epochs == 14


def test_null_removes_a_part_and_a_mapping_brings_it_back_with_defaults(write: Any) -> None:
    write("profiles/p", "model: {propagation: {channels: 48}}")
    write("without", "model: {propagation: null}")
    write("again", "extends: without\nmodel: {propagation: {affinity: {kind: weighted, scope: shared}}}")
    write("renamed", "extends: again\nmodel: {propagation: {affinity: {init: random}}}")
    assert load_trial("without", "p").model.propagation is None
    again = load_trial("again", "p").model.propagation
    assert again is not None and again.channels == 256
    renamed = load_trial("renamed", "p").model.propagation
    assert (
        renamed is not None and renamed.affinity.model_dump().items() >= {"scope": "shared", "init": "random"}.items()
    )


def test_another_kind_replaces_the_whole_mapping_and_the_same_kind_merges(write: Any) -> None:
    write("profiles/p", "train: {optimizer: {lr: 0.5, weight_decay: 0.25}}")
    write("t", "")
    same = load_trial("t", "p", ["train.optimizer.lr=0.125"]).train.optimizer
    other = load_trial("t", "p", ["train.optimizer.kind=adamw"]).train.optimizer
    assert same.model_dump() == {"kind": "sgd", "lr": 0.125, "momentum": 0.9, "weight_decay": 0.25}
    assert other.model_dump() == {"kind": "adamw", "lr": 2e-3, "weight_decay": 1e-2}


def test_lists_replace(write: Any) -> None:
    write("profiles/p", "data: {splits: [minival, occlusion], source: {kind: synthetic}}")
    write("t", "data: {splits: [occlusion]}")
    assert load_trial("t", "p").data.splits == ("occlusion",)


def test_an_empty_section_changes_nothing(write: Any) -> None:
    write("profiles/p", "train:\nmodel: {}")
    write("t", "data:")
    assert load_trial("t", "p").train == TrialSpec(name="t", profile="p").train


@pytest.mark.parametrize(
    "text", ["train.optimizer.lr=1e-3", "train={optimizer: {lr: 0.001}}", "train.optimizer.lr= .001"]
)
def test_override_values_are_yaml(text: str) -> None:
    assert load_trial("baseline", "youtube_vis_2019", [text]).train.optimizer.lr == 0.001


def test_overrides_reach_the_recorded_spec() -> None:
    spec = load_trial("baseline", "demo", ["model.propagation=null", "train.max_iters=7"])
    assert parse_spec(dump_spec(spec)).model.propagation is None
    assert parse_spec(dump_spec(spec)).train.max_iters == 7


# --- Looking files up


def test_a_trial_of_the_working_directory_hides_a_shipped_one(write: Any) -> None:
    write("baseline", "description: mine\ntrain: {epochs: 30}")
    assert load_trial("baseline", "youtube_vis_2019").train.epochs == 30
    assert next(file for file in list_trials() if file.name == "baseline").description == "mine"
    assert load_trial("baseline_ordered", "youtube_vis_2019").train.epochs == 30


def test_a_path_works_and_extends_the_shipped_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "near.yaml").write_text("extends: attention_neck")
    (tmp_path / "mine.yaml").write_text("extends: near\ntrain: {max_iters: 3}")
    spec = load_trial(tmp_path / "mine.yaml", "demo")
    assert (spec.name, spec.train.max_iters) == ("mine", 3)
    assert spec.model.neck is not None and spec.model.neck.levels == (0, 1, 2, 3)
    assert load_trial(str(tmp_path / "mine.yaml")) == spec


def test_a_recorded_spec_loads_by_its_path_with_overrides(tmp_path: Path) -> None:
    spec = load_trial("attention_neck", "smoke")
    recorded = tmp_path / "spec.yaml"
    recorded.write_text(dump_spec(spec))
    assert load_trial(recorded) == spec
    assert load_trial(recorded, "smoke", ["train.max_iters=5"]).train.max_iters == 5
    with pytest.raises(SpecError, match="expected 'ovis', found 'smoke'"):
        load_trial(recorded, "ovis")


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("train.max_iters=5", "train.max_iters=5"),
        ("train={max_iters: 5}", "train={max_iters: 5}"),
        ("init.backbone=random", "init.backbone=random"),
        ("init={weights: null, backbone: random}", "init={backbone: random}"),
        ("init={weights: null}", None),
        ("model.neck={num_convs: 3}", None),
        ("inference={}", None),
        ("training_of_another_kind.x=1", "unknown section"),
    ],
)
def test_overrides_are_chosen_by_what_they_set(override: str, kept: str | None) -> None:
    if kept == "unknown section":
        with pytest.raises(SpecError, match=kept):
            overrides_within([override], ["train", "init.backbone"])
        return
    chosen = overrides_within(["model.neck=null", override], ["train", "init.backbone"])
    assert chosen == (() if kept is None else (kept,))


# --- Errors: one line each, with file, key path, expected and found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: {}", "modle: unknown key; did you mean 'model'?"),
        ("model: {backbone: {detph: 18}}", "model.backbone.detph: unknown key; did you mean 'depth'?"),
        ("model: {backbone: {depth: 17}}", "model.backbone.depth: expected 18, 34, 50, 101 or 152, found 17"),
        ("train: {epochs: 0}", "train.epochs: expected greater than 0, found 0"),
        ("train: {epochs: many, batch_size: 0}", "(and 1 more)"),
        ("train: {optimizer: {kind: adam}}", "train.optimizer: unknown kind 'adam'; did you mean 'adamw'?"),
        ("train: {optimizer: sgd}", "train.optimizer: expected a mapping, found 'sgd'"),
        ("train: [1]", "train: expected a mapping, found [1]"),
        ("data: {splits: valid}", "data.splits: expected a list, found 'valid'"),
        ("data: {sampling: window:0}", "data.sampling: expected random, ordered, window:K or widening:K"),
        ("data: {image_size_px: [360, 640]}", "image_size_px is (long, short)"),
        ("model: {neck: {levels: [7]}}", "neck.levels names level 7 but fpn.num_levels is 5"),
        ("init: {from_trial: baseline}", "init.from_trial: unknown key"),
        ("init: {from: t}", "init.from names the trial itself (t)"),
        ("init: {from: basline}", "init.from: no trial 'basline'; did you mean 'baseline'?"),
        ("extends: basline", "extends: no trial 'basline'; did you mean 'baseline'?"),
        ("per_profile: {dmeo: {}}", "per_profile.dmeo: no such profile; did you mean 'demo'?"),
        ("per_profile: {youtube_vis_2019: {trian: {}}}", "trian: unknown section; did you mean 'train'?"),
        (
            "per_profile: {youtube_vis_2019: {train: {epochs: 0}}}",
            "(per_profile.youtube_vis_2019): train.epochs: expected",
        ),
        ("description: 4", "description: expected text, found 4"),
        ("- 1", "expected a mapping, found [1]"),
        ("model: {}\nmodel: {}", "'model' is given twice"),
    ],
)
def test_a_mistake_in_a_file(write: Any, text: str, message: str) -> None:
    write("t", text)
    with pytest.raises(SpecError) as caught:
        load_trial("t", "youtube_vis_2019")
    assert str(caught.value).startswith("trials/t.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_layer_that_wrote_the_value_is_blamed(write: Any) -> None:
    write("profiles/p", "train: {batch_size: 0}")
    write("t", "train: {epochs: 3, max_iters: 1}")
    with pytest.raises(SpecError, match=r"^trials/profiles/p\.yaml: train\.batch_size: "):
        load_trial("t", "p")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "expected KEY.KEY=VALUE"),
        ("train=3", "train: expected a mapping, found 3"),
        ("trian.epochs=3", "did you mean 'train'?"),
        ("train.epoch=3", "train.epoch: unknown key; did you mean 'epochs'?"),
        ("train.epochs=0", "train.epochs: expected greater than 0, found 0"),
        ("name.x=3", "name: unknown section"),
        ("train.epochs=[1", "expected YAML"),
    ],
)
def test_a_mistake_in_an_override(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_trial("baseline", "youtube_vis_2019", [override])
    assert str(caught.value).startswith(f"--set {override}: ")
    assert message in str(caught.value)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="no trial 'atention_neck'; did you mean 'attention_neck'?"):
        load_trial("atention_neck")
    with pytest.raises(SpecError, match="no profile 'dmeo'; did you mean 'demo'?"):
        load_trial("baseline", "dmeo")
    with pytest.raises(SpecError, match="missing.yaml: expected a trial's YAML file, found none"):
        load_trial("missing.yaml")


def test_circles_are_refused(write: Any) -> None:
    write("a", "extends: b")
    write("b", "extends: a")
    with pytest.raises(SpecError, match="extends goes in circles: a -> b -> a"):
        load_trial("a")
    write("c", "init: {from: d}")
    write("d", "init: {from: c}")
    with pytest.raises(SpecError, match="init.from: goes in circles: c -> d -> c"):
        load_trial("c", "youtube_vis_2019")


def test_a_trial_name_is_a_folder_name(write: Any) -> None:
    write("two words", "")
    with pytest.raises(SpecError, match="name: expected text like .*, found 'two words'"):
        load_trial("two words")
