"""Seeds are added to undecided trials only; runs are made up at once, with matches that a test chooses."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.evaluation.drawn_matches import one_object_each
from tests.reports.fake_runs import SPLITS, write_run_with_matches
from vistrials import pipeline
from vistrials.cli import app
from vistrials.errors import RunError, SpecError
from vistrials.reports.comparison import compare_runs
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.trial import TrialSpec
from vistrials.study import Failure
from vistrials.until_decided import Outcome, run_until_decided

# Of 20 objects, those that are found with each seed.
FOUND = {
    "baseline": [5, 6, 5, 6, 5, 6],
    "attention_neck": [18, 18, 19, 18, 19, 18],
    "weighted_affinity": [2, 9, 5, 3, 8, 2],
    "masktrack_rcnn": [7] * 6,
}


def trial(name: str) -> TrialSpec:
    return TrialSpec(name=name, profile="demo", data=DataSpec(source=FileSource(root="/data"), splits=SPLITS))


class Runs:
    """Stands for `pipeline.run`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.broken: set[tuple[str, int]] = set()

    def run(self, spec: TrialSpec, results_dir: Path | str, seed: int, **options: Any) -> None:
        self.calls.append((spec.name, seed))
        if (spec.name, seed) in self.broken:
            raise RunError("out of order")
        num_right = FOUND[spec.name][seed]
        matches = one_object_each([(0.9 - n / 100, n < num_right) for n in range(20)])
        network = "abcd" if spec.name == "masktrack_rcnn" else f"{spec.name} {seed}"
        for split in SPLITS:
            write_run_with_matches(Path(results_dir), spec.name, seed, matches, split=split, network=network)

    def seeds(self, name: str) -> list[int]:
        return [seed for called, seed in self.calls if called == name]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Runs:
    runs = Runs()
    monkeypatch.setattr(pipeline, "run", runs.run)
    return runs


def decide(tmp_path: Path, *names: str, **options: Any) -> tuple[Outcome, list[str]]:
    said: list[str] = []
    specs = [trial(name) for name in names]
    settings = {"max_seeds": 5, "device": "cpu"} | options
    return run_until_decided(specs, tmp_path, say=said.append, **settings), said


def test_a_trial_that_is_decided_gets_no_more_seeds(fake: Runs, tmp_path: Path) -> None:
    outcome, said = decide(tmp_path, "attention_neck", "baseline", "weighted_affinity")
    assert fake.seeds("attention_neck") == [0, 1, 2]
    assert fake.seeds("baseline") == fake.seeds("weighted_affinity") == [0, 1, 2, 3, 4]
    assert outcome == Outcome(("weighted_affinity",), (), 3 + 5 + 5, 15)
    assert said[0] == "3 seeds: attention_neck is better"
    assert [line.split(" is ")[0] for line in said[1:]] == [f"{n} seeds: weighted_affinity" for n in (3, 4, 5)]


def test_the_first_look_is_at_three_seeds_and_the_baseline_has_no_more_than_it_takes(
    fake: Runs, tmp_path: Path
) -> None:
    outcome, _ = decide(tmp_path, "baseline", "attention_neck", max_seeds=6)
    assert fake.seeds("baseline") == [0, 1, 2]
    assert outcome == Outcome((), (), 6, 12)
    plan = compare_runs(tmp_path, "demo", num_draws=100).seed_plan
    assert plan is not None and (plan.max_seeds, plan.trials) == (6, ("attention_neck",))


def test_one_network_is_not_waited_for(fake: Runs, tmp_path: Path) -> None:
    outcome, said = decide(tmp_path, "baseline", "masktrack_rcnn")
    assert fake.seeds("masktrack_rcnn") == [0, 1, 2] and outcome.undecided == ()
    assert said == ["3 seeds: masktrack_rcnn gets no verdict with more of them; `vistrials compare` says why"]


