"""How long `vistrials evaluate` takes at the size of the YouTube-VIS 2019 validation set, against the plain algorithm.

Run: python -m benchmarks.evaluation [ANNOTATIONS PREDICTIONS] [--copies 38] [--repeats 3]

The videos of the files given are repeated with new ids until there are as many as wanted; without files, those of the
embedded minival, whose small masks are predicted as they are, 12 times, with scores of their own. Each program runs as
a process of its own, from its start to its figures and by turns. The plain algorithm is that of
`tests.evaluation.plain_reference`: a loop over tracks and frames, masks merged pair by pair as in the official program.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vistrials.evaluation.average_precision import compute_figures
from vistrials.formats.json_file import load_json
from vistrials.machine import num_cores


def embedded() -> tuple[Any, Any]:
    """Annotations of the embedded minival, and predictions that repeat them."""
    from vistrials.data.synthetic.dataset import ensure_synthetic

    annotations, random = load_json(ensure_synthetic("minival") / "minival.json"), np.random.default_rng(0)
    keys = ("video_id", "category_id", "segmentations")
    tracks = [{key: track[key] for key in keys} for track in annotations["annotations"] for _ in range(12)]
    return annotations, [track | {"score": random.random()} for track in tracks]


def write_copies(options: argparse.Namespace) -> None:
    """Write the data many times under new ids, the first annotations of each copy twice, and print how much it is."""
    if options.predictions is None:
        annotations, predictions = embedded()
    else:
        annotations, predictions = load_json(options.annotations), load_json(options.predictions)
    step = 1 + max(video["id"] for video in annotations["videos"])
    videos, tracks, predicted = [], [], []
    for copy in range(options.copies):
        videos += [video | {"id": video["id"] + copy * step} for video in annotations["videos"]]
        for track in annotations["annotations"] + annotations["annotations"][: options.extra]:
            tracks.append(track | {"id": len(tracks) + 1, "video_id": track["video_id"] + copy * step})
        for track in predictions:
            # The scores of copies differ, as those of different videos do.
            changed = {"video_id": track["video_id"] + copy * step, "score": track["score"] * (1 - 1e-4 * copy)}
            predicted.append(track | changed)
    truth = {"videos": videos, "categories": annotations["categories"], "annotations": tracks}
    (options.write / "truth.json").write_text(json.dumps(truth))
    (options.write / "predictions.json").write_text(json.dumps(predicted))
    frames = statistics.mean(sum(mask is not None for mask in track["segmentations"]) for track in predictions)
    print(f"{len(videos)} videos, {len(tracks)} tracks, {len(predicted)} predictions of {frames:.0f} masks on average")


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run a process: wall and CPU seconds, peak RSS in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return seconds, usage.ru_utime + usage.ru_stime, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, nargs="?")
    parser.add_argument("predictions", type=Path, nargs="?")
    parser.add_argument("--copies", type=int, default=38)
    parser.add_argument("--extra", type=int, default=6, help="annotations of each copy that occur twice")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write_copies(options)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [str(folder / "truth.json"), str(folder / "predictions.json")]
        # In a process of its own: a child's peak memory counts from that of its parent.
        subprocess.run([sys.executable, "-m", "benchmarks.evaluation", *sys.argv[1:], "--write", name], check=True)
        print(f"{sum(os.path.getsize(path) for path in paths) / 1e6:.0f} MB of JSON, {num_cores()} cores")
        figures, arrays = folder / "figures.json", folder / "arrays.npz"
        commands = {
            "vistrials": [sys.executable, "-m", "vistrials.cli", "evaluate", *paths, "--json", str(figures)],
            "plain": [sys.executable, "-m", "tests.evaluation.plain_reference", *paths, str(arrays)],
        }
        runs: dict[str, list[tuple[float, float, float]]] = {program: [] for program in commands}
        for _ in range(options.repeats):
            for program, command in commands.items():
                runs[program].append(measure(command))
        print(f"{'':10} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
        median = {
            program: [statistics.median(column) for column in zip(*rows, strict=True)] for program, rows in runs.items()
        }
        for program, (wall, cpu, peak) in median.items():
            print(
                f"{program:10} {wall:8.2f} {cpu:8.2f} {peak:8.0f}    wall of each run: "
                + ", ".join(f"{row[0]:.2f}" for row in runs[program])
            )
        print(
            f"faster by a factor of {median['plain'][0] / median['vistrials'][0]:.1f}"
            f" (CPU {median['plain'][1] / median['vistrials'][1]:.1f})"
        )
        with np.load(arrays) as plain:
            expected = compute_figures(plain["precision"], plain["recall"])
        found = load_json(figures)
        difference = max(abs(found[figure] - value) for figure, value in expected.items())
        print(f"largest difference of the 12 figures: {difference:.1g}")


if __name__ == "__main__":
    main()
