"""Backbones: parameters, time of a frame of 432 x 240, and where their weights come from.

Run: python -m benchmarks.backbones [--names NAME ...] [--repeats 10] [--device cpu]
Time is that of backbone and 96-channel pyramid alone, on one frame padded to 448 x 256, with random weights: the least
of some repeats, on a CPU in seconds of one core (other work beside it then costs little). A name is timm's, or
resnet-DEPTH for ours.
"""

import argparse
import time

import torch

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
def measure(name: str, repeats: int, device: torch.device) -> str:
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
    channels = ", ".join(map(str, backbone.out_channels))
    weights = f"{start.what} | {start.origin} | {start.licence}"
    return f"| {name} | {parameters:,} | {channels} | {1000 * min(seconds[2:]):.0f} | {weights} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    print(f"one thread, {device}, PyTorch {torch.__version__}\n")
    print("| backbone | parameters | channels | ms a frame | ImageNet weights | from | licence |")
    print("|---|---:|---|---:|---|---|---|")
    for name in options.names:
        print(measure(name, options.repeats, device), flush=True)


if __name__ == "__main__":
    main()
