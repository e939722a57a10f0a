"""The embedded gaps are gaps: what the shipped start's detector misses in them, and in plain videos."""

from pathlib import Path

import torch

from benchmarks.missed_frames import count_missed, load_start
from vistrials.data.synthetic.dataset import SyntheticSizes, synthesize
from vistrials.formats.annotations import load_video_set
from vistrials.specs.data import SyntheticSource


def test_the_detector_misses_what_fades_and_hardly_anything_else(tmp_path: Path) -> None:
    sizes = SyntheticSizes(train=(1, 2), minival=(5, 16), occlusion=(1, 16), gaps=(5, 20), crossing=(1, 12))
    folder = synthesize(tmp_path / "drawn", sizes, seed=SyntheticSource().seed)
    shares, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)
    for split in ("minival", "gaps"):
        videos = load_video_set(folder / f"{split}.json", folder / "JPEGImages")
        num_missed, num_seen = count_missed(*load_start(videos.num_categories), videos, num_videos=5)
        shares[split] = num_missed / num_seen
    torch.set_num_threads(threads)
    assert shares["gaps"] >= 0.15 and shares["minival"] <= 0.08, shares
