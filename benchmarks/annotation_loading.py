"""How long annotations of the size of YouTube-VIS 2019 train take to load, and how much memory.

Run: python -m benchmarks.annotation_loading [--uncompressed]
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vistrials.data.sampling import annotated_frames
from vistrials.formats.annotations import build_video_set
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import decode_runs, encode

NUM_VIDEOS, NUM_FRAMES, TRACKS_PER_VIDEO, NUM_CATEGORIES = 2238, 27, 1.7, 40
HEIGHT, WIDTH = 720, 1280
NUM_MASKS = 256
ABSENT_FRACTION = 0.1


def make_masks(uncompressed: bool, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Run-length masks of blobs with a wavy outline, and their boxes and areas."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    made = []
    for _ in range(NUM_MASKS):
        cy, cx = rng.uniform(200, HEIGHT - 200), rng.uniform(200, WIDTH - 200)
        angle = np.arctan2(rows - cy, columns - cx)
        radius = rng.uniform(18, 55) * (1 + 0.25 * np.sin(angle * rng.integers(2, 6)))
        mask = np.hypot(rows - cy, columns - cx) < radius
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        rle = encode(mask)
        if uncompressed:
            rle["counts"] = decode_runs([rle]).lengths.tolist()
        box = [float(xs[0]), float(ys[0]), float(xs[-1] - xs[0] + 1), float(ys[-1] - ys[0] + 1)]
        made.append({"segmentation": rle, "bbox": box, "area": int(mask.sum())})
    return made


def pieces(uncompressed: bool) -> Iterator[str]:
    """The text of the file, piece by piece, so that making it does not count as memory of loading it."""
    rng = np.random.default_rng(0)
    masks = make_masks(uncompressed, rng)
    encoded = {key: [json.dumps(mask[key]) for mask in masks] for key in ("segmentation", "bbox", "area")}
    yield json.dumps({"categories": [{"id": i + 1, "name": f"category {i + 1}"} for i in range(NUM_CATEGORIES)]})[:-1]
    yield ', "videos": ['
    for video in range(1, NUM_VIDEOS + 1):
        names = [f"{video:010x}/{5 * frame:05d}.jpg" for frame in range(NUM_FRAMES)]
        record = {"id": video, "width": WIDTH, "height": HEIGHT, "length": NUM_FRAMES, "file_names": names}
        yield json.dumps(record) + ("," if video < NUM_VIDEOS else "")
    yield '], "annotations": ['
    num_tracks = int(NUM_VIDEOS * TRACKS_PER_VIDEO)
    for track in range(num_tracks):
        chosen = rng.integers(NUM_MASKS, size=NUM_FRAMES)
        absent = rng.random(NUM_FRAMES) < ABSENT_FRACTION
        lists = {
            name: ", ".join("null" if gone else texts[i] for i, gone in zip(chosen, absent, strict=True))
            for name, texts in zip(("segmentations", "bboxes", "areas"), encoded.values(), strict=True)
        }
        head = {
            "id": track + 1,
            "video_id": track % NUM_VIDEOS + 1,
            "category_id": int(rng.integers(NUM_CATEGORIES)) + 1,
            "iscrowd": 0,
        }
        body = ", ".join(f'"{name}": [{values}]' for name, values in lists.items())
        yield json.dumps(head)[:-1] + ", " + body + "}" + ("," if track < num_tracks - 1 else "")
    yield "]}\n"


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uncompressed", action="store_true", help="run lengths as lists of numbers")
    uncompressed = parser.parse_args().uncompressed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        with path.open("w") as file:
            file.writelines(pieces(uncompressed))
        before = peak_rss_mb()
        start = time.perf_counter()
        document = load_json(path)
        parsed = time.perf_counter()
        video_set = build_video_set(document, Path(folder), str(path))
        del document
        annotated = [annotated_frames(video) for video in video_set.videos]
        built = time.perf_counter()
        masks = [s for v in video_set.videos for t in v.tracks for s in t.segmentations if s is not None]
        counts = [mask["counts"] for mask in masks]
        print(f"file                {path.stat().st_size / 1e6:8.1f} MB")
        print(f"masks               {len(masks):8d}    of {np.mean([len(c) for c in counts]):.0f} counts each")
        print(f"annotated frames    {sum(map(len, annotated)):8d}    in {len(video_set.videos)} videos")
        print(f"parse               {parsed - start:8.2f} s")
        print(f"build               {built - parsed:8.2f} s     records and annotated frames")
        print(f"peak RSS            {peak_rss_mb():8.0f} MB    ({before:.0f} MB before loading)")


if __name__ == "__main__":
    main()
