"""The commands, as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from vistrials import cli
from vistrials.cli import app
from vistrials.commands.options import all_overrides
from vistrials.engine.interruption import StopRequest
from vistrials.specs.loading import load_trial, parse_spec

ROOT = Path(__file__).resolve().parents[1]
SQUARE = {"size": [10, 10], "counts": [0, 40, 60]}  # the first four columns: 40 pixels


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Two videos of two frames, one track each, without frame files."""
    document = {
        "videos": [
            {"id": v, "width": 10, "height": 10, "length": 2, "file_names": [f"{v}/0.jpg", f"{v}/1.jpg"]}
            for v in (1, 2)
        ],
        "categories": [{"id": 7, "name": "zebra"}],
        "annotations": [
            {
                "id": v,
                "video_id": v,
                "category_id": 7,
                "iscrowd": 0,
                "width": 10,
                "height": 10,
                "bboxes": [[0, 0, 4, 10]] * 2,
                "areas": [40, 40],
                "segmentations": [SQUARE] * 2,
            }
            for v in (1, 2)
        ],
    }
    path = tmp_path / "train.json"
    path.write_text(json.dumps(document))
    return path


def test_help_of_a_fresh_process_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "vistrials.cli", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0 and "evaluate" in done.stdout
    # 0.2 to 0.35 s measured on two cores; torch alone takes more than a second to import.
    assert min(seconds) < 1.0


