"""Inference of the published network at 640 x 384 on the CPU: each part beside the plain way of computing it.

Run: python -m benchmarks.inference [--rounds 3] [--threads 2] [--only propagation] [--write FILE.json]
     python -m benchmarks.inference --scaling   how the time grows with objects, history, resolution and length
Both ways take turns in one process, so that their ratio means something on a machine that others use too; medians over
the rounds. The plain ways stand in this file: explicit S x S matrices and every object over the whole frame,
torchvision's RoIAlign, masks pasted and encoded at full size, a memory that is copied for every frame. Weights, pixels
and features are random, of one seed, with ResNet-50, 40 categories and 256 channels. Of the plain propagation one
stored frame is timed and multiplied by the number of stored frames. `--only bfloat16` times a frame in bfloat16, which
takes minutes on a CPU without instructions for it.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize, relu
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import roi_align

from benchmarks.records import RESULTS, as_table, describe_machine, save_record
from benchmarks.training_step import limit_of_one_core
from vistrials.formats import rle
from vistrials.freed_memory import keep_freed_memory
from vistrials.geometry import boxes as box_ops
from vistrials.models import objprop
from vistrials.models.folding import for_inference
from vistrials.models.mask_head import crop_mask
from vistrials.models.objprop import ObjProp, build_model
from vistrials.models.propagation_head import PropagationHead, box_cells
from vistrials.models.roi_features import STRIDES, roi_features
from vistrials.specs.loading import load_trial
from vistrials.specs.model import RoISpec
from vistrials.structures.frames import Frame
from vistrials.tracking.memory import Memory
from vistrials.tracking.online import OnlineTracker, TrackedObject, encode_masks, track_video

SIZE, PADDED, CELLS, NUM_CATEGORIES, CHANNELS = (360, 640), (384, 640), (48, 80), 40, 256
FRAME_SIZE = (720, 1280)

Row = dict[str, Any]


class Seconds(NamedTuple):
    """By the clock, which others slow down; of the processor, all threads together; and of the thread that had most.

    The last is the least that the clock would show with a core for every thread; it is told in hundredths, on Linux.
    """

    wall: float
    cpu: float
    longest: float


def plain_roi_features(levels: list[Tensor], boxes: list[Tensor], size: int, spec: RoISpec) -> Tensor:
    """`roi_features` by torchvision's RoIAlign, level by level."""
    image_index = torch.cat([torch.full((len(b),), i) for i, b in enumerate(boxes)])
    rois = torch.cat(boxes)
    widths, heights = box_ops.sides(rois)
    level_index = torch.log2((widths * heights).sqrt() / spec.finest_scale_px + 1e-6).floor()
    level_index = level_index.clamp(0, spec.num_levels - 1).long()
    pooled = levels[0].new_zeros(len(rois), levels[0].shape[1], size, size)
    for i, stride in enumerate(STRIDES[: spec.num_levels]):
        rows = (level_index == i).nonzero().flatten()
        if len(rows):
            half = 0.5 * stride
            shifted = rois[rows] + rois.new_tensor([half, half, half + 1, half + 1])
            numbered = torch.cat([image_index[rows, None].to(rois), shifted], dim=1)
            aligned = roi_align(levels[i], numbered, (size, size), 1 / stride, sampling_ratio=2, aligned=True)
            pooled = pooled.index_copy(0, rows, aligned)
    return pooled


