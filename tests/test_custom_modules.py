"""Modules in files of the user's own: the example of the manual, what they may be, and every way to get one wrong."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from tests.models.small import make_batch, small_model, small_spec
from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.errors import RunError, SpecError
from vistrials.models.affinity import Affinity
from vistrials.models.mask_head import MaskHead
from vistrials.models.objprop import ObjProp, build_model
from vistrials.reports.comparison import compare_runs
from vistrials.reports.loss_curves import load_logs
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import dump_spec, load_trial, parse_spec
from vistrials.specs.model import (
    BoxHeadSpec,
    CustomAffinitySpec,
    CustomMaskHeadSpec,
    CustomNeckSpec,
    CustomSamplerSpec,
    PlainAffinitySpec,
    PropagationSpec,
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
NECK = (DOCS / "custom" / "mean_neck.py").read_text()
IMPORTS = "import torch\nfrom torch import nn\n"


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    (folder / name).write_text(IMPORTS + text)
    return folder / name


def neck_in(file: Path, class_name: str = "Mine", **options: object) -> CustomNeckSpec:
    return CustomNeckSpec(path=f"{file}:{class_name}", options=options)


# --- The example of the manual


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's YAML beside its module, in a folder of its own."""
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(DOCS / "custom", tmp_path / "mine")
    return tmp_path / "mine" / "mean_neck.yaml"


def run(command: str, trial: Path, results: Path, *more: str) -> Result:
    settings = [
        *("data.source.train=[2,2]", "data.source.minival=[1,2]", "data.source.occlusion=[1,16]"),
        *("data.splits=[minival]", "train.max_iters=2", "train.batch_size=1", "model.propagation=null"),
    ]
    changes = [] if trial.name == "spec.yaml" else [part for setting in settings for part in ("--set", setting)]
    profile = [] if trial.name == "spec.yaml" else ["--profile", "smoke"]
    return vistrials(command, trial, *profile, "--results", results, "--device", "cpu", *changes, *more)


def test_the_example_trains_and_its_folder_alone_repeats_the_run(example: Path, tmp_path: Path) -> None:
    first = run("run", example, tmp_path / "results")
    assert first.exit_code == 0, first.output
    folder = tmp_path / "results" / "smoke" / "mean_neck" / "seed0"
    assert (folder / "modules" / "mean_neck.py").read_text() == NECK
    neck = yaml.safe_load((folder / "spec.yaml").read_text())["model"]["neck"]
    assert (neck["path"], neck["options"], len(neck["sha256"])) == ("modules/mean_neck.py:MeanNeck", {"gain": 0.2}, 64)
    assert str(tmp_path) not in (folder / "spec.yaml").read_text()

    # Elsewhere the same file goes on with the run; a changed one does not.
    moved = shutil.copytree(example.parent, tmp_path / "moved") / "mean_neck.yaml"
    again = run("run", moved, tmp_path / "results")
    assert again.exit_code == 0 and "done already" in again.stderr
    (moved.parent / "mean_neck.py").write_text(NECK + "\n")
    for command in ("run", "infer"):
        refused = run(command, moved, tmp_path / "results")
        assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
        assert f"model.neck.sha256 ('{neck['sha256'][:12]}..' there, " in refused.stderr

    shutil.rmtree(example.parent)
    repeated = run("run", folder / "spec.yaml", tmp_path / "elsewhere")
    assert repeated.exit_code == 0, repeated.output
    other = tmp_path / "elsewhere" / "smoke" / "mean_neck" / "seed0"
    assert (other / "spec.yaml").read_text() == (folder / "spec.yaml").read_text()
    assert (other / "predictions.json").read_text() == (folder / "predictions.json").read_text()
    redone = run("run", folder / "spec.yaml", tmp_path / "results", "--force")
    assert redone.exit_code == 0 and (folder / "modules" / "mean_neck.py").read_text() == NECK

    (folder / "modules" / "mean_neck.py").write_text(NECK + "\n")
    tampered = run("infer", folder / "spec.yaml", tmp_path / "results")
    assert tampered.exit_code == 2 and "mean_neck.py has changed: expected sha256" in tampered.stderr