@pytest.mark.parametrize("command", [[], ["data"], *([c] for c in ("list", "show", "run", "evaluate", "visualize"))])
def test_every_command_explains_itself(command: list[str]) -> None:
    result = vistrials(*command, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_version() -> None:
    shown = vistrials("--version")
    assert shown.exit_code == 0 and shown.stdout.startswith("vistrials 0.1.0 (python 3.")


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "vistrials", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, vistrials("--version").stdout)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("plot", ["plot-losses", "plot-effects"]),
        ("run attention", ["attention_neck", "attention_neck_deep", "attention_neck_ordered"]),
        ("run baseline --profile youtube", ["youtube_vis_2019", "youtube_vis_2021"]),
    ],
)
def test_the_shell_completes_commands_trials_and_profiles(typed: str, offered: list[str]) -> None:
    words = f"vistrials {typed}"
    asked = {"_VISTRIALS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "from vistrials.cli import app; app(prog_name='vistrials')"]
    completed = subprocess.run(command, cwd=ROOT, env=os.environ | asked, capture_output=True, text=True)
    assert completed.stdout.split() == offered, completed.stderr


def test_list_names_trials_and_profiles_with_their_line() -> None:
    shown = squeezed(vistrials("list").stdout)
    assert "baseline_ordered the reference frame is the nearest earlier annotated one" in shown
    assert "youtube_vis_2021" in shown


# --- show, check


def test_show_prints_yaml_that_loads_the_differences_and_the_parameters() -> None:
    result = vistrials("show", "attention_neck", "--profile", "demo", "--set", "train.max_iters=3")
    assert result.exit_code == 0
    text, _, rest = result.stdout.partition("\n\n")
    assert parse_spec(text) == load_trial("attention_neck", "demo", ["train.max_iters=3"])
    shown = squeezed(rest)
    assert "train.max_iters 500 3" in shown
    # Two 3x3 convolutions of 48 channels with bias, and gamma.
    extra = 2 * (48 * 48 * 9 + 48) + 1
    assert f"neck {extra:,} +{extra:,}" in shown


def test_show_doc_explains_each_field_and_still_loads() -> None:
    result = vistrials("show", "baseline", "--doc")
    text = result.stdout.partition("\n\n")[0]
    assert "flip_probability: 0.5  # Horizontal flip of all frames of a sample in training." in text
    assert yaml.safe_load(text)["data"]["flip_probability"] == 0.5
    assert "no setting differs from baseline under demo" in result.stdout


def test_data_switches_to_files_and_keeps_the_profiles_candidates(tmp_path: Path) -> None:
    shown = {
        profile: yaml.safe_load(
            vistrials("show", "baseline", "-p", profile, "--data", tmp_path).stdout.partition("\n\n")[0]
        )["data"]
        for profile in ("demo", "ovis")
    }
    for data in shown.values():
        assert (data["source"]["kind"], data["source"]["root"]) == ("files", str(tmp_path))
        assert data["splits"] == ["valid"]
    assert "annotations_train.json" in shown["ovis"]["source"]["train_annotations"]


def test_check_passes_over_everything_shipped() -> None:
    result = vistrials("check")
    assert result.exit_code == 0 and "are valid" in result.stdout


def test_check_names_each_mistake_once_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: baseline\ntrain: {epoch: 3}")
    result = vistrials("check", file)
    assert result.exit_code == 2
    assert result.stderr == f"error: {file}: train.epoch: unknown key; did you mean 'epochs'?\n"
    file.write_text("extends: baseline\nper_profile: {smoke: {train: {epochs: 0}}}")
    assert "(per_profile.smoke): train.epochs: expected greater than 0" in vistrials("check", file).stderr


# --- Errors


def test_a_mistake_is_one_line_on_stderr_and_exit_code_2() -> None:
    result = vistrials("show", "basline")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no trial 'basline'; did you mean 'baseline'?\n"


def test_debug_shows_where_it_comes_from() -> None:
    result = vistrials("--debug", "show", "basline")
    assert type(result.exception).__name__ == "SpecError"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupt_is_one_line_and_the_exit_code_of_its_signal(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        with StopRequest():
            signal.raise_signal(number)
        raise KeyboardInterrupt

    monkeypatch.setattr("vistrials.specs.loading.list_trials", interrupt)
    result = vistrials("list")
    assert (result.exit_code, result.stderr) == (code, "error: interrupted\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = vistrials("evaluate", tmp_path / "gt.json", tmp_path / "pred.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and str(tmp_path / "gt.json") in result.stderr
    assert result.stderr.count("\n") == 1


# --- evaluate, data


def test_evaluate_scores_the_truth_itself_perfectly_and_writes_json(annotations: Path, tmp_path: Path) -> None:
    truth = json.loads(annotations.read_text())["annotations"]
    keys = ("video_id", "category_id", "segmentations")
    predictions = [{"score": 0.5, **{key: track[key] for key in keys}} for track in truth]
    (tmp_path / "pred.json").write_text(json.dumps(predictions))
    result = vistrials("evaluate", annotations, tmp_path / "pred.json", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0
    shown = squeezed(result.stdout)
    assert "AP AP50 AP75" in shown and "zebra 100.0" in shown
    assert json.loads((tmp_path / "figures.json").read_text())["AP"] == pytest.approx(1)


def test_data_check_counts_and_finds_faults(annotations: Path) -> None:
    assert vistrials("data", "check", annotations).exit_code == 0
    document = json.loads(annotations.read_text())
    document["annotations"][0]["category_id"] = 8
    annotations.write_text(json.dumps(document))
    result = vistrials("data", "check", annotations)
    assert result.exit_code == 1 and "error" in result.stdout


def test_data_split_is_what_training_and_scoring_then_find(annotations: Path) -> None:
    result = vistrials("data", "split", annotations, "--fraction", "0.5", "--seed", "3")
    assert result.exit_code == 0
    minitrain, minival = (Path(line) for line in result.stdout.split())
    ids = [{v["id"] for v in json.loads(path.read_text())["videos"]} for path in (minitrain, minival)]
    assert sorted(map(len, ids)) == [1, 1] and ids[0] | ids[1] == {1, 2}
    source = load_trial("baseline", "youtube_vis_2019").data.source
    assert source.kind == "files"
    assert (source.train_annotations[0], source.valid_annotations[0]) == (minitrain.name, minival.name)
    before = minival.read_bytes()
    again = vistrials("data", "split", annotations, "--fraction", "0.5", "--seed", "4")
    assert (again.exit_code, again.stdout, minival.read_bytes()) == (2, "", before)
    assert again.stderr.startswith("error: ") and "there already; replace with --force" in again.stderr
    (minival.parent / "JPEGImages").mkdir()
    replaced = vistrials("data", "split", annotations, "--fraction", "0.5", "--seed", "4", "--force")
    assert replaced.exit_code == 0
    assert "from now on train on minitrain.json (not train.json) and score on minival.json" in replaced.stderr


def test_data_synthesize_draws_the_profiles_sizes(tmp_path: Path) -> None:
    sizes = ("train=[2,2]", "minival=[1,2]", "occlusion=[1,16]")
    settings = [part for size in sizes for part in ("--set", f"data.source.{size}")]
    result = vistrials("data", "synthesize", tmp_path / "shapes", *settings)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'shapes'}\n")
    assert len(json.loads((tmp_path / "shapes" / "train.json").read_text())["videos"]) == 2
    assert vistrials("data", "synthesize", tmp_path / "x", "-p", "ovis").exit_code == 2


# --- run, train, infer


def test_a_run_goes_through_once_and_is_then_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path / "cache"))
    settings = [
        *("data.source.train=[2,2]", "data.source.minival=[1,2]", "data.source.occlusion=[1,16]"),
        *("data.splits=[minival]", "train.max_iters=1", "train.batch_size=1"),
        *("init={from: null, weights: null, backbone: random}", "model.propagation=null"),
    ]
    where = ["--profile", "smoke", "--seed", "3", "--results", tmp_path / "results", "--device", "cpu"]
    changes = [part for setting in settings for part in ("--set", setting)]
    folder = tmp_path / "results" / "smoke" / "baseline" / "seed3"

    assert vistrials("infer", "baseline", *where, *changes).exit_code == 2
    trained = vistrials("train", "baseline", *where, *changes)
    assert (trained.exit_code, trained.stdout) == (0, f"{folder}\n"), trained.stderr
    assert parse_spec((folder / "spec.yaml").read_text()) == load_trial("baseline", "smoke", settings)

    # The recorded spec alone finishes the run.
    result = vistrials("run", folder / "spec.yaml", "--seed", "3", "--results", tmp_path / "results")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, str(folder))
    assert "minival" in result.stdout and "AP50" in result.stdout
    assert set(json.loads((folder / "metrics.json").read_text())) >= {"AP", "AR10"}

    drawn = vistrials("visualize", folder, "--out", tmp_path / "strip.png", "--at", "0,1")
    assert (drawn.exit_code, drawn.stdout) == (0, f"{tmp_path / 'strip.png'}\n"), drawn.stderr
    assert (tmp_path / "strip.png").read_bytes().startswith(b"\x89PNG")

    again = vistrials("run", "baseline", *where, *changes)
    assert again.exit_code == 0 and "done already" in again.stderr

    other = vistrials("run", "baseline", *where, *changes, "--set", "train.batch_size=3")
    assert other.exit_code == 2 and "train.batch_size (1 there, 3 asked for)" in other.stderr


def test_validate_every_is_for_training() -> None:
    result = vistrials("infer", "baseline", "--validate-every", "5")
    assert result.exit_code == 2 and result.stderr.startswith("error: --validate-every is for training")
    alone = vistrials("show", "baseline", "--set", "train.validation.patience=2")
    assert alone.exit_code == 2 and "train.validation.every_iters: expected a value, found none" in alone.stderr
    assert all_overrides(None, None, ["train.validation.patience=2"], 7) == [
        "train.validation.every_iters=7",
        "train.validation.patience=2",
    ]


def test_a_run_needs_to_know_where_files_lie(tmp_path: Path) -> None:
    arguments = ("run", "masktrack_rcnn", "-p", "youtube_vis_2019", "--set", "init.backbone=random")
    result = vistrials(*arguments, "--results", tmp_path)
    assert result.exit_code == 2 and "--data DIR" in result.stderr and result.stderr.count("\n") == 1


def test_an_interrupt_before_a_command_begins_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
