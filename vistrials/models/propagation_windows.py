"""Mask logits of propagated objects, each computed only where it differs from a frame without any object.

Far from an object its foreground mass f is next to nothing, and its attention, sigmoid(f - b) with b = t - f of the
total mass t, is that of a frame without objects, sigmoid(-t). One pass over such a frame serves all objects of a stored
frame; an object's own convolutions run in the window around the cells where f exceeds `NEGLIGIBLE`.

Bound: the slope of the sigmoid is at most 1/4 and f - b differs from -t by 2 f. So outside of its window an object's
attention is taken as at most NEGLIGIBLE / 2 = 1.5e-4 too small; nothing else is approximated.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from vistrials.models.layers import map_of_label

NEGLIGIBLE = 3e-4
"""Foreground mass of a cell that counts as none. In the trained demo no pixel of 3,368 masks changes; 2 do at 1e-3."""

Window = tuple[slice, slice]
"""Rows and columns of cells."""


def logits_in_windows(
    convs: list[nn.Conv2d],
    upsample: nn.ConvTranspose2d,
    maps: nn.Conv2d,
    key: Tensor,
    attention: Tensor,
    empty_attention: Tensor,
    foreground: Tensor,
    labels: Tensor,
) -> Tensor:
    """Mask logits of n objects at twice the resolution of cells.

    Args:
        convs, upsample, maps: 3x3 convolutions and the transposed one, with ReLU behind each, and the maps of labels.
        key: features (C, h, w) of the key frame.
        attention: (n, h, w) of the objects; empty_attention: (h, w), of no object.
        foreground: (n, h, w), the mass that decides on the windows.
        labels: (n,).
    Returns: (n, 2h, 2w).
    """
    key = key[None].contiguous(memory_format=torch.channels_last)
    surroundings, x = [], key * empty_attention
    for conv in convs:
        surroundings.append(pad(x, (1, 1, 1, 1)))
        x = conv(x).relu_()
    x = upsample(x).relu_()
    kinds, kind_of = labels.unique(return_inverse=True)
    logits = map_of_label(maps, x.expand(len(kinds), -1, -1, -1), kinds)[kind_of]
    for i, window in enumerate(windows(foreground > NEGLIGIBLE)):
        if window is None:
            continue
        x = key[..., window[0], window[1]] * attention[i][window]
        for conv, around in zip(convs, surroundings, strict=True):
            grown = _grow(window, 1, foreground.shape[1:])
            x = conv2d(_within(around, grown, x, window), conv.weight, conv.bias).relu_()
            window = grown
        rows, columns = (slice(2 * side.start, 2 * side.stop) for side in window)
        logits[i, rows, columns] = map_of_label(maps, upsample(x).relu_(), labels[i : i + 1])[0].to(logits)
    return logits


def windows(cells: Tensor) -> list[Window | None]:
    """Per object the rectangle around its cells (n, h, w) and one further on each side, None without any cell.

    One further: attention is read half a pixel beside the centres.
    """
    found: list[Window | None] = []
    in_rows, in_columns = cells.any(dim=2), cells.any(dim=1)
    for flags in torch.cat([in_rows, in_columns], dim=1).tolist():
        rows, columns = flags[: cells.shape[1]], flags[cells.shape[1] :]
        found.append(_grow((_span(rows), _span(columns)), 1, cells.shape[1:]) if any(rows) else None)
    return found


def _span(flags: list[bool]) -> slice:
    return slice(flags.index(True), len(flags) - flags[::-1].index(True))


def _grow(window: Window, by: int, size: tuple[int, ...]) -> Window:
    rows, columns = (
        slice(max(side.start - by, 0), min(side.stop + by, cells)) for side, cells in zip(window, size, strict=True)
    )
    return rows, columns


def _within(around: Tensor, grown: Window, x: Tensor, window: Window) -> Tensor:
    """`x` of a window with what stands around it: what a convolution needs whose output covers the grown window.

    Args: around (1, C, h + 2, w + 2), padded by one cell; x (1, C, ...) of the window.
    """
    (rows, columns), (inner_rows, inner_columns) = grown, window
    whole = around[..., rows.start : rows.stop + 2, columns.start : columns.stop + 2].clone()
    top, left = inner_rows.start + 1 - rows.start, inner_columns.start + 1 - columns.start
    whole[..., top : top + x.shape[2], left : left + x.shape[3]] = x
    return whole
