"""What a verdict on propagation asks of the start that ships: masks that hold one frame ahead."""

from pathlib import Path

from vistrials import load_results
from vistrials.data.synthetic.dataset import SyntheticSizes, synthesize
from vistrials.finished_runs.one_frame_ahead import propagate_one_frame, summarise
from vistrials.formats.annotations import load_video_set
from vistrials.models.folding import for_inference
from vistrials.models.objprop import build_model
from vistrials.runs.directory import RunDirectory
from vistrials.weights.files import load_weights
from vistrials.weights.recorded import check_recorded

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "results/demo_study/masktrack_rcnn/seed0"


def test_propagated_masks_of_the_shipped_start_hold_one_frame_ahead(tmp_path: Path) -> None:
    directory, spec = RunDirectory.open(RUN)
    sizes = SyntheticSizes(train=(1, 2), minival=(4, 16), occlusion=(1, 16), gaps=(1, 14), crossing=(1, 12))
    folder = synthesize(tmp_path / "drawn", sizes, seed=spec.data.source.seed)
    videos = load_video_set(folder / "minival.json", folder / "JPEGImages")
    model = build_model(spec.model, videos.num_categories)
    check_recorded(directory)
    load_weights(model, directory.weights, allow_missing=False)
    found = summarise(list(propagate_one_frame(for_inference(model), videos, spec, 4)))
    assert found["judged"]["num"] > 20 and found["judged"]["iou"] >= 0.6, found


def test_the_plan_says_what_the_starts_reach() -> None:
    results = load_results(ROOT / "results", "demo_study")
    lines = (ROOT / "docs/study_plan.md").read_text(encoding="utf-8").splitlines()
    starts = results[results.trial == "masktrack_rcnn"]
    for seed in sorted(set(starts.seed)):
        ours = starts[starts.seed == seed].set_index("split").AP
        shown = " | ".join(f"{100 * ours[split]:.1f}" for split in ("minival", "occlusion", "gaps", "crossing"))
        assert sum(line.startswith(f"| {seed} | {shown} |") for line in lines) == 1


def test_the_plan_says_what_fewer_stored_frames_were_worth() -> None:
    """Of the one figure of that choice whose run ships."""
    results = load_results(ROOT / "results", "demo_study")
    ours = results[(results.trial == "baseline") & (results.seed == 0)].set_index("split").AP
    text = " ".join((ROOT / "docs/study_plan.md").read_text(encoding="utf-8").split())
    assert f"in all of `occlusion` {100 * ours['occlusion']:.1f} instead of 43.0" in text