@pytest.mark.parametrize("start", [[], ["--set", "init={weights: null, from: null, backbone: random}"]])
def test_a_broken_class_is_refused_before_anything_is_thrown_away(
    example: Path, tmp_path: Path, start: list[str]
) -> None:
    assert run("train", example, tmp_path / "results", *start).exit_code == 0
    weights = tmp_path / "results" / "smoke" / "mean_neck" / "seed0" / "weights.safetensors"
    (example.parent / "mean_neck.py").write_text(NECK.replace("gain: float", "gian: float"))
    refused = run("run", example, tmp_path / "results", "--force", *start)
    assert refused.exit_code == 2 and "unexpected keyword argument 'gain'" in refused.stderr
    assert weights.exists()


def test_show_counts_the_parameters_and_prints_a_spec_that_loads(example: Path) -> None:
    shown = vistrials("show", example, "--profile", "demo")
    assert shown.exit_code == 0, shown.output
    # Four 1x1 convolutions of 48 channels with bias, and a gain each.
    count = 4 * (48 * 48 + 48) + 4
    assert f"neck {count:,} +{count:,}" in " ".join(shown.stdout.split())
    assert parse_spec(shown.stdout.partition("\n\n")[0]) == load_trial(example, "demo")


def test_the_manual_shows_the_files_that_run() -> None:
    text = (DOCS / "custom_modules.md").read_text()
    for line in (DOCS / "custom" / "mean_neck.yaml").read_text().splitlines():
        assert line in text
    assert all(
        line in NECK for line in ("class MeanNeck(nn.Module):", "def __init__(self, channels: int, num_levels: int")
    )


# --- Settings


def test_a_path_is_taken_from_the_file_that_says_it_and_options_merge(tmp_path: Path) -> None:
    write(tmp_path, "", "mine.py")
    (tmp_path / "base.yaml").write_text(
        "extends: baseline\nmodel: {neck: {kind: custom, path: 'mine.py:Mine', options: {a: 1, b: 2}}}"
    )
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "child.yaml").write_text("extends: ../base.yaml\nmodel: {neck: {options: {b: 3}}}")
    spec = load_trial(tmp_path / "base.yaml", overrides=["model.neck.options.c=4"])
    assert spec.model.neck.path == f"{tmp_path}/mine.py:Mine" and spec.model.neck.options == {"a": 1, "b": 2, "c": 4}
    assert parse_spec(dump_spec(spec)) == spec


def test_a_custom_head_keeps_the_settings_below_it_and_gives_them_back(tmp_path: Path) -> None:
    write(tmp_path, "")
    change = f"model.mask_head={{kind: custom, path: '{tmp_path}/mine.py:Mine'}}"
    plain, custom = load_trial("baseline", "demo"), load_trial("baseline", "demo", [change])
    assert isinstance(custom.model.mask_head, CustomMaskHeadSpec) and custom.model.mask_head.channels == 48
    assert load_trial("baseline", "demo", [change, "model.mask_head={kind: published}"]) == plain
    neck = load_trial("attention_neck", "demo", [f"model.neck={{kind: custom, path: '{tmp_path}/mine.py:Mine'}}"])
    assert set(neck.model.neck.model_dump()) == {"kind", "path", "sha256", "options", "at_inference"}