def plain_propagate(head: PropagationHead, key: Tensor, reference: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """`PropagationHead.propagate` with all matrices, at all pixels, with the maps of all categories."""
    height, width = key.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height, dtype=key.dtype), torch.arange(width, dtype=key.dtype), indexing="ij")
    y, x = y.flatten(), x.flatten()
    squared_distance = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    affinity = head.affinity(key, reference) * torch.exp(-squared_distance / head.spec.sigma_cells**2)
    inside = box_cells(boxes, height, width, head.spec.stride).flatten(1).to(key)
    foreground, background = (
        interpolate(mass.reshape(-1, 1, height, width), scale_factor=head.spec.stride, mode="bilinear")[:, 0]
        for mass in (inside @ affinity, (1 - inside) @ affinity)
    )
    features = head.attended_features(key, (foreground - background).sigmoid())
    for conv in head.mask_convs:
        features = relu(conv(features))
    maps = head.logits(relu(head.upsample(features)))
    chosen = maps[torch.arange(len(maps)), labels][:, None]
    return interpolate(chosen, scale_factor=head.spec.stride // 2, mode="bilinear")[:, 0].sigmoid()


def plain_encode(objects: list[TrackedObject]) -> list[rle.Rle]:
    """Every mask at the size of its frame."""
    return [rle.encode(o.mask.numpy()) for o in objects]


class PlainMemory:
    """Raw embeddings and boxes, copied for every frame."""

    def __init__(self, embeddings: Tensor, boxes: Tensor) -> None:
        self.embeddings, self.boxes = embeddings, boxes

    def update(self, ids: list[int], embeddings: Tensor, boxes: Tensor, new: Tensor, new_boxes: Tensor) -> Tensor:
        known, known_boxes = self.embeddings.clone(), self.boxes.clone()
        known[ids], known_boxes[ids] = embeddings, boxes
        self.embeddings, self.boxes = torch.cat([known, new]), torch.cat([known_boxes, new_boxes])
        return normalize(self.embeddings, dim=1)


def random_model() -> ObjProp:
    torch.manual_seed(0)
    return build_model(load_trial("baseline", "youtube_vis_2019").model, NUM_CATEGORIES).eval()


def alternate(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Seconds]:
    """Median seconds of each way; they take turns, after one turn each that does not count."""
    found: dict[str, list[Seconds]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began, began_cpu, began_threads = time.perf_counter(), time.process_time(), seconds_of_threads()
            way()
            wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
            of_threads = {thread: s - began_threads.get(thread, 0) for thread, s in seconds_of_threads().items()}
            if number:
                found[name].append(Seconds(wall, cpu, max(of_threads.values(), default=cpu)))
    return {name: Seconds(*map(statistics.median, zip(*of_way, strict=True))) for name, of_way in found.items()}


def seconds_of_threads() -> dict[str, float]:
    """What each thread of this process has used of the processor; empty elsewhere than on Linux."""
    found = {}
    for path in Path("/proc/self/task").glob("*/stat"):
        fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        found[path.parent.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def measure_frame(rounds: int, precision: str = "float32") -> Row:
    """A frame with 100 detections, propagation off, from pixels to run lengths."""
    spec = load_trial("baseline", "youtube_vis_2019")
    plain_model = random_model()
    plain_model.propagation = None
    model = for_inference(plain_model)
    image = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(1))
    counts = []

    def track(network: ObjProp, encode: Callable[[list[TrackedObject]], list[rle.Rle]]) -> None:
        objects = list(OnlineTracker(network, spec.inference).step(Frame(image, 0.5, FRAME_SIZE)).values())
        counts.append(len(objects))
        encode(objects)

    def plain() -> None:
        with patch.object(objprop, "roi_features", plain_roi_features):
            track(plain_model, plain_encode)

    def ours() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            track(model, encode_masks)

    name = "a frame with {} detections, 1280 x 720 pixels" + (" (ours in bfloat16)" if precision == "bfloat16" else "")
    with FlopCounterMode(display=False) as counted:
        ours()
    found = row(name.format(counts[-1]), alternate({"plain": plain, "ours": ours}, rounds))
    return found | {"share of the limit": counted.get_total_flops() / found["ours"] / limit_of_one_core()}


def measure_together(rounds: int, count: int = 4) -> Row:
    """Frames with 100 detections each, propagation off: through the network one by one, and together."""
    spec = load_trial("baseline", "youtube_vis_2019").inference
    model = random_model()
    model.propagation = None
    fast = for_inference(model)
    pixels = torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    frames = [Frame(image, 0.5, FRAME_SIZE) for image in pixels]

    def track(size: int) -> None:
        track_video(
            fast, frames, 1, list(range(1, NUM_CATEGORIES + 1)), spec.model_copy(update={"frames_per_batch": size})
        )

    ways = {"plain": partial(track, 1), "ours": partial(track, count)}
    return row(f"{count} frames together instead of one by one", alternate(ways, rounds))


def measure_propagation(rounds: int, stored: int, objects: int) -> Row:
    """Objects lost in this frame, propagated from each of the stored ones."""
    head = random_model().propagation
    assert head is not None
    fast = for_inference(head)
    key, references, boxes, labels = _stored(stored, objects)
    with torch.inference_mode():
        difference = plain_propagate(head, key, references[0], boxes, labels) - fast.propagate(
            key, references[:1], [boxes], [labels]
        )

        def plain() -> None:
            plain_propagate(head, key, references[0], boxes, labels)

        def ours() -> None:
            lost = [references[i % len(references)] for i in range(stored)]
            fast.propagate(key, lost, [boxes] * stored, [labels] * stored, [list(range(objects))] * stored)

        seconds = alternate({"plain": plain, "ours": ours}, rounds)
    seconds["plain"] = Seconds(*(stored * value for value in seconds["plain"]))
    return row(f"propagation of {objects} objects from {stored} stored frames", seconds) | {
        "differ by": float(difference.abs().max())
    }


def _stored(stored: int, objects: int) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Features of a key frame and of up to 8 stored ones, and boxes and labels of objects."""
    generator = torch.Generator().manual_seed(2)
    # Features of the size that a fresh head gives to pixels of one video: neighbouring frames resemble each other.
    key = 0.3 * torch.randn(CHANNELS, *CELLS, generator=generator)
    references = [key.roll(i + 1, 2) + 0.1 * torch.randn(key.shape, generator=generator) for i in range(min(stored, 8))]
    corners = torch.rand(objects, 2, generator=generator) * torch.tensor([460.0, 220.0])
    boxes = torch.cat([corners, corners + 60 + 100 * torch.rand(objects, 2, generator=generator)], dim=1)
    return key, references, boxes, torch.arange(objects) % NUM_CATEGORIES + 1


def _random_rois(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(count, 2, generator=generator) * torch.tensor([500.0, 250.0])
    return torch.cat([corners, corners + 20 + 110 * torch.rand(count, 2, generator=generator)], dim=1)


def measure_roi_features(rounds: int) -> list[Row]:
    """1,000 RoIs of a pyramid in inference, and forward with backward of 512 in training."""
    levels = [torch.randn(1, CHANNELS, PADDED[0] // s, PADDED[1] // s) for s in STRIDES]
    last = [level.contiguous(memory_format=torch.channels_last) for level in levels]
    rois, spec = [_random_rois(1000)], RoISpec()
    with torch.inference_mode():
        ways = {
            "plain": lambda: plain_roi_features(levels, rois, 7, spec),
            "ours": lambda: roi_features(last, rois, 7, spec),
        }
        difference = float((ways["plain"]() - ways["ours"]()).abs().max())
        forward = row("RoI features of 1,000 RoIs, 7 x 7", alternate(ways, rounds)) | {"differ by": difference}
    training, few = [level.requires_grad_() for level in levels], [rois[0][:512]]

    def step(function: Callable[..., Tensor]) -> None:
        torch.autograd.grad(function(training, few, 7, spec).sum(), training, allow_unused=True)

    seconds = alternate({"plain": lambda: step(plain_roi_features), "ours": lambda: step(roi_features)}, rounds)
    return [forward, row("RoI features of 512 RoIs with their gradients", seconds)]


def measure_masks(rounds: int) -> Row:
    """100 masks of RoIs, resized into a frame and turned into run lengths."""
    generator = torch.Generator().manual_seed(4)
    probs = interpolate(torch.rand(100, 1, 4, 4, generator=generator), size=28, mode="bilinear")[:, 0]
    boxes = [tuple(int(v) for v in box) for box in (2 * _random_rois(100)).tolist()]

    def objects() -> list[TrackedObject]:
        cropped = [crop_mask(p, box, FRAME_SIZE, 0.5) for p, box in zip(probs, boxes, strict=True)]  # type: ignore[arg-type]
        return [TrackedObject(p, 1, 1.0, *crop, FRAME_SIZE) for p, crop in zip(probs, cropped, strict=True)]

    assert plain_encode(objects()) == encode_masks(objects())
    ways = {"plain": lambda: plain_encode(objects()), "ours": lambda: encode_masks(objects())}
    return row("100 masks pasted and encoded at 1280 x 720", alternate(ways, rounds))


def measure_memory(rounds: int) -> Row:
    """A frame's update of a memory of 16,000 objects: 50 seen again, 50 new."""
    embeddings, boxes, labels = torch.randn(16000, 1024), torch.rand(16000, 4), torch.ones(16000, dtype=torch.long)
    plain, ours = PlainMemory(embeddings, boxes), Memory(normalize(embeddings, dim=1), boxes, labels)
    ours.append(embeddings[:1], boxes[:1], labels[:1])  # has grown as far as it will
    seen = list(range(0, 5000, 100))
    found, own = torch.randn(50, 1024), torch.rand(50, 4)

    def update() -> None:
        ours.update(seen, normalize(found, dim=1), own)
        ours.append(normalize(found, dim=1), own, labels[:50])

    ways = {"plain": lambda: plain.update(seen, found, own, found, own), "ours": update}
    return row("tracker's memory of 16,000 objects, a frame's update", alternate(ways, rounds))


def row(name: str, seconds: dict[str, Seconds]) -> Row:
    """A row of the table; the ratio is of the processor's seconds."""
    plain, ours = seconds["plain"], seconds["ours"]
    return {
        "what": name,
        "plain": plain.cpu,
        "ours": ours.cpu,
        "ratio": plain.cpu / ours.cpu,
        "plain, clock": plain.wall,
        "ours, clock": ours.wall,
        "ours, longest thread": ours.longest if ours.cpu > 1 else None,
    }


def measure_scaling(rounds: int) -> list[Row]:
    """Exponents: twice the size takes 2 to the power of it times as long."""
    fast = for_inference(random_model())
    assert (head := fast.propagation) is not None
    key, references, boxes, labels = _stored(8, 20)
    spec = load_trial("baseline", "youtube_vis_2019").inference

    def propagate(stored: int, objects: int) -> None:
        with torch.inference_mode():
            of_each = ([boxes[:objects]] * stored, [labels[:objects]] * stored, [list(range(objects))] * stored)
            head.propagate(key, references[:stored], *of_each)

    def track(size: tuple[int, int], num_frames: int, max_detections: int) -> None:
        limited = spec.model_copy(update={"max_detections": max_detections})
        pixels = torch.randn(num_frames, 3, *size, generator=torch.Generator().manual_seed(1))
        frames = (Frame(image, 1.0, size) for image in pixels)
        track_video(fast, frames, 1, list(range(1, NUM_CATEGORIES + 1)), limited)

    grown: dict[str, dict[int, Callable[[], None]]] = {
        "propagated objects": {n: partial(propagate, 1, n) for n in (5, 10, 20)},
        "stored frames": {n: partial(propagate, n, 5) for n in (2, 4, 8)},
        "pixels of a frame": {h * w: partial(track, (h, w), 1, 100) for h, w in ((192, 320), (256, 448), (384, 640))},
        "frames of a video of 160 x 96 pixels, 5 objects": {n: partial(track, (96, 160), n, 5) for n in (4, 8, 16)},
    }
    return [scaling_row(name, ways, rounds) for name, ways in grown.items()]


def scaling_row(name: str, ways: dict[int, Callable[[], None]], rounds: int) -> Row:
    """The least squares' slope of the logarithms."""
    found = alternate({str(size): way for size, way in ways.items()}, rounds)
    seconds = [of_size.cpu for of_size in found.values()]
    return {
        "what grows": name,
        "sizes": ", ".join(f"{size:,}" for size in ways),
        "seconds": ", ".join(f"{s:.3g}" for s in seconds),
        "exponent": float(np.polyfit(np.log(list(ways)), np.log(seconds), 1)[0]),
    }


@contextmanager
def threads(count: int) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


COLUMNS = {
    "what": "",
    "plain": "s",
    "ours": "s",
    "ratio": "",
    "plain, clock": "s",
    "ours, clock": "s",
    "ours, longest thread": "s",
    "share of the limit": "%",
    "differ by": "",
}
SCALING_TITLE = "How the time of inference grows, seconds of the processor"
SCALING_COLUMNS = {"what grows": "", "sizes": "", "seconds": "", "exponent": ""}
SCALING_NOTES = [
    "Twice the size takes 2 to the power of the exponent times as long. Heads for 1,000 proposals and 100 detections "
    "cost the same at all sizes of a frame; a video's first 8 frames have fewer stored frames to propagate from.",
]
TITLE = "Each part beside the plain way, 640 × 384, ResNet-50, float32, seconds of the processor"
NOTES = [
    "Plain is the way that the code took before, or a library's; of the plain propagation one stored frame is "
    "timed and multiplied. The longest thread is the least that the clock would show with a core for each thread. "
    "The limit is a large matrix product of the same process; convolutions can exceed it. Propagation in windows "
    "is off by at most 1.5e-4 of attention, gathered RoI features and folded batch norms by rounding. bfloat16 is for "
    "processors with instructions for it (avx512_bf16 or amx_bf16 among the flags of /proc/cpuinfo).",
]

PARTS: dict[str, Callable[[int], list[Row]]] = {
    "frame": lambda rounds: [measure_frame(rounds)],
    "bfloat16": lambda rounds: [measure_frame(rounds, "bfloat16")],
    "together": lambda rounds: [measure_together(rounds)],
    "propagation": lambda rounds: [measure_propagation(rounds, 8, 5), measure_propagation(rounds, 24, 10)],
    "roi": measure_roi_features,
    "masks": lambda rounds: [measure_masks(rounds)],
    "memory": lambda rounds: [measure_memory(rounds)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[part for part in PARTS if part != "bfloat16"])
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--write", type=Path, help="default: the record of benchmarks/results/, if all was measured")
    arguments = parser.parse_args()
    whole = arguments.only == parser.get_default("only")
    machine = describe_machine(arguments.threads) | {"rounds": arguments.rounds}
    with threads(arguments.threads), keep_freed_memory():
        if arguments.scaling:
            rows = measure_scaling(arguments.rounds)
            name, title, columns, notes = "inference_scaling", SCALING_TITLE, SCALING_COLUMNS, SCALING_NOTES
        else:
            rows = [measured for part in arguments.only for measured in PARTS[part](arguments.rounds)]
            name, title, columns, notes = "inference", TITLE, COLUMNS, NOTES
    command = "python -m benchmarks.inference" + (" --scaling" if arguments.scaling else "")
    out = arguments.write or (RESULTS / f"{name}.json" if whole else None)
    if out is not None:
        save_record(out, title, command, machine, columns, rows, notes)
    print(as_table({"columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
