"""A data set on disk with two videos of three frames, small enough for tests that go through everything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH, NUM_FRAMES = 48, 64, 3


def write_tiny_data_set(root: Path, valid_annotated: bool = True) -> Path:
    """`train.json`, `valid.json` and `JPEGImages/`, with ids that are not contiguous."""
    rng = np.random.default_rng(0)
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video_id in (7, 3):
        names = [f"{video_id}/{frame}.png" for frame in range(NUM_FRAMES)]
        videos.append({"id": video_id, "height": HEIGHT, "width": WIDTH, "length": NUM_FRAMES, "file_names": names})
        for name in names:
            path = root / "JPEGImages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(path)
        for category_id in (5, 9):
            x, y, w, h = category_id, 4, 20, 24
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": video_id,
                    "category_id": category_id,
                    "iscrowd": 0,
                    "bboxes": [[x, y, w, h]] * NUM_FRAMES,
                    "areas": [w * h] * NUM_FRAMES,
                    "segmentations": [[polygon]] * NUM_FRAMES,
                }
            )
    categories = [{"id": 5, "name": "five"}, {"id": 9, "name": "nine"}]
    document: dict[str, Any] = {"videos": videos, "categories": categories, "annotations": annotations}
    (root / "train.json").write_text(json.dumps(document))
    if not valid_annotated:
        document.pop("annotations")
    (root / "valid.json").write_text(json.dumps(document))
    return root
