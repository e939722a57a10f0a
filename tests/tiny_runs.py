"""The smallest run that goes through every stage: a network of a few thousand parameters on two videos."""

from pathlib import Path
from typing import Any

from vistrials.specs.trial import TrialSpec

TINY: dict[str, Any] = {
    "model": {
        "backbone": {"kind": "resnet", "depth": 18, "base_width": 8, "frozen_stages": -1, "norm": "batch_stats"},
        "fpn": {"channels": 8, "num_levels": 4},
        "rpn": {
            "anchors": {"scale": 3},
            "sampler": {"num": 8, "positive_fraction": 0.5},
            "proposals": {"num_before_nms": 10, "num_after_nms": 8, "max_num": 8},
        },
        "box_head": {"fc_channels": 16, "sampler": {"num": 8, "positive_fraction": 0.5}},
        "track_head": {"fc_channels": 16},
        "mask_head": {"num_convs": 1, "channels": 8},
        "propagation": {"channels": 8, "num_mask_convs": 1},
    },
    "train": {
        "max_iters": 3,
        "batch_size": 2,
        "optimizer": {"kind": "adamw", "lr": 1e-3},
        "schedule": {"kind": "cosine"},
        "checkpoint_every_iters": 1,
        "num_workers": 0,
    },
    "inference": {"max_detections": 3},
}


def tiny_spec(data: Path, name: str = "tiny", **changes: Any) -> TrialSpec:
    """A trial of this network on a data set; `changes` go into its sections."""
    sections: dict[str, Any] = {
        **TINY,
        "data": {"source": {"kind": "files", "root": str(data)}, "image_size_px": [64, 48]},
        "init": {"backbone": "random"},
    }
    for section, values in changes.items():
        sections[section] = {**sections.get(section, {}), **values}
    return TrialSpec.model_validate({"name": name, "profile": "tiny", **sections})
