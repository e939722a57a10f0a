"""Masks one frame ahead, with a scripted network whose masks can be worked out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.propagation import render_ahead
from vistrials.finished_runs.one_frame_ahead import (
    FrameAhead,
    ahead_rows,
    best_attention,
    is_whole,
    mask_iou,
    propagate_one_frame,
    strongest_is_on,
    summarise,
)
from vistrials.formats import rle
from vistrials.specs.loading import load_trial
from vistrials.structures.video import AnnotatedTrack, Category, Video, VideoSet

HEIGHT, WIDTH = 32, 64
Box = tuple[int, int, int, int]


def square(*boxes: Box | None, number: int = 1) -> AnnotatedTrack:
    """A track of filled boxes x, y, w, h; None where it is hidden."""
    masks: list[Any] = []
    for box in boxes:
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        if box is not None:
            x, y, w, h = box
            mask[y : y + h, x : x + w] = 1
        masks.append(None if box is None else rle.encode(mask))
    areas = [None if box is None else float(box[2] * box[3]) for box in boxes]
    return AnnotatedTrack(number, 1, False, [None if b is None else [float(v) for v in b] for b in boxes], areas, masks)


def video(*tracks: AnnotatedTrack) -> Video:
    files = tuple(f"{number}.png" for number in range(len(tracks[0].areas)))
    return Video(1, HEIGHT, WIDTH, files, tracks)


class ScriptedHead(torch.nn.Module):
    """Carries every object as its box in the frame before; its decoder draws the attention that it is given."""

    spec = load_trial("baseline", "smoke").model.propagation

    def extract(self, levels: list[Tensor]) -> Tensor:
        return torch.zeros(1, 1, HEIGHT // 8, WIDTH // 8)

    def attend_nearby(self, key: Tensor, reference: Tensor, boxes: Tensor, labels: Tensor) -> Any:
        inside = torch.zeros(len(boxes), *key.shape[-2:])
        inside[:, 1, 2] = 1  # the pixels at rows 8..15, columns 16..23
        return inside, 1 - inside

    def propagate(self, key: Tensor, references: list, boxes: list[Tensor], labels: list[Tensor]) -> Tensor:
        masks = torch.zeros(len(boxes[0]), HEIGHT, WIDTH)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes[0].int().tolist(), strict=True):
            mask[y1 : y2 + 1, x1 : x2 + 1] = 1
        return masks

    def attended_features(self, key: Tensor, attention: Tensor) -> Tensor:
        return attention

    def mask_logits(self, features: Tensor, labels: Tensor) -> Tensor:
        return features.logit()


class ScriptedNetwork(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.propagation = ScriptedHead()

    def pyramid(self, images: Tensor) -> list[Tensor]:
        return [images]

    def mask_probs(self, levels: list[Tensor], boxes: list[Tensor], labels: Tensor) -> Tensor:
        return torch.ones(len(labels), 4, 4)


def test_a_moving_square_is_compared_with_where_it_was(tmp_path: Path) -> None:
    # 10 x 10 pixels, 4 to the right in each step; hidden in the fourth frame, so that two pairs of frames are left.
    moving = square((10, 5, 10, 10), (14, 5, 10, 10), (18, 5, 10, 10), None, (26, 5, 10, 10))
    for name in video(moving).file_names:
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / name)
    video_set = VideoSet((Category(1, "disc"),), (video(moving),), tmp_path)
    spec = load_trial("baseline", "smoke", [f"data.image_size_px=[{WIDTH},{HEIGHT}]"])
    first, second = propagate_one_frame(ScriptedNetwork(), video_set, spec, num_videos=1)  # type: ignore[arg-type]
    # In common 6 x 10 pixels, of either 14 x 10; the other two masks are drawn in the true box.
    assert first == FrameAhead(10.0, True, pytest.approx(60 / 140), 1.0, 1.0, True)
    # The strongest cell has columns 16 to 23, the square 18 to 27.
    assert second == first
    assert list(propagate_one_frame(ScriptedNetwork(), video_set, spec, num_videos=0)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((10, 5, 10, 10), (14, 5, 10, 10), True),
        ((10, 5, 10, 10), (14, 5, 10, 11), True),  # a tenth more
        ((10, 5, 10, 10), (14, 5, 10, 12), False),
        ((10, 5, 10, 10), (14, 5, 10, 8), False),
        ((0, 5, 10, 10), (4, 5, 10, 10), False),  # left edge, in the frame before
        ((10, 5, 10, 10), (10, 0, 10, 10), False),  # top
        ((40, 5, 10, 10), (54, 5, 10, 10), False),  # right: 54 + 10 = 64
        ((10, 5, 10, 10), (10, 22, 10, 10), False),  # bottom: 22 + 10 = 32
        ((10, 5, 10, 10), (21, 5, 10, 10), False),  # columns up to 30, the other object's from 30
        ((10, 5, 10, 10), (20, 5, 10, 10), True),  # one column less
    ],
)
def test_whole_is_off_the_edges_alone_and_steady(before: Box, now: Box, expected: bool) -> None:
    own = square(before, now)
    assert is_whole(video(own, square(None, (30, 10, 8, 8), number=2)), own, 1) is expected


def test_the_best_attention_is_strong_in_the_box_and_weak_outside() -> None:
    attention = best_attention(torch.tensor([[1.0, 0.0, 2.0, 1.0]]), height=3, width=4)
    strong, weak = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
    expected = [[weak, strong, strong, weak], [weak, strong, strong, weak], [weak] * 4]
    np.testing.assert_allclose(attention[0], expected, rtol=1e-6)


def test_masks_and_cells() -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:8, 8:12] = True  # 16 pixels in the cell of row 0, column 1
    other = torch.zeros_like(mask)
    other[6:8, 8:16] = True  # 8 of them and 8 more
    assert mask_iou(mask, other) == pytest.approx(8 / 24)
    assert mask_iou(mask & False, mask & False) == 0.0
    attention = torch.tensor([[0.1, 0.9], [0.2, -0.5]])
    assert strongest_is_on(attention, mask, cell_px=8)
    assert not strongest_is_on(-attention, mask, cell_px=8)


def one(size_px: float, iou: float, is_whole: bool = True) -> FrameAhead:
    return FrameAhead(size_px, is_whole, iou, 0.5, 0.75, True)


def test_objects_are_averaged_by_size() -> None:
    found = summarise([one(9.9, 0.1), one(10, 0.2), one(24, 0.4), one(24.1, 0.9), one(30, 0.9, is_whole=False)])
    assert {name: (group["num"], group["iou"]) for name, group in found.items()} == {
        "all": (5, pytest.approx(0.5)),
        "judged": (3, pytest.approx(2.2 / 3)),
        "whole": (4, pytest.approx(0.4)),
        "small": (1, 0.1),
        "middle": (2, pytest.approx(0.3)),
        "large": (1, 0.9),
    }
    assert summarise([one(30, 0.9, is_whole=False)]).keys() == {"all", "judged"}
    assert summarise([one(16, 0.9, is_whole=False)]).keys() == {"all"}
    table = render_ahead([{"minival": found}, {"minival": found}])
    assert "| `minival`: whole, 10 to 24 px | 2 | 0.30, 0.30 | 0.50, 0.50 | 0.75, 0.75 | 100 %, 100 % |" in table
    columns, rows = ahead_rows(found)
    assert all(len(row) == len(columns) for row in rows)
    assert ("whole, 10 to 24 px", "2", "0.30", "0.50", "0.75", "100") in rows
