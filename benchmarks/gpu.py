"""What a GPU makes of the published network: training, inference, its limits, its kernels, and the demo end to end.

Run: python -m benchmarks.gpu [--out FILE.json]   (make bench-gpu; at most 8 minutes)
On random pixels and weights, ResNet-50 with attention neck and propagation head at 640 x 360, so that every part takes
its turn and each frame has its full number of detections. Every figure stands beside the limit measured in the same
minutes: a large matrix product of the same precision. The JSON grows part by part, so that what was measured stays when
the time ends. `--device cpu --smoke` runs every part once, in a small size, to see that it works; its figures are none.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.records import as_table
from vistrials.engine.devices import build_fabric, choose_device
from vistrials.formats.json_file import save_json_atomic
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.loading import load_trial
from vistrials.structures.frames import Frame, FramePairBatch
from vistrials.tracking.online import OnlineTracker

ROOT = Path(__file__).resolve().parents[1]
NUM_CATEGORIES, NUM_OBJECTS = 40, 4
# What waits for the device, by the names that the profiler gives.
BLOCKING = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
FRAMES_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the parts are: frames in px, pairs in a step, calls timed and not timed, edge of the matrix product."""

    size: tuple[int, int]
    padded: tuple[int, int]
    num_pairs: int
    repeats: int
    warm_up: int
    matrix_edge: int
    profile: str
    tests: tuple[str, ...]


