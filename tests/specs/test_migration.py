"""Specs recorded by earlier versions: those of the shipped results, and such as are written here."""

import shutil
from pathlib import Path

import pytest

from vistrials.errors import RunError, SpecError
from vistrials.runs.directory import RunDirectory, result_digest
from vistrials.specs.loading import dump_spec, load_trial, parse_spec, trial_differences
from vistrials.specs.migration import SCHEMA, migrate
from vistrials.specs.trial import TrialSpec

RESULTS = Path(__file__).resolve().parents[2] / "results"
SHIPPED = sorted(RESULTS.glob("*/*/seed*/spec.yaml"))


def old_text(propagation: str = "{}", **switches: bool) -> str:
    return "\n".join(
        [
            "{name: mine, profile: demo,",
            f"model: {{track_head: {{num_fcs: 3}}, propagation: {propagation}}},",
            "released_behaviour: {" + ", ".join(f"{name}: {str(on).lower()}" for name, on in switches.items()) + "}}",
        ]
    )


def new(**sections: object) -> TrialSpec:
    return TrialSpec.model_validate({"name": "mine", "profile": "demo"} | sections)


def test_there_are_shipped_results_and_some_are_of_the_first_version() -> None:
    assert len(SHIPPED) >= 35
    assert any("released_behaviour" in path.read_text() for path in SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "-".join(path.parts[-4:-1]))
def test_shipped_results_are_read_and_mean_what_they_mean_in_the_present_version(path: Path) -> None:
    directory, spec = RunDirectory.open(path.parent)
    assert load_trial(path) == spec == parse_spec(dump_spec(spec))
    assert directory.differences(parse_spec(dump_spec(spec))) == ""


def test_a_shipped_result_goes_on_as_a_run_of_its_trial(tmp_path: Path) -> None:
    folder = tmp_path / "demo" / "baseline" / "seed0"
    shutil.copytree(RESULTS / "demo" / "baseline" / "seed0", folder)
    recorded = (folder / "spec.yaml").read_text()
    directory, spec = RunDirectory.open(folder)
    directory.prepare(spec)
    assert (folder / "spec.yaml").read_text() == recorded


@pytest.mark.parametrize("on", [False, True])
def test_switches_move_to_their_parts(on: bool) -> None:
    text = old_text(skip_single_positive_match=on, network_px_propagation=on, category_id_is_label=on)
    expected = new(
        model={
            "track_head": {"num_fcs": 3, "skip_single_positive_match": on},
            "propagation": {"network_px_propagation": on},
        },
        inference={"category_id_is_label": on},
    )
    assert parse_spec(text) == expected
    assert trial_differences(parse_spec(text), expected) == []
    assert result_digest(parse_spec(text)) == result_digest(expected)


def test_the_digest_tells_switched_specs_apart() -> None:
    digests = {
        result_digest(parse_spec(old_text(**{switch: True})))
        for switch in ("skip_single_positive_match", "network_px_propagation", "category_id_is_label")
    }
    assert len(digests | {result_digest(parse_spec(old_text()))}) == 4


def test_a_switch_of_a_propagation_that_is_not_there_is_dropped() -> None:
    spec = parse_spec(old_text("null", network_px_propagation=True))
    assert spec.model.propagation is None
    assert result_digest(spec) == result_digest(parse_spec(old_text("null")))


def test_a_file_of_an_earlier_version_is_read_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(old_text(category_id_is_label=True))
    spec = load_trial(path, overrides=["train.max_iters=3"])
    assert spec.inference.category_id_is_label and spec.train.max_iters == 3


def test_specs_are_written_with_the_present_version() -> None:
    spec = new()
    assert dump_spec(spec).startswith(f"schema: {SCHEMA}\n")
    assert dump_spec(spec, docs=True).startswith(f"schema: {SCHEMA}  # ")
    assert "released_behaviour" not in dump_spec(spec)


@pytest.mark.parametrize("version", [str(SCHEMA + 1), "0", "-1", "true", "1.0", "two", "null"])
def test_unknown_versions_are_refused_in_one_line(version: str, tmp_path: Path) -> None:
    text = dump_spec(new()).replace(f"schema: {SCHEMA}\n", f"schema: {version}\n")
    with pytest.raises(SpecError, match=rf"^a\.yaml: schema: expected a version from 1 to {SCHEMA}, found [^\n]*$"):
        parse_spec(text, "a.yaml")
    path = tmp_path / "demo" / "mine" / "seed0" / "spec.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(SpecError, match="schema: expected a version"):
        load_trial(path)
    with pytest.raises(RunError, match="schema: expected a version"):
        RunDirectory.open(path.parent)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{name: a, profile: b, released_behaviour: [1]}", "released_behaviour"),
        ("{name: a, profile: b, released_behaviour: {magic: true}}", "released_behaviour"),
        (f"{{schema: {SCHEMA}, name: a, profile: b, released_behaviour: {{}}}}", "released_behaviour"),
        ("{name: a, profile: b, inference: 3, released_behaviour: {category_id_is_label: true}}", "inference"),
        ("{name: a, profile: b, released_behaviour: {category_id_is_label: 7}}", "inference.category_id_is_label"),
    ],
)
def test_mistakes_in_earlier_versions_are_still_found(text: str, path: str) -> None:
    with pytest.raises(SpecError, match=f"^spec.yaml: {path}: "):
        parse_spec(text)


def test_the_document_is_left_alone() -> None:
    document = {"name": "a", "inference": {}, "released_behaviour": {"category_id_is_label": True}}
    assert migrate(document, "spec.yaml")["inference"] == {"category_id_is_label": True}
    assert document == {"name": "a", "inference": {}, "released_behaviour": {"category_id_is_label": True}}
