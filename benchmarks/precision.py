"""Training step and inference of the published network under every precision: time, peak memory, and the losses.

Run: python -m benchmarks.precision [--device cuda] [--precisions 32-true,bf16-mixed,16-mixed]
Random frames of 640 x 360, random weights of one seed, ResNet-50 with the attention neck and the propagation head, so
that every part takes its turn; with random weights each frame has its full number of detections.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from vistrials.engine.devices import build_fabric, choose_device
from vistrials.models.folding import for_inference
from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial
from vistrials.structures.frames import Frame, FramePairBatch
from vistrials.tracking.online import OnlineTracker

SIZE, PADDED, NUM_CATEGORIES, NUM_OBJECTS = (360, 640), (384, 640), 40, 4


def random_batch(num_pairs: int) -> FramePairBatch:
    """Frame pairs of random pixels with as many boxes each, whose masks fill them."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(num_pairs, NUM_OBJECTS, 2, generator=generator) * torch.tensor([400.0, 200.0])
    boxes = torch.cat([corners, corners + 40 + 100 * torch.rand(corners.shape, generator=generator)], dim=-1)
    masks = torch.zeros(num_pairs, NUM_OBJECTS, *PADDED, dtype=torch.uint8)
    for mask, box in zip(masks.flatten(0, 1), boxes.flatten(0, 1).long().tolist(), strict=True):
        mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = 1
    labels = [torch.arange(1, NUM_OBJECTS + 1)] * num_pairs
    images = torch.randn(2, num_pairs, 3, *PADDED, generator=generator)
    images[..., SIZE[0] :, :] = 0
    return FramePairBatch(
        key_images=images[0],
        reference_images=images[1],
        image_sizes=[SIZE] * num_pairs,
        boxes=list(boxes),
        labels=labels,
        masks=list(masks),
        reference_boxes=list(boxes),
        reference_labels=labels,
        instance_match=labels,
    )


def seconds_of(function: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """How long each call took, the work on the device included."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return found


def measure(precision: str, device: torch.device, num_pairs: int, repeats: int) -> str:
    """A row of the table for one precision."""
    fabric = build_fabric(device, precision)
    torch.manual_seed(0)
    spec = load_trial("attention_neck", "youtube_vis_2019")
    model = build_model(spec.model, NUM_CATEGORIES)
    # The rate is 0: every step starts from the same weights, so that their losses can be compared.
    wrapped, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.0))
    batch = fabric.to_device(random_batch(num_pairs))
    losses: dict[str, torch.Tensor] = {}

    def step() -> None:
        torch.manual_seed(1)
        losses.update(wrapped.train()(batch))
        fabric.backward(torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum())
        optimizer.step()
        optimizer.zero_grad()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps = seconds_of(step, repeats + 2, device)[2:]
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
    total = sum(float(value.detach()) for name, value in losses.items() if name.startswith("loss_"))

    tracker = OnlineTracker(for_inference(model), spec.inference)
    frames = iter(torch.randn(repeats + 2, 3, *SIZE, generator=torch.Generator().manual_seed(2)).to(device))
    with fabric.autocast():
        seconds = seconds_of(lambda: tracker.step(Frame(next(frames), 1.0, SIZE)), repeats + 2, device)[2:]
    return (
        f"| {precision} | {1000 * statistics.median(steps):.0f} ms | {memory:.2f} GiB | {total:.4f} "
        f"| {1000 * statistics.median(seconds):.0f} ms |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", default="32-true,bf16-mixed")
    parser.add_argument("--pairs", type=int, default=4, help="frame pairs in a training step")
    parser.add_argument("--repeats", type=int, default=8)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    print(f"{device}, PyTorch {torch.__version__}, {arguments.pairs} pairs, medians of {arguments.repeats}")
    print("| precision | step | peak | sum of losses | frame |\n|---|---:|---:|---:|---:|")
    for precision in arguments.precisions.split(","):
        print(measure(precision, device, arguments.pairs, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
