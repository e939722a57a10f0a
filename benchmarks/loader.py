"""Frame pairs for training at the size of YouTube-VIS: JPEG frames of 1280 x 720, trained on at 640 x 360.

Run: python -m benchmarks.loader [--pairs 60] [--rounds 3] [--out FILE.json]
Draws a video of photograph-like frames with four objects on disk, then loads pairs in one process with one thread, as a
worker does, under the published settings and under the augmentation of profile `laptop`. Seconds of the processor, so
that the figures mean something beside other work; medians over the rounds.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.records import RESULTS, as_table, describe_machine, save_record
from vistrials.data.frames import read_frame
from vistrials.data.loading import FramePairDataset
from vistrials.data.transforms import resize_image, resize_masks
from vistrials.formats import rle
from vistrials.formats.annotations import decode_mask
from vistrials.specs.data import DataSpec
from vistrials.specs.loading import load_trial
from vistrials.structures.video import AnnotatedTrack, Category, Video, VideoSet

SIZE, TARGET = (720, 1280), (360, 640)
NUM_FRAMES, NUM_OBJECTS = 20, 4
IMAGES_PER_SECOND = 100
"""What a device is to train on: two images a pair."""


def draw_video(folder: Path, size: tuple[int, int] = SIZE, num_frames: int = NUM_FRAMES) -> VideoSet:
    """Frames that compress as photographs do (noise of every wavelength), and ellipses for objects."""
    rng = np.random.default_rng(0)
    height, width = size
    names = tuple(f"{frame:05d}.jpg" for frame in range(num_frames))
    for name in names:
        pixels = np.full((height, width, 3), 128.0)
        for cells in (4, 16, 64, 256):
            coarse = rng.integers(0, 256, (max(1, height * cells // width), cells, 3), dtype=np.uint8)
            pixels += (np.asarray(Image.fromarray(coarse).resize((width, height))) - 128.0) * 2 / cells**0.5
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
    y, x = np.mgrid[:height, :width]
    tracks = []
    for number in range(NUM_OBJECTS):
        left, top, w, h = width * (1 + 2 * number) // 10, height // 4, width // 6, height // 2
        inside = ((x - left - w / 2) / (w / 2)) ** 2 + ((y - top - h / 2) / (h / 2)) ** 2 < 1
        box, mask = [float(v) for v in (left, top, w, h)], rle.encode(inside)
        track = ([box] * num_frames, [float(inside.sum())] * num_frames, [mask] * num_frames)
        tracks.append(AnnotatedTrack(number + 1, 1, False, *track))
    video = Video(1, height, width, names, tuple(tracks))
    return VideoSet((Category(1, "object"),), (video,), folder)


def cpu_seconds(function: Callable[[int], object], count: int, rounds: int) -> float:
    """Of one call, of which there are `count` with the numbers 0, 1, ...; the median over the rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for number in range(count):
            function(number)
        found.append((time.process_time() - began) / count)
    return statistics.median(found)


def measure(videos: VideoSet, name: str, data: DataSpec, count: int, rounds: int) -> dict[str, Any]:
    """Pairs a second of one process, its share of decoding, and the processes that a device needs."""
    dataset = FramePairDataset(videos, data, seed=0)
    seconds = cpu_seconds(lambda number: dataset.clip(number % len(dataset), 0, number), count, rounds)
    return {
        "settings": name,
        "a pair": seconds,
        "pairs/s of a worker": 1 / seconds,
        f"workers for {IMAGES_PER_SECOND} images/s": ceil(IMAGES_PER_SECOND / 2 * seconds),
    }


def measure_parts(videos: VideoSet, count: int, rounds: int) -> list[str]:
    """Where the time of a frame goes."""
    (video,) = videos.videos
    frame, masks = read_frame(videos, video, 0), [track.segmentations[0] for track in video.tracks]
    decoded = [decode_mask(mask, video.height, video.width) for mask in masks]
    parts: dict[str, Callable[[int], object]] = {
        "decoding": lambda number: read_frame(videos, video, number % len(video)),
        "resizing": lambda _: resize_image(frame, TARGET),
        f"decoding {len(masks)} masks": lambda _: [decode_mask(m, video.height, video.width) for m in masks],
        "resizing them": lambda _: [resize_masks(mask[None], TARGET) for mask in decoded],
    }
    found = [f"{name} {1000 * cpu_seconds(part, count, rounds):.1f} ms" for name, part in parts.items()]
    return [f"Of a frame: {', '.join(found)}."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "loader.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    published = load_trial("baseline", "youtube_vis_2019").data
    augmented = published.model_copy(update={"augmentation": load_trial("baseline", "laptop").data.augmentation})
    machine = describe_machine(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        videos = draw_video(Path(folder))
        settings = {"published (flip)": published, "augmentation of `laptop`": augmented}
        rows = [measure(videos, name, data, arguments.pairs, arguments.rounds) for name, data in settings.items()]
        notes = measure_parts(videos, arguments.pairs, arguments.rounds)
    columns = {name: "s" if name == "a pair" else "" for name in rows[0]}
    save_record(
        arguments.out,
        "Frame pairs of 1280 × 720 JPEG frames, trained on at 640 × 360, seconds of the processor",
        "python -m benchmarks.loader",
        machine, columns, rows, notes,
    )  # fmt: skip
    print(as_table({"columns": columns, "rows": rows}), *notes, sep="\n")


if __name__ == "__main__":
    main()