PUBLISHED = Scale(
    size=(360, 640), padded=(384, 640), num_pairs=4, repeats=8, warm_up=2, matrix_edge=8192, profile="youtube_vis_2019",
    tests=("tests/models/test_cuda.py", "tests/models/test_precision.py", "tests/models/test_goldens_training.py",
           "tests/engine/test_cuda.py", "tests/engine/test_devices.py"),
)  # fmt: skip
SMOKE = Scale(
    size=(60, 96), padded=(64, 96), num_pairs=1, repeats=1, warm_up=0, matrix_edge=64, profile="smoke",
    tests=("tests/models/test_cuda.py",),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to compute: a precision of `train.precision`, and whether float32 products may round to TF32."""

    name: str
    precision: str
    tf32: bool = False

    @property
    def matrix_dtype(self) -> torch.dtype:
        return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision, torch.float32)


MODES = (Mode("float32", "32-true"), Mode("TF32", "32-true", tf32=True), Mode("bf16", "bf16-mixed"))


def random_batch(scale: Scale) -> FramePairBatch:
    """Frame pairs of random pixels with as many boxes each, whose masks fill them."""
    generator = torch.Generator().manual_seed(0)
    height, width = scale.size
    room = torch.tensor([width * 0.6, height * 0.5])
    corners = torch.rand(scale.num_pairs, NUM_OBJECTS, 2, generator=generator) * room
    extents = 0.1 * height + 0.3 * height * torch.rand(corners.shape, generator=generator)
    boxes = torch.cat([corners, corners + extents], dim=-1)
    masks = torch.zeros(scale.num_pairs, NUM_OBJECTS, *scale.padded, dtype=torch.uint8)
    for mask, box in zip(masks.flatten(0, 1), boxes.flatten(0, 1).long().tolist(), strict=True):
        mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = 1
    labels = [torch.arange(1, NUM_OBJECTS + 1)] * scale.num_pairs
    images = torch.randn(2, scale.num_pairs, 3, *scale.padded, generator=generator)
    images[..., height:, :] = 0
    return FramePairBatch(
        key_images=images[0],
        reference_images=images[1],
        image_sizes=[scale.size] * scale.num_pairs,
        boxes=list(boxes),
        labels=labels,
        masks=list(masks),
        reference_boxes=list(boxes),
        reference_labels=labels,
        reference_objects=labels,
        instance_match=labels,
    )


def median_seconds(function: Callable[[], object], scale: Scale, device: torch.device) -> float:
    """Of one call, the work on the device included."""
    found = []
    for number in range(scale.warm_up + scale.repeats):
        began = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number >= scale.warm_up:
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def measure_limit(mode: Mode, scale: Scale, device: torch.device) -> float:
    """FLOP per second of a large square matrix product: what no network gets beyond."""
    edge = scale.matrix_edge
    one, other = torch.randn(2, edge, edge, device=device, dtype=mode.matrix_dtype)
    return 2 * edge**3 / median_seconds(lambda: one @ other, scale, device)


def build(scale: Scale) -> ObjProp:
    torch.manual_seed(0)
    return build_model(load_trial("attention_neck", scale.profile).model, NUM_CATEGORIES)


def measure_mode(mode: Mode, scale: Scale, device: torch.device) -> dict[str, Any]:
    """Training step and frame in one mode, their arithmetic, memory and share of the limit."""
    fabric = build_fabric(device, mode.precision)
    spec = load_trial("attention_neck", scale.profile)
    model = build(scale)
    # The rate is 0: every step starts from the same weights, so that their losses can be compared.
    wrapped, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.0))
    batch = fabric.to_device(random_batch(scale))
    losses: dict[str, torch.Tensor] = {}

    def step() -> None:
        torch.manual_seed(1)
        losses.update(wrapped.train()(batch))
        fabric.backward(torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum())
        optimizer.step()
        optimizer.zero_grad()

    limit = measure_limit(mode, scale, device)
    with FlopCounterMode(display=False) as counted:
        step()
    step_flop = counted.get_total_flops()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = median_seconds(step, scale, device)
    found: dict[str, Any] = {
        "limit_tflops": limit / 1e12,
        "step_seconds": seconds,
        "images_per_second": 2 * scale.num_pairs / seconds,
        "step_tflop": step_flop / 1e12,
        "share_of_limit": step_flop / seconds / limit,
        "sum_of_losses": sum(float(value.detach()) for name, value in losses.items() if name.startswith("loss_")),
    }
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    found["profile"] = profile_kernels(step, device)

    tracker = OnlineTracker(model.eval(), spec.inference)
    generator = torch.Generator().manual_seed(2)
    calls = scale.repeats + scale.warm_up
    pixels = torch.randn(calls + 1, 3, *scale.size, generator=generator).to(device)
    frames = iter(pixels)
    together = [Frame(image, 1.0, scale.size) for image in pixels[:FRAMES_TOGETHER]]
    with fabric.autocast():
        found["frame_seconds"] = median_seconds(
            lambda: tracker.step(Frame(next(frames), 1.0, scale.size)), scale, device
        )
        seconds = median_seconds(lambda: tracker.step_together(together), scale, device)
        found["frame_seconds_together"] = seconds / len(together)
        found["frame_profile"] = profile_kernels(lambda: tracker.step(Frame(next(frames), 1.0, scale.size)), device)
    return found


def profile_kernels(function: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """Where one call spends the device's time, in ms by kernel, and how often the host waits for it."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as profiled:
        function()
    milliseconds: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        spent = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        milliseconds[event.key] += spent / 1000
    ranked = sorted(milliseconds.items(), key=lambda item: -item[1])[:12]
    waits = sum(event.count for event in profiled.key_averages() if event.key in BLOCKING)
    return {"top_ms": {name[:80]: round(spent, 3) for name, spent in ranked}, "host_waits": waits}


def run_tests(scale: Scale) -> dict[str, Any]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *scale.tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    return {"exit_code": done.returncode, "says": lines[-1] if lines else "", "seconds": time.perf_counter() - began}


def run_demo(scale: Scale, device: torch.device) -> dict[str, Any]:
    """The main job from nothing to figures: seconds and AP by split."""
    name = "smoke" if scale is SMOKE else "demo"
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from vistrials.cli import main; main()", "run", "baseline"]
        options = ["--profile", name, "--results", folder, "--device", device.type]
        began = time.perf_counter()
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        found: dict[str, Any] = {"exit_code": done.returncode, "seconds": seconds}
        figures = [json.loads(path.read_text()) for path in Path(folder).rglob("metrics*.json")]
        found["AP"] = {of_split["split"]: of_split["AP"] for of_split in figures if of_split["trial"] == "baseline"}
        if done.returncode:
            found["says"] = done.stderr.strip().splitlines()[-1:]
    return found


def describe(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"date": date.today().isoformat(), "pytorch": torch.__version__, "device": str(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "compute_capability": f"{properties.major}.{properties.minor}",
        }
    return found


def as_record(found: dict[str, Any]) -> dict[str, Any]:
    """What was measured, in the form of `benchmarks.records`."""
    rows = [
        {
            "mode": name,
            "step, 4 pairs": mode["step_seconds"],
            "images/s": mode["images_per_second"],
            "peak": mode.get("peak_gib"),
            "share": mode["share_of_limit"],
            "of the limit": mode["limit_tflops"],
            "frame": mode["frame_seconds"],
            # Not there in records of before.
            **({"frame of 4 together": mode[together]} if (together := "frame_seconds_together") in mode else {}),
            "waits of the host, step": mode["profile"]["host_waits"],
            "frame's": mode["frame_profile"]["host_waits"],
        }
        for name, mode in found["modes"].items()
    ]
    units = {
        "step, 4 pairs": "s",
        "peak": "GiB",
        "share": "%",
        "of the limit": "TFLOP/s",
        "frame": "s",
        "frame of 4 together": "s",
    }
    tests = [f"Tests there: {found['tests']['says']}."] if "tests" in found else []
    return {
        "title": "Training step and frame of the published network with neck and propagation head at 640 × 384",
        "command": "make bench-gpu",
        "machine": found["machine"],
        "columns": {name: units.get(name, "") for name in rows[0]},
        "rows": rows,
        "notes": [
            "Medians of 8, random weights and pixels. The limit is a product of two large matrices in the same "
            "minutes. In `float32` convolutions do not round to TF32, as they do by PyTorch's default. The neck's "
            "attention never goes below float32. Each small array that is made on the host and copied over is a wait, "
            "beside those for an answer (at most 20, tests/models/test_blocking.py). " + " ".join(tests)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], choices=["tests", "demo"])
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    scale, device = (SMOKE if arguments.smoke else PUBLISHED), choose_device(arguments.device)
    found: dict[str, Any] = {"machine": describe(device), "modes": {}}

    def keep() -> None:
        if arguments.out is not None:
            save_json_atomic(arguments.out, found)

    for mode in MODES:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode.tf32
        found["modes"][mode.name] = measure_mode(mode, scale, device)
        keep()
    print(as_table(as_record(found)), flush=True)
    if "demo" not in arguments.skip:
        found["demo"] = run_demo(scale, device)
        keep()
        print(f"demo: {found['demo']}", flush=True)
    if "tests" not in arguments.skip:
        found["tests"] = run_tests(scale)
        keep()
        print(f"tests: {found['tests']['says']}", flush=True)
    raise SystemExit(any(found.get(part, {}).get("exit_code") for part in ("demo", "tests")))


if __name__ == "__main__":
    main()
