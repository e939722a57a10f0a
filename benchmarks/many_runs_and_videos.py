"""Processor time of `compare` over 300 runs and of `diagnose` on 10,000 videos, each a process of its own.

Run: python -m benchmarks.many_runs_and_videos [--seeds 20] [--videos 10000]

The runs are those of results/demo again and again under other seeds, as networks of their own; the videos those of the
embedded occlusion split under new ids, with predictions that have errors of each kind.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.evaluation import measure
from vistrials.formats.json_file import load_json

RUNS = Path(__file__).parents[1] / "results" / "demo"
_LEFT_OUT = ("losses.jsonl", "weights.safetensors")


def write_runs(folder: Path, num_seeds: int) -> None:
    """Copy the runs of each trial as seeds 0, 1, .., in turn."""
    for trial in sorted(path for path in RUNS.iterdir() if path.is_dir()):
        sources = sorted(trial.glob("seed*"))
        for seed in range(num_seeds):
            copy = folder / "demo" / trial.name / f"seed{seed}"
            shutil.copytree(sources[seed % len(sources)], copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
            for path in (*copy.glob("metrics*.json"), copy / "provenance.json"):
                content = load_json(path) | {"seed": seed}
                for stage in content.get("stages", {}).values():
                    for key in stage.keys() & {"network_sha256", "weights_sha256"}:
                        stage[key] = hashlib.sha256(f"{stage[key]} {seed}".encode()).hexdigest()
                path.write_text(json.dumps(content))


def write_videos(folder: Path, num_videos: int) -> None:
    """Write truth.json and predictions.json."""
    from vistrials.data.synthetic.dataset import ensure_synthetic

    source, rng = load_json(ensure_synthetic("occlusion") / "occlusion.json"), random.Random(0)
    categories = [category["id"] for category in source["categories"]]
    tracks_of: dict[int, list[Any]] = {video["id"]: [] for video in source["videos"]}
    for track in source["annotations"]:
        tracks_of[track["video_id"]].append(track)
    videos: list[Any] = []
    tracks: list[Any] = []
    predictions: list[Any] = []
    for number in range(num_videos):
        video = source["videos"][number % len(source["videos"])]
        videos.append(video | {"id": number + 1})
        own = tracks_of[video["id"]]
        for track in own:
            tracks.append(track | {"id": len(tracks) + 1, "video_id": number + 1})
            for _ in range(rng.choice((0, 1, 1, 1, 2))):
                category = track["category_id"] if rng.random() < 0.85 else rng.choice(categories)
                masks = _with_error(track["segmentations"], rng.choice(own)["segmentations"], rng.random())
                predicted = {"category_id": category, "score": rng.random(), "segmentations": masks}
                predictions.append({"video_id": number + 1, **predicted})
    truth = {"videos": videos, "categories": source["categories"], "annotations": tracks}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "predictions.json").write_text(json.dumps(predictions))
    print(f"{len(videos)} videos, {len(tracks)} tracks, {len(predictions)} predictions")


def _with_error(masks: list[Any], others: list[Any], share: float) -> list[Any]:
    """Ends early, a frame late, another object's from the middle on, or as they are."""
    half = len(masks) // 2
    if share < 0.2:
        return masks[:half] + [None] * (len(masks) - half)
    if share < 0.4:
        return masks[1:] + masks[:1]
    if share < 0.6:
        return masks[:half] + others[half:]
    return masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--videos", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_runs(folder, options.seeds)
        write_videos(folder, options.videos)
        paths = [str(folder / "predictions.json"), "--gt", str(folder / "truth.json")]
        for words in (["compare", "-p", "demo", "--results", name, "--format", "json"], ["diagnose", *paths]):
            _, seconds, peak = measure([sys.executable, "-m", "vistrials", *words])
            print(f"{words[0]:10} {seconds:6.1f} s of the processor, peak {peak:,.0f} MB")


if __name__ == "__main__":
    main()
