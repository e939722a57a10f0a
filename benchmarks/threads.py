"""Threads on the CPU: seconds of a demo training step and of a demo frame, on quiet cores and beside other work.

Run: python -m benchmarks.threads
Each candidate runs in processes of its own, once with the cores to itself and once beside two busy loops; rounds
alternate between candidates, since the speed of shared machines changes from minute to minute.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.records import RESULTS, as_table, describe_machine, save_record
from vistrials.machine import num_cores

CANDIDATES: dict[str, dict[str, str]] = {
    "PyTorch's default": {"VISTRIALS_BENCHMARK_DEFAULT": "1"},
    "spin 200": {"GOMP_SPINCOUNT": "200"},
    "spin 2,000": {"GOMP_SPINCOUNT": "2000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "passive waiting": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
WARM_UP, STEPS, FRAMES = 3, 12, 40
VIDEOS, PROCESSES = 4, 2
SITUATIONS = ("quiet", "busy")


def measure() -> None:
    """Time steps of `baseline` and frames of `masktrack_rcnn`, both of the demo, in this process; prints JSON."""
    import torch

    from vistrials.data.frames import iter_frames
    from vistrials.data.loading import build_pair_loader
    from vistrials.data.sources import resolve_split
    from vistrials.engine.devices import flush_denormals
    from vistrials.formats.annotations import load_video_set
    from vistrials.models.objprop import build_model
    from vistrials.specs.loading import load_trial
    from vistrials.tracking.online import OnlineTracker
    from vistrials.weights.files import load_weights
    from vistrials.weights.shipped import weights_file

    flush_denormals()
    torch.manual_seed(0)
    spec = load_trial("baseline", "demo")
    split = resolve_split(spec.data, "train")
    videos = load_video_set(split.annotations, split.frames_dir)
    model = build_model(spec.model, videos.num_categories)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    batches = iter(build_pair_loader(videos, spec.data, spec.train, seed=0, rank=0, world_size=1, start_iter=0))
    steps = []
    for _ in range(WARM_UP + STEPS):
        batch = next(batches)
        began = time.perf_counter()
        losses = model(batch)
        torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        steps.append(time.perf_counter() - began)

    spec = load_trial("masktrack_rcnn", "demo")
    split = resolve_split(spec.data, "minival")
    videos = load_video_set(split.annotations, split.frames_dir)
    model = build_model(spec.model, videos.num_categories).eval()
    load_weights(model, weights_file("shipped:masktrack_rcnn_demo"))
    frames = []
    for video in videos.videos[: FRAMES // len(videos.videos[0]) + 1]:
        tracker = OnlineTracker(model, spec.inference)
        for frame in iter_frames(videos, video, spec.data.image_size_px):
            began = time.perf_counter()
            tracker.step(frame)
            frames.append(time.perf_counter() - began)
    print(json.dumps({"step": statistics.median(steps[WARM_UP:]), "frame": statistics.median(frames[WARM_UP:])}))


def measure_videos() -> None:
    """Time videos of `masktrack_rcnn` of the demo with all threads, with one, and side by side; prints a table."""
    from vistrials.engine.threads import bound_spinning

    bound_spinning()

    import torch

    from vistrials.data.frames import iter_frames
    from vistrials.data.sources import resolve_split
    from vistrials.engine.devices import flush_denormals
    from vistrials.engine.interruption import StopRequest
    from vistrials.engine.side_by_side import call_side_by_side, one_thread
    from vistrials.formats.annotations import load_video_set
    from vistrials.models.folding import for_inference
    from vistrials.models.objprop import build_model
    from vistrials.specs.loading import load_trial
    from vistrials.tracking.online import track_video
    from vistrials.weights.files import load_weights
    from vistrials.weights.shipped import weights_file

    flush_denormals()
    spec = load_trial("masktrack_rcnn", "demo")
    split = resolve_split(spec.data, "minival")
    videos = load_video_set(split.annotations, split.frames_dir)
    model = build_model(spec.model, videos.num_categories)
    load_weights(model, weights_file("shipped:masktrack_rcnn_demo"))
    model = for_inference(model)
    category_ids = [category.id for category in videos.categories]

    def track(number: int, is_stopped: Callable[[], bool]) -> None:
        video = videos.videos[number]
        frames = iter_frames(videos, video, spec.data.image_size_px)
        track_video(model, frames, video.id, category_ids, spec.inference)

    found: dict[str, list[float]] = {}
    num_frames = sum(len(video) for video in videos.videos[:VIDEOS])
    ways = {f"{torch.get_num_threads()} threads": 1, "one thread": 1, f"{PROCESSES} videos, one thread each": PROCESSES}
    for _ in range(1 + STEPS):
        for name, processes in ways.items():
            began = time.perf_counter()
            with nullcontext() if "threads" in name else one_thread():
                list(call_side_by_side(track, range(VIDEOS), processes, StopRequest()))
            found.setdefault(name, []).append((time.perf_counter() - began) / num_frames)
    print(f"load {os.getloadavg()[0]:.1f}")
    print("| videos of the demo | a frame, median | least |\n|---|---:|---:|")
    for name, seconds in found.items():
        print(f"| {name} | {1000 * statistics.median(seconds[1:]):.0f} ms | {1000 * min(seconds[1:]):.0f} ms |")


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Other work on the machine: `count` processes that never rest."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure in this process")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each candidate in each situation")
    parser.add_argument(
        "--videos", action="store_true", help="whole videos in one process and side by side, as it is now"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "threads.json")
    arguments = parser.parse_args()
    if arguments.videos:
        measure_videos()
        return
    if arguments.measure:
        measure()
        return
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for situation in SITUATIONS:
            with busy_loops(2 if situation == "busy" else 0):
                for name, variables in CANDIDATES.items():
                    done = subprocess.run(
                        [sys.executable, "-m", "benchmarks.threads", "--measure"],
                        env=plain | variables, check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    found.setdefault((name, situation), []).append(json.loads(done.stdout))
    rows = [
        {"threads": name}
        | {
            f"{what}, {situation}": statistics.median(run[what] for run in found[name, situation])
            for what in ("step", "frame")
            for situation in SITUATIONS
        }
        for name in CANDIDATES
    ]
    columns = {name: "" if name == "threads" else "s" for name in rows[0]}
    save_record(
        arguments.out,
        "Threads of the demo on the two cores, quiet and beside two busy loops",
        "python -m benchmarks.threads",
        describe_machine(num_cores()), columns, rows,
    )  # fmt: skip
    print(as_table({"columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
