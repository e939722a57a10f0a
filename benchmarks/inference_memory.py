"""Peak memory of online inference against the length of a video: it must not grow beyond the run lengths themselves.

Run: python -m benchmarks.inference_memory
Each length runs in a process of its own, on random frames through the demo network with random weights.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

LENGTHS = (50, 200, 400)


def measure(num_frames: int) -> None:
    """Track one video of random frames; print frames, seconds per frame and peak RSS."""
    import torch

    from vistrials.models.objprop import build_model
    from vistrials.specs.loading import load_trial
    from vistrials.structures.frames import Frame
    from vistrials.tracking.online import track_video

    spec = load_trial("baseline", "demo")
    torch.manual_seed(0)
    model = build_model(spec.model, num_categories=8).eval()
    # Random weights are unsure of everything: without a threshold every frame has its full number of detections.
    inference = spec.inference.model_copy(update={"score_threshold": 0.0})

    def frames() -> Iterator[Frame]:
        for _ in range(num_frames):
            yield Frame(torch.randn(3, 96, 160), 1.0, (96, 160))

    began = time.perf_counter()
    tracks = track_video(model, frames(), 1, range(1, 9), inference)
    seconds = (time.perf_counter() - began) / num_frames
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{num_frames:5d} frames  {len(tracks):4d} tracks  {1000 * seconds:6.1f} ms a frame  peak {peak_mib:6.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, help="measure this length in this process")
    frames = parser.parse_args().frames
    if frames is not None:
        measure(frames)
        return
    for length in LENGTHS:
        subprocess.run([sys.executable, "-m", "benchmarks.inference_memory", "--frames", str(length)], check=True)


if __name__ == "__main__":
    main()
