"""Mask logits of propagated objects, each computed only where it differs from a frame without any object.

Far from an object its foreground mass f is next to nothing, and its attention, sigmoid(f - b) with b = t - f of the
total mass t, is that of a frame without objects, sigmoid(-t). One pass over such a frame serves all objects of a stored
frame; an object's own convolutions run in the window around the cells where f exceeds `NEGLIGIBLE`, those of windows of
one size together.

Bound: the slope of the sigmoid is at most 1/4 and f - b differs from -t by 2 f. So outside of its window an object's
attention is taken as at most NEGLIGIBLE / 2 = 1.5e-4 too small; nothing else is approximated.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from vistrials.models.layers import map_of_label

NEGLIGIBLE = 3e-4
"""Foreground mass of a cell that counts as none. In the trained demo no pixel of 3,368 masks changes; 2 do at 1e-3."""

_STEP = 4  # sides of windows are multiples of it, so that many have one size
_CELLS_AT_ONCE = 4096  # of windows that go through the convolutions together: bounds memory

Place = tuple[int, int]
"""Row and column of a window's first cell."""
Size = tuple[int, int]
"""Height and width of a window in cells; it may reach beyond the frame below and on the right."""


def logits_in_windows(
    convs: list[nn.Conv2d],
    upsample: nn.ConvTranspose2d,
    maps: nn.Conv2d,
    key: Tensor,
    attention: Tensor,
    empty_attention: Tensor,
    empty_of: list[int],
    foreground: Tensor,
    labels: Tensor,
) -> Tensor:
    """Mask logits of n objects at twice the resolution of cells.

    Args:
        convs, upsample, maps: 3x3 convolutions and the transposed one, with ReLU behind each, and the maps of labels.
        key: features (C, h, w) of the key frame.
        attention: (n, h, w) of the objects.
        empty_attention: (m, h, w), of no object; empty_of: which of them is each object's, n.
        foreground: (n, h, w), the mass that decides on the windows.
        labels: (n,).
    Returns: (n, 2h, 2w).
    """
    key = key[None].contiguous(memory_format=torch.channels_last)
    margin = len(convs) + 1 + _STEP  # the most that is read beside a frame
    surroundings, x = [], key * empty_attention[:, None]
    for conv in convs:
        surroundings.append(pad(x, [margin] * 4).split(1))
        x = conv(x).relu_()
    logits = _of_empty_frames(maps, upsample(x).relu_(), empty_of, labels)

    in_frame = pad(torch.ones_like(key[:, :1]), [margin] * 4)
    key, attention = pad(key, [margin] * 4), pad(attention, [margin] * 4)
    for rows, places, size in alike(windows(foreground > NEGLIGIBLE)):
        corners = [(top + margin, left + margin) for top, left in places]
        x = _cut([key] * len(rows), corners, size) * _cut(attention[rows, None, None].unbind(), corners, size)
        for grown, (conv, around) in enumerate(zip(convs, surroundings, strict=True), start=1):
            whole = _cut([around[empty_of[row]] for row in rows], corners, size, beside=grown + 1)
            whole[..., 2:-2, 2:-2] = x
            x = conv2d(whole, conv.weight, conv.bias).relu_()
            if grown < len(convs):  # What lies beyond the frame is 0 for each convolution.
                x *= _cut([in_frame] * len(rows), corners, size, beside=grown)
        blocks = map_of_label(maps, upsample(x).relu_(), labels[rows]).to(logits)
        for row, (top, left), block in zip(rows, places, blocks, strict=True):
            _put(block, logits[row], 2 * (top - len(convs)), 2 * (left - len(convs)))
    return logits


def _of_empty_frames(maps: nn.Conv2d, x: Tensor, empty_of: list[int], labels: Tensor) -> Tensor:
    """The maps of labels (n,) of the frames (m, C, H, W) that are the objects': (n, H, W)."""
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, frame in enumerate(empty_of):
        rows_of[frame].append(row)
    logits = x.new_empty(len(labels), *x.shape[2:])
    for frame, rows in rows_of.items():
        kinds, kind_of = labels[rows].unique(return_inverse=True)
        logits[rows] = map_of_label(maps, x[frame].expand(len(kinds), -1, -1, -1), kinds)[kind_of]
    return logits


def windows(cells: Tensor) -> list[tuple[Place, Size] | None]:
    """Per object the rectangle around its cells (n, h, w) and one further on each side, None without any cell.

    One further: attention is read half a pixel beside the centres. Its sides are rounded up.
    """
    found: list[tuple[Place, Size] | None] = []
    in_rows, in_columns = cells.any(dim=2), cells.any(dim=1)
    for flags in torch.cat([in_rows, in_columns], dim=1).tolist():
        rows, columns = flags[: cells.shape[1]], flags[cells.shape[1] :]
        if any(rows):
            (top, height), (left, width) = _span(rows), _span(columns)
            found.append(((top, left), (height, width)))
        else:
            found.append(None)
    return found


def _span(flags: list[bool]) -> tuple[int, int]:
    first, end = max(flags.index(True) - 1, 0), min(len(flags) - flags[::-1].index(True) + 1, len(flags))
    return first, -(-(end - first) // _STEP) * _STEP


def alike(found: Sequence[tuple[Place, Size] | None]) -> Iterator[tuple[list[int], list[Place], Size]]:
    """Objects whose windows have one size, as many as go together: their rows, places, and the size."""
    of_size: dict[Size, list[tuple[int, Place]]] = defaultdict(list)
    for row, window in enumerate(found):
        if window is not None:
            of_size[window[1]].append((row, window[0]))
    for size, members in of_size.items():
        at_once = max(1, _CELLS_AT_ONCE // (size[0] * size[1]))
        for first in range(0, len(members), at_once):
            rows, places = zip(*members[first : first + at_once], strict=True)
            yield list(rows), list(places), size


def _cut(maps: Iterable[Tensor], corners: list[Place], size: Size, beside: int = 0) -> Tensor:
    """Of each map (1, C, H, W) its window and so many cells around it: (n, C, height, width), not shared."""
    height, width = (side + 2 * beside for side in size)
    return torch.cat(
        [
            x[..., top - beside : top - beside + height, left - beside : left - beside + width]
            for x, (top, left) in zip(maps, corners, strict=True)
        ]
    )


def _put(block: Tensor, onto: Tensor, top: int, left: int) -> None:
    """Write a block (h, w) onto a map (H, W), as far as it lies within."""
    rows, columns = (
        slice(max(first, 0), min(first + length, end))
        for first, length, end in zip((top, left), block.shape, onto.shape, strict=True)
    )
    onto[rows, columns] = block[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
