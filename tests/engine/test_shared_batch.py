"""Two processes are one: the network's losses and weights, whatever falls to which of them."""

import json
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from tests.engine.small import files_in
from tests.engine.tiny_videos import write_tiny_data_set
from vistrials.data.loading import build_pair_loader
from vistrials.engine.devices import build_fabric
from vistrials.engine.distribution import launch
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.engine.seeding import seed_everything
from vistrials.engine.training import fit
from vistrials.formats.annotations import load_video_set
from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial
from vistrials.specs.trial import TrialSpec
from vistrials.structures.video import VideoSet

ITERS = 20

# Few RoIs and masks, so that all samplers have to choose; batch statistics; batches of unequal images.
SETTINGS = [
    *("data.splits=[valid]", "data.image_size_px=[64,48]", "init={from: null, weights: null, backbone: random}"),
    *(f"train.max_iters={ITERS}", "train.batch_size=4", "train.num_workers=0", "train.clip_grad_norm=1"),
    *("train.optimizer={kind: sgd, lr: 0.001}", "model.mask_head.max_rois=2", "model.backbone.norm=batch_stats"),
    *("model.backbone.base_width=4", "model.fpn.channels=8", "model.box_head.fc_channels=16"),
    *("model.track_head.fc_channels=16", "model.mask_head={channels: 8, num_convs: 1}"),
    *("model.box_head.sampler.num=12", "model.rpn.sampler.num=16", "model.backbone.frozen_stages=-1"),
]
TRIALS = ["masktrack_rcnn", "attention_neck", "baseline", "weighted_affinity"]
CLIPS = ["attention_neck_ordered", "baseline_clip_3", "consistent_memory"]

# Sums in another order reach the norm of all gradients through a softmax without scaling. Measured: in float64 losses
# and weights equal to 1e-11; in float32 losses to 6e-6, the norm to 6e-5.
GRADIENT_NORM = 30


def uneven(root: Path) -> Path:
    """The tiny data set, one of its videos with a single object that is there in some frames only."""
    write_tiny_data_set(root)
    document = json.loads((root / "train.json").read_text())
    document["annotations"].pop()
    for name in ("bboxes", "areas", "segmentations"):
        document["annotations"][-1][name][1] = None
    (root / "train.json").write_text(json.dumps(document))
    return root


def train(fabric: Fabric, reporter: Reporter, specs: list[TrialSpec], videos: VideoSet, folder: Path) -> None:
    """Train each spec, and keep its weights."""
    torch.set_num_threads(1)
    for spec in specs:
        seed_everything(0)
        model = build_model(spec.model, videos.num_categories)
        model.to(torch.float64 if spec.train.precision == "64-true" else torch.float32)
        fit(
            fabric,
            model,
            lambda start, spec=spec: build_pair_loader(
                videos, spec.data, spec.train, 0, fabric.global_rank, fabric.world_size, start
            ),
            spec.train,
            files_in(folder / spec.name),
            seed=0,
            digest="",
            reporter=reporter,
        )
        if fabric.is_global_zero:
            torch.save(model.state_dict(), folder / f"{spec.name}.pt")


# In float32 rounding grows from step to step: after 20 of them losses and weights were seen 1e-6 to 6e-5 apart.
@pytest.mark.parametrize(
    ("precision", "tolerance", "trials"),
    [("64-true", 1e-10, TRIALS), ("64-true", 1e-10, CLIPS), ("32-true", 3e-4, ["masktrack_rcnn", "baseline"])],
)
def test_two_processes_equal_one(precision: str, tolerance: float, trials: list[str], tmp_path: Path) -> None:
    root = uneven(tmp_path / "data")
    smaller = ["model.propagation={channels: 8, num_mask_convs: 1}"]
    settings = [f"data.source={{kind: files, root: {root}}}", f"train.precision={precision}", *SETTINGS]
    settings += ["data.num_references=2"] * (trials == CLIPS)
    specs = [load_trial(name, "smoke", settings + smaller * (name != "masktrack_rcnn")) for name in trials]
    videos = load_video_set(root / "train.json", root / "JPEGImages", require_annotations=True)
    for num in (1, 2):
        fabric = build_fabric(torch.device("cpu"), precision, num)
        launch(fabric, train, SilentReporter(), specs, videos, tmp_path / str(num))
    worst: dict[tuple[str, str], float] = {}
    for name in trials:
        one, two = (torch.load(tmp_path / num / f"{name}.pt") for num in ("1", "2"))
        logs = [(tmp_path / num / name / "losses.jsonl").read_text().splitlines() for num in ("1", "2")]
        assert len(logs[0]) == len(logs[1]) == ITERS
        for line_of_one, line_of_two in zip(*logs, strict=True):
            ours, theirs = json.loads(line_of_two), json.loads(line_of_one)
            for key, value in theirs.items():
                if "seconds" not in key:
                    error = (
                        abs(ours[key] - value) / max(abs(value), 1e-3) / (GRADIENT_NORM if key == "grad_norm" else 1)
                    )
                    worst[name, key] = max(worst.get((name, key), 0), error)
        for key, value in one.items():
            if value.is_floating_point():
                # Of biases, which begin at 0, hardly more than rounding is left.
                scale = max(value.abs().max().item(), 0.1)
                worst[name, key] = (two[key] - value).abs().max().item() / scale
            else:
                assert torch.equal(two[key], value)
    assert not {place: error for place, error in worst.items() if error >= tolerance}
