"""What the settings of controls refuse, and that each control is told of."""

from pathlib import Path

import pytest

from vistrials.errors import SpecError
from vistrials.specs.loading import load_table_rows, load_trial

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("trial", "changes", "message"),
    [
        ("neck_shuffled", ["train.batch_size=1"], "expected train.batch_size of 2 or more, found 1"),
        ("neck_shuffled", ["data.batching=video_chunks"], "expected data.batching orientation, found video_chunks"),
        ("neck_shuffled", ["model.neck.window_cells=2"], "frames of other videos have other sizes"),
        ("visible_only", ["model.propagation.network_px_propagation=true"], "drop one of them"),
        ("neck_conv", ["model.neck.levels=[4]"], "neck.levels names level 4 but fpn.num_levels is 4"),
        (
            "baseline_clip_3",
            ["data.num_references=0"],
            "data.num_references: expected greater than or equal to 1, found 0",
        ),
        (
            "baseline_clip_3",
            ["data.num_references=8"],
            "data.num_references: expected less than or equal to 7, found 8",
        ),
        (
            "baseline_window",
            ["data.num_references=7"],
            "num_references is 7, but at most 6 lie within 3 frames of a key frame (sampling window:3)",
        ),
        ("baseline_widening", ["data.sampling=widening:1", "data.num_references=3"], "raise widening:K"),
        ("consistent_memory", ["data.num_references=1"], "expected data.num_references of 2 or more, found 1"),
        ("baseline", ["model.track_head.memory={}"], "expected data.num_references of 2 or more, found 1"),
        ("consistent_memory", ["model.track_head.loss_weight=0"], "memory beside loss_weight 0: nothing is matched"),
        (
            "consistent_memory",
            ["model.track_head.memory.momentum=1"],
            "model.track_head.memory.momentum: expected less than 1, found 1",
        ),
        ("baseline", ["data.sampling=widening:0"], "widening:K with K of at least 1, found 'widening:0'"),
    ],
)
def test_settings_that_do_not_go_together(trial: str, changes: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_trial(trial, "demo", changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["neck", "propagation", "affinity", "sampling"])
def test_each_control_is_explained_and_names_its_source(part: str) -> None:
    text = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
    for trial in load_table_rows()[part]:
        assert f"`{trial}`" in text
        assert "\n# Source: " in (ROOT / "trials" / f"{trial}.yaml").read_text(encoding="utf-8")