@pytest.mark.parametrize(
    ("neck", "message"),
    [
        ("{kind: custom}", "model.neck.path: expected a value, found none"),
        ("{kind: custom, path: mine.py}", "model.neck.path: expected FILE.py:CLASS, found 'mine.py'"),
        ("{kind: custom, path: 'mine.txt:A'}", "expected FILE.py:CLASS"),
        ("{kind: custom, path: 'none.py:A'}", "none.py: expected a readable file: No such file"),
        ("{kind: custom, path: 'mine.py:A', sha256: abc}", "mine.py has changed: expected sha256 abc.., found "),
        ("{kind: custom, path: 'mine.py:A', gamma_init: 1}", "model.neck.gamma_init: unknown key"),
        ("{kind: custm, path: 'mine.py:A'}", "model.neck: unknown kind 'custm'; did you mean 'custom'?"),
    ],
)
def test_a_mistake_in_the_yaml(tmp_path: Path, neck: str, message: str) -> None:
    write(tmp_path, "")
    (tmp_path / "t.yaml").write_text(f"extends: baseline\nmodel: {{neck: {neck}}}")
    with pytest.raises(SpecError) as caught:
        load_trial(tmp_path / "t.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value) and "t.yaml: " in str(caught.value)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, f"# {folder}")
    paths = {
        part: f"{{kind: custom, path: '{tmp_path}/{folder}/mine.py:A'}}"
        for part, folder in (("neck", "a"), ("mask_head", "b"))
    }
    with pytest.raises(SpecError, match=r"model\.mask_head: mine\.py: two files of this name"):
        load_trial("baseline", "demo", [f"model.{part}={path}" for part, path in paths.items()])
    (tmp_path / "b" / "mine.py").write_bytes((tmp_path / "a" / "mine.py").read_bytes())
    load_trial("baseline", "demo", [f"model.{part}={path}" for part, path in paths.items()])


def test_modules_of_another_spec_go(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        write(tmp_path, f"# {name}", name)
    specs = [
        load_trial("baseline", "demo", [f"model.neck={{kind: custom, path: '{tmp_path}/{n}.py:A'}}"])
        for n in ("one", "two")
    ]
    directory = RunDirectory.for_spec(specs[0], tmp_path / "results", 0)
    for spec, name in zip(specs, ("one.py", "two.py"), strict=True):
        directory.prepare(spec)  # nothing has come from the first yet
        assert [file.name for file in directory.modules.iterdir()] == [name]
    opened, spec = RunDirectory.open(directory.path)
    assert spec.model.neck.path == f"{directory.modules}/two.py:A" and not opened.differences(specs[1])
    directory.weights.touch()
    with pytest.raises(RunError, match=r"model\.neck\.path \('modules/two.py:A' there, 'modules/one.py:A' asked for\)"):
        directory.prepare(specs[0])


def test_a_run_whose_file_is_gone_is_still_compared_and_drawn(tmp_path: Path) -> None:
    write(tmp_path, "")
    spec = load_trial("baseline", "demo", [f"model.neck={{kind: custom, path: '{tmp_path}/mine.py:A'}}"])
    for seed in (0, 1):
        directory = write_run(tmp_path, "baseline", seed, 0.2, losses=[{"iter": 1, "loss_total": 1.0}])
        directory.spec.unlink()
        directory.metrics().rename(tmp_path / "kept")
        directory.prepare(spec)
        (tmp_path / "kept").rename(directory.metrics())
        shutil.rmtree(directory.modules)
    comparison = compare_runs(tmp_path, "demo", num_draws=0)
    assert comparison.rows[0].seeds == (0, 1) and comparison.notes == ()
    assert list(load_logs(tmp_path, "demo")) == ["baseline"]


# --- What is built


def losses(model: ObjProp) -> dict[str, float]:
    torch.manual_seed(1)
    return {name: value.item() for name, value in model(make_batch([2, 1])).items()}


def test_copies_of_our_own_parts_give_the_same_losses(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
from vistrials.models.affinity import Affinity
from vistrials.models.mask_head import MaskHead
from vistrials.models.matching import sample
from vistrials.specs.model import PlainAffinitySpec, SamplerSpec

class Same(Affinity):
    def __init__(self, channels, num_categories):
        super().__init__(PlainAffinitySpec(), channels, num_categories)

class AtRandom:
    def __init__(self, num, positive_fraction):
        self.spec = SamplerSpec(num=num, positive_fraction=positive_fraction)

    def sample(self, boxes, ground_truth, assigned):
        assert len(boxes) == len(assigned) and (assigned <= len(ground_truth)).all()
        return sample([assigned], self.spec)[0]

class Twice(MaskHead):
    def loss(self, logits, rois, batch):
        return {name: 2 * loss for name, loss in super().loss(logits, rois, batch).items()}
""",
    )
    sampler = CustomSamplerSpec(path=f"{file}:AtRandom", num=128, positive_fraction=0.25)
    affinity = CustomAffinitySpec(path=f"{file}:Same")
    mask_head = CustomMaskHeadSpec(path=f"{file}:Twice", num_convs=1, channels=8)
    own = small_model(
        box_head=BoxHeadSpec(fc_channels=16, sampler=sampler),
        propagation=PropagationSpec(channels=8, num_mask_convs=1, affinity=affinity),
        mask_head=mask_head,
    )
    expected = losses(small_model())
    assert losses(own) == expected | {"loss_mask": pytest.approx(2 * expected["loss_mask"])}
    assert isinstance(own.mask_head, MaskHead) and isinstance(own.propagation.affinity, Affinity)
    assert PlainAffinitySpec() != affinity


def test_a_neck_enters_the_losses_and_learns() -> None:
    example = DOCS / "custom" / "mean_neck.py"
    model = small_model(neck=neck_in(example, "MeanNeck", gain=0.2))
    model(make_batch([2, 1]))["loss_rpn_cls"].backward()
    assert model.neck.gains.tolist() == pytest.approx([0.2] * 4) and model.neck.gains.grad.abs().sum() > 0
    assert any(name.startswith("neck.convs.0.") for name in model.state_dict())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = ", "mine.py: line 4: SyntaxError: "),
        ("import no_such_package", "mine.py: line 3: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def f():\n    1 / 0\nf()", "mine.py: line 4: ZeroDivisionError: division by zero"),
        ("class Mein(nn.Module): pass", "mine.py: Mine: no such class; did you mean 'Mein'?"),
        ("Mine = 3", "Mine: no such class"),
        ("class Mine: pass", "Mine: expected a subclass of torch.nn.modules.module.Module"),
        ("class Mine(nn.Module): pass", "expected a method forward(self, key_levels, reference_levels), found none"),
        (
            "class Mine(nn.Module):\n    def forward(self, x): return x",
            "expected a method forward(self, key_levels, reference_levels), found forward(self, x): too many",
        ),
        (
            "class Mine(nn.Module):\n    def forward(self, a, b): return a",
            "Mine(channels, num_levels, width=3): TypeError: ",
        ),
        (
            "class Mine(nn.Module):\n    def __init__(self, channels, num_levels, width): {}[width]\n"
            "    def forward(self, a, b): return a",
            "Mine(channels, num_levels, width=3): KeyError: 3",
        ),
    ],
)
def test_a_mistake_in_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_model(small_spec(neck=neck_in(write(tmp_path, text), width=3)), num_categories=3)
    assert str(caught.value).startswith("model.neck: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_derives_from_the_published_one(tmp_path: Path) -> None:
    file = write(tmp_path, "class Mine(nn.Module): pass")
    with pytest.raises(SpecError, match=r"^model\.mask_head: .*subclass of vistrials\.models\.mask_head\.MaskHead"):
        small_model(mask_head=CustomMaskHeadSpec(path=f"{file}:Mine"))


def test_a_file_that_has_changed_since_the_settings_were_read_is_not_executed(tmp_path: Path) -> None:
    file = write(tmp_path, "class Mine(nn.Module):\n    def forward(self, a, b): return a")
    spec = neck_in(file).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(SpecError, match="mine.py has changed: expected sha256 000000000000.., found"):
        small_model(neck=spec)


BODY = "class Mine(nn.Module):\n    def __init__(self, **given): super().__init__()\n"


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("a[:2]", r"found \[\(2, 8, 16, 24\), \(2, 8, 8, 12\)\]"),
        ("[x[:, :3] for x in a]", r"found \[\(2, 3, 16, 24\),"),
        ("None", "found NoneType"),
    ],
)
def test_a_neck_that_returns_something_else(tmp_path: Path, returned: str, said: str) -> None:
    file = write(tmp_path, BODY + f"    def forward(self, a, b): return {returned}")
    model = small_model(neck=neck_in(file))
    with pytest.raises(SpecError, match=r"^model\.neck: mine\.py: Mine: forward: expected to return shape .*" + said):
        model(make_batch([1, 1]))


def test_an_affinity_that_returns_something_else(tmp_path: Path) -> None:
    file = write(tmp_path, BODY + "    def forward(self, key, reference, sample, label): return key")
    spec = PropagationSpec(channels=8, num_mask_convs=1, affinity=CustomAffinitySpec(path=f"{file}:Mine"))
    with pytest.raises(SpecError, match=r"model\.propagation\.affinity: .* shape \(96, 96\), found \(8, 8, 12\)"):
        small_model(propagation=spec)(make_batch([1, 1]))


def test_a_sampler_that_returns_something_else(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "class Mine:\n    def __init__(self, **given): pass\n"
        "    def sample(self, boxes, ground_truth, assigned): return torch.arange(3), torch.arange(3)",
    )
    head = BoxHeadSpec(fc_channels=16, sampler=CustomSamplerSpec(path=f"{file}:Mine", num=9, positive_fraction=0.5))
    with pytest.raises(
        SpecError, match=r"model\.box_head\.sampler: .*: sample: expected to return indices of positives"
    ):
        small_model(box_head=head)(make_batch([1, 1]))
