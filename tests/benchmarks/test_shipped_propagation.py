"""What README and docs say about propagation is what results/demo/propagation.json holds, measured on shipped runs.

`python -m benchmarks.propagation RUN RUN RUN --split occlusion minival --write results/demo/propagation.json` makes it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.propagation import render_ahead, render_ap, render_errors, share_regained
from vistrials.formats.json_file import load_json
from vistrials.runs.directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
RUNS: list[dict[str, Any]] = load_json(ROOT / "results" / "demo" / "propagation.json")["runs"]
SPLITS = ("occlusion", "minival")
WHOLE = ("occlusion", "minival", "train")


def text_of(page: str) -> str:
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


def shipped(trial: str, seed: int) -> RunDirectory:
    directory, _ = RunDirectory.open(ROOT / "results" / "demo" / trial / f"seed{seed}")
    return directory


def listed(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} and {values[-1]}"


def percent(split: str, variant: str) -> list[str]:
    """AP of each run."""
    return [f"{100 * run['splits'][split]['AP'][variant]:.1f}" for run in RUNS]


def regained(split: str, variant: str) -> list[int]:
    """Percent of the loss, for each run."""
    return [round(100 * share_regained(run["splits"][split]["AP"], variant)) for run in RUNS]


def frames(split: str, cause: str, variant: str) -> int:
    """Of all runs."""
    return sum(run["splits"][split]["errors"][variant][cause]["frames"] for run in RUNS)


def ahead(splits: Sequence[str], group: str, value: str) -> list[float]:
    """A mean of each split and run."""
    return [run["one_frame_ahead"][split][group][value] for split in splits for run in RUNS]


def fraction(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def span(values: Sequence[float], show: Callable[[float], str] = fraction, to: str = "to") -> str:
    ends = dict.fromkeys(show(end) for end in (min(values), max(values)))
    return f" {to} ".join(ends)


def ious(split: str) -> str:
    return listed([fraction(value) for value in ahead([split], "whole", "iou")])


def test_it_was_measured_on_the_shipped_runs() -> None:
    assert [run["seed"] for run in RUNS] == [0, 1, 2]
    for run in RUNS:
        directory = shipped("baseline", run["seed"])
        stages = load_json(directory.provenance)["stages"]
        for split in SPLITS:
            assert run["weights_sha256"] == stages[f"infer/{split}"]["weights_sha256"]
            assert run["splits"][split]["AP"]["on"] == directory.read_metrics(split)["AP"]


def test_the_page_has_its_tables() -> None:
    page = (ROOT / "docs" / "error_analysis.md").read_text(encoding="utf-8")
    tables = [render(RUNS, split) for render in (render_ap, render_errors) for split in SPLITS]
    for table in [*tables, render_ahead([run["one_frame_ahead"] for run in RUNS])]:
        assert f"\n\n{table}\n\n" in page, f"docs/error_analysis.md lacks this table:\n{table}"


def sentences_of_the_page() -> list[str]:
    gaps = {(split, variant): frames(split, "gap", variant) for split in SPLITS for variant in ("on", "off")}
    leaks = {(split, variant): frames(split, "leak", variant) for split in SPLITS for variant in ("on", "off")}
    left = {split: [100 - share for share in regained(split, "without_both")] for split in SPLITS}
    mended = [run["splits"]["occlusion"]["errors"]["on"]["leak"]["gain_AP"] for run in RUNS]
    return [
        f"there are {gaps['occlusion', 'on']} frames in gaps over the three seeds with propagation and "
        f"{gaps['occlusion', 'off']} without",
        f"where occlusions are short, {gaps['minival', 'on']} and {gaps['minival', 'off']}.",
        f"Frames of leaks grow from {leaks['occlusion', 'off']} to {leaks['occlusion', 'on']} and from "
        f"{leaks['minival', 'off']} to {leaks['minival', 'on']}.",
        f"without the masks on them {span(regained('occlusion', 'without_hidden'), str)} % of the loss comes back",
        f"What is left, {span(left['occlusion'], str)} % here and {span(left['minival'], str)} % on `minival`",
        f"removing these masks, {span([100 * gain for gain in mended], '{:.0f}'.format)} AP",
        f"of the training videos the first {RUNS[0]['train_videos']} are taken",
        f"lies on a whole one in {span(ahead(WHOLE, 'whole', 'strongest_on_object'), lambda v: f'{100 * v:.0f}')} %",
        f"the decoder reaches {span(ahead(WHOLE, 'whole', 'iou_best_attention'))}, where the mask head has "
        f"{span(ahead(WHOLE, 'whole', 'iou_mask_head'), to='or')} in the same box",
        f"propagated masks have IoU {span(ahead(WHOLE, 'small', 'iou'))}.",
    ]


def sentences_of_the_readme() -> list[str]:
    shares = [str(share) for share in regained("occlusion", "without_hidden")]
    return [
        f"have occlusion AP {listed(percent('occlusion', 'off'))} instead of {listed(percent('occlusion', 'on'))}.",
        f"Of that loss {listed(shares)} % come back without the masks drawn on hidden objects",
        f"propagated masks have IoU {ious('occlusion')} (on training videos {ious('train')}), those of the mask head "
        f"{span(ahead(['occlusion', 'train'], 'whole', 'iou_mask_head'))}:",
    ]


@pytest.mark.parametrize(
    ("page", "sentence"),
    [("docs/error_analysis.md", sentence) for sentence in sentences_of_the_page()]
    + [("README.md", sentence) for sentence in sentences_of_the_readme()]
    + [
        (
            "benchmarks/README.md",
            f"occlusion AP {', '.join(percent('occlusion', 'on'))} with it, {', '.join(percent('occlusion', 'off'))} "
            f"without; masks on hidden objects are {', '.join(map(str, regained('occlusion', 'without_hidden')))} % ",
        )
    ],
)
def test_the_sentence_is_what_was_measured(page: str, sentence: str) -> None:
    assert sentence in text_of(page)


def test_the_rest_of_the_loss_is_masks_on_visible_objects() -> None:
    """What README and page say in words: nearly all, less than half."""
    assert min(regained("occlusion", "without_both")) >= 95
    assert max(regained("occlusion", "without_hidden")) < 50
