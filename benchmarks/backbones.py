"""Backbones: parameters, time of a frame of 432 x 240, and where their weights come from.

Run: python -m benchmarks.backbones [--names NAME ...] [--repeats 10] [--device cpu]
Time is that of backbone and 96-channel pyramid alone, on one frame padded to 448 x 256, with random weights: the least
of some repeats, on a CPU in seconds of one core (other work beside it then costs little). A name is timm's, or
resnet-DEPTH for ours.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.records import RESULTS, as_table, describe_machine, save_record
from vistrials.models.backbone import build_backbone
from vistrials.models.fpn import FPN
from vistrials.specs.model import FPNSpec, ModelSpec, ResNetSpec, TimmSpec
from vistrials.weights.starts import describe_backbone

NAMES = (
    "resnet-18", "resnet-50", "efficientnet_lite0", "mobilenetv3_small_100", "mobilenetv3_large_100",
    "mobilenetv4_conv_small", "mobilenetv4_conv_medium", "regnety_004", "regnety_016", "convnext_atto", "convnext_tiny",
    "pvt_v2_b0", "tiny_vit_5m_224",
)  # fmt: skip
HEIGHT, WIDTH = 256, 448


def spec_of(name: str) -> ResNetSpec | TimmSpec:
    """The spec that a name on the command line means."""
    if name.startswith("resnet-"):
        return ResNetSpec.model_validate({"depth": int(name.removeprefix("resnet-"))})
    return TimmSpec(name=name)


@torch.inference_mode()
def measure(name: str, repeats: int, device: torch.device) -> dict[str, Any]:
    """A row of the table."""
    spec = spec_of(name)
    backbone = build_backbone(spec).to(device).eval()
    pyramid = FPN(FPNSpec(channels=96), backbone.out_channels).to(device).eval()
    image = torch.randn(1, 3, HEIGHT, WIDTH, device=device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(repeats + 2):
        began = clock()
        pyramid(backbone(image))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - began)
    parameters = sum(p.numel() for p in backbone.parameters())
    start = describe_backbone(ModelSpec(backbone=spec), "imagenet")
    return {
        "backbone": name,
        "parameters": parameters,
        "channels": ", ".join(map(str, backbone.out_channels)),
        "a frame": min(seconds[2:]),
        "ImageNet weights": start.what,
        "licence": start.licence,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "backbones.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    machine = describe_machine(threads=1) | ({} if device.type == "cpu" else {"device": str(device)})
    rows = [measure(name, options.repeats, device) for name in options.names]
    columns = {name: "s" if name == "a frame" else "" for name in rows[0]}
    save_record(
        options.out,
        "Backbones: a frame of 432 × 240 with a 96-channel pyramid",
        "python -m benchmarks.backbones",
        machine, columns, rows,
    )  # fmt: skip
    print(as_table({"columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