def test_the_margin_and_the_split_decide(fake: Runs, tmp_path: Path) -> None:
    outcome, said = decide(tmp_path, "baseline", "weighted_affinity", margin=99.0, split="occlusion")
    assert outcome.undecided == () and said == ["3 seeds: weighted_affinity is equal"]
    # So it does for `compare`, unless it is given another.
    compared = compare_runs(tmp_path, "demo", "occlusion")
    assert compared.seed_plan is not None and compared.margin == 99.0
    assert [str(row.judgement.verdict) for row in compared.rows if row.judgement] == ["equal"]
    assert compare_runs(tmp_path, "demo", "occlusion", margin=2.0).margin == 2.0
    assert compare_runs(tmp_path, "demo", "minival", num_draws=100).seed_plan is None


def test_the_same_call_goes_on_and_another_plan_is_refused(fake: Runs, tmp_path: Path) -> None:
    names = ("baseline", "attention_neck", "weighted_affinity")
    fake.broken = {("weighted_affinity", 3)}
    outcome, _ = decide(tmp_path, *names)
    assert outcome.failures == (Failure("weighted_affinity", 3, "out of order"),)
    assert outcome.undecided == ("weighted_affinity",) and max(fake.seeds("baseline")) == 3
    fake.broken = set()
    outcome, _ = decide(tmp_path, *names)
    assert outcome.failures == () and max(fake.seeds("weighted_affinity")) == 4
    with pytest.raises(RunError, match=r"another plan has begun here .*at most 5 seeds\), expected .*at most 6 seeds"):
        decide(tmp_path, *names, max_seeds=6)


def test_compare_reads_a_plan_whose_trials_have_not_all_run(fake: Runs, tmp_path: Path) -> None:
    fake.broken = {("weighted_affinity", seed) for seed in range(3)}
    decide(tmp_path, "baseline", "attention_neck", "weighted_affinity")
    compared = compare_runs(tmp_path, "demo", num_draws=100)
    assert [row.trial for row in compared.rows if row.judgement] == ["attention_neck"]
    assert any(note.endswith("no figures yet of weighted_affinity") for note in compared.notes)


def test_runs_that_were_there_before_are_counted_and_named(fake: Runs, tmp_path: Path) -> None:
    for name in ("baseline", "weighted_affinity"):
        for seed in range(4):
            fake.run(trial(name), tmp_path, seed)
    _, said = decide(tmp_path, "baseline", "weighted_affinity")
    assert said[0] == "runs had figures before this plan: its error holds if they were not what it was made for"
    assert [line.split(" is ")[0] for line in said[1:]] == [f"{n} seeds: weighted_affinity" for n in (4, 4, 5)]
    _, said = decide(tmp_path, "baseline", "weighted_affinity")
    assert not any("before this plan" in line for line in said)


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("attention_neck",), {}, "expected baseline and a trial to compare with it, found attention_neck"),
        (("baseline",), {}, "expected baseline and a trial"),
        (("baseline", "attention_neck"), {"max_seeds": 2}, "expected 3 seeds or more at most, found 2"),
        (("baseline", "attention_neck"), {"margin": 0.0}, "margin: expected AP above 0 .*, found 0"),
        (("baseline", "attention_neck"), {"split": "gaps"}, "baseline predicts minival, occlusion, expected gaps"),
    ],
)
def test_what_cannot_be_decided_is_said_first(
    fake: Runs, tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        decide(tmp_path, *names, **options)
    assert fake.calls == [] and not list(tmp_path.iterdir())


# --- Command


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["run-all", *(str(argument) for argument in arguments)])


def test_the_command_adds_the_baseline_and_says_what_it_saved(fake: Runs, tmp_path: Path) -> None:
    result = vistrials(
        "attention_neck", "--until-decided", "--max-seeds", "4", "--results", tmp_path, "--device", "cpu"
    )
    assert result.exit_code == 0, result.stderr
    assert "3 seeds: attention_neck is better" in result.stdout
    assert "still undecided: none; 6 runs of the 8 that all seeds would have taken" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until-decided", "--seeds", "0,1"), "--seeds: expected none with --until-decided"),
        (("--margin", "2"), "--margin: expected only with --until-decided"),
        (("--max-seeds", "2"), "--max-seeds: expected only with --until-decided"),
        (("--split", "minival"), "--split: expected only with --until-decided"),
    ],
)
def test_options_without_effect_are_refused(fake: Runs, options: tuple[str, ...], said: str) -> None:
    result = vistrials("attention_neck", *options)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and said in result.stderr
    assert fake.calls == []
