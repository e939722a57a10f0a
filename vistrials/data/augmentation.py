"""Random changes of a training sample, for data sets too small to show what may happen. Pure functions.

All frames of a sample are changed alike, so that they still are moments of one video. Boxes follow from the
masks afterwards (inclusive corners), since pasted objects hide parts of others.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from vistrials.data.transforms import resize_image, resize_masks
from vistrials.specs.data import AugmentationSpec

MIN_AREA_PX = 16
"""Instances of which less is left in sight are dropped."""

_MAX_VERTICAL_SHIFT = 0.125
_BRIGHTNESS_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


class LabelledFrame(NamedTuple):
    """A frame with its instances.

    image: uint8 (3, h, w), RGB; masks: uint8 (N, h, w), 0 or 1, not overlapping; track_ids: N, unique in the frame;
    labels: N, in 1..K.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    track_ids: list[int]
    labels: list[int]


Clip = tuple[LabelledFrame, ...]
"""A key frame and its reference frames, of one size."""


def augment(clip: Clip, donor: Clip | None, spec: AugmentationSpec, rng: Generator) -> Clip:
    """Paste, zoom and recolour the frames of a clip.

    Args:
        clip: to change.
        donor: another clip with as many frames, whose instances may be pasted; None pastes nothing.
        spec: how much of what.
        rng: every choice.

    Returns:
        The frames at the size they had. Without an instance left in any frame the zoom is left out.
    """
    if donor is not None:
        clip = paste_instances(clip, donor, spec.scale, rng)
    clip = _in_sight(clip)
    zoomed = _in_sight(zoom(clip, spec.scale, rng))
    if all(frame.track_ids for frame in zoomed):
        clip = zoomed
    return recolour(clip, spec.color, rng)


def paste_instances(clip: Clip, donor: Clip, scale: tuple[float, float], rng: Generator) -> Clip:
    """Paste some instances of a donor clip over a clip, at another place.

    One to all instances of the donor's key frame, in each frame where the donor has them; all with the same zoom,
    shift and mirroring: half of the time anywhere horizontally, half of the time within a width of an object of the
    clip, since who hides whom is hardest to learn; at most an eighth of the height up or down, since most objects
    keep to the ground. Pasted tracks get ids of their own.

    Source: Simple Copy-Paste (arXiv 2012.07177), for clips; without blending, as there.
    """
    size = clip[0].image.shape[1:]
    chosen = rng.permutation(donor[0].track_ids)[: rng.integers(1, len(donor[0].track_ids) + 1)].tolist()
    factor, is_mirrored = _draw_factor(scale, rng), rng.random() < 0.5
    donor = tuple(rescale(frame, factor, is_mirrored) for frame in donor)
    left, right = _extent(_visible(donor[0], chosen))
    if rng.random() < 0.5:
        to = int(rng.integers(size[1]))
    else:
        first, last = _extent(clip[0].masks[rng.integers(len(clip[0].masks))] > 0)
        to = int(rng.integers(first - (last - first) // 2, last + (last - first) // 2 + 1))
    reach = int(_MAX_VERTICAL_SHIFT * size[0])
    # Smaller or larger copies keep their feet where the donor's were, by its share of the height.
    ground = size[0] - donor[0].image.shape[1]
    shift = int(rng.integers(-reach, reach + 1)) + ground, to - (left + right) // 2
    first_id = 1 + max([0, *(track_id for frame in clip for track_id in frame.track_ids)])
    new_ids = {track_id: first_id + number for number, track_id in enumerate(chosen)}
    return tuple(paste(frame, other, new_ids, shift) for frame, other in zip(clip, donor, strict=True))


def zoom(clip: Clip, scale: tuple[float, float], rng: Generator) -> Clip:
    """Zoom all frames by one factor and cut them, or pad them with grey, at one place, to the size they had."""
    height, width = clip[0].image.shape[1:]
    factor = _draw_factor(scale, rng)
    if factor == 1:
        return clip
    spare = height - max(1, round(height * factor)), width - max(1, round(width * factor))
    shift = tuple(int(rng.integers(min(0, free), max(0, free) + 1)) for free in spare)
    blank = np.full((3, height, width), 128, np.uint8)
    frames = []
    for frame in clip:
        resized = rescale(frame, factor, is_mirrored=False)
        masks = np.zeros((len(frame.masks), height, width), np.uint8)
        target, source = _overlap((height, width), resized.image.shape[1:], shift)
        image = blank.copy()
        image[:, *target] = resized.image[:, *source]
        masks[:, *target] = resized.masks[:, *source]
        frames.append(frame._replace(image=image, masks=masks))
    return tuple(frames)


def recolour(clip: Clip, strength: float, rng: Generator) -> Clip:
    """Change brightness, contrast and saturation of all frames by the same random factors in 1 ± strength."""
    if strength == 0:
        return clip
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    frames = [frame._replace(image=change_colors(frame.image, brightness, contrast, saturation)) for frame in clip]
    return tuple(frames)


def change_colors(
    pixels: NDArray[np.uint8], brightness: np.float32, contrast: np.float32, saturation: np.float32
) -> NDArray[np.uint8]:
    """Multiply the brightness, the distance to the image's mean grey, and that to each pixel's grey.

    Args:
        pixels: (3, h, w), RGB.
        brightness, contrast, saturation: factors, 1 for no change.
    """
    image = pixels.astype(np.float32) * brightness
    grey = (image * _BRIGHTNESS_WEIGHTS).sum(axis=0, keepdims=True)
    image = grey + (image - grey) * saturation
    image = grey.mean() + (image - grey.mean()) * contrast
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def rescale(frame: LabelledFrame, factor: float, is_mirrored: bool) -> LabelledFrame:
    """Resize a frame by a factor, at least to a pixel, and mirror it left to right if told to."""
    height, width = (max(1, round(side * factor)) for side in frame.image.shape[1:])
    image = resize_image(torch.from_numpy(frame.image), (height, width)).numpy()
    rescaled = frame._replace(image=image, masks=resize_masks(frame.masks, (height, width)))
    return mirror(rescaled) if is_mirrored else rescaled


def paste(
    frame: LabelledFrame, donor: LabelledFrame, new_ids: Mapping[int, int], shift: tuple[int, int]
) -> LabelledFrame:
    """Paste instances of a frame over another one; each hides what it covers, those pasted before it too.

    Args:
        frame: is left as it is.
        donor: of any size.
        new_ids: track id in the donor -> id there; others are not pasted.
        shift: rows and columns from a pixel of the donor to its place in the frame; what falls outside is cut.

    Returns:
        The frame with the pasted instances last, even where nothing of them is in sight.
    """
    target, source = _overlap(frame.image.shape[1:], donor.image.shape[1:], shift)
    image, masks = frame.image.copy(), frame.masks.copy()
    pasted, track_ids, labels = [], list(frame.track_ids), list(frame.labels)
    for track_id, label, mask in zip(donor.track_ids, donor.labels, donor.masks, strict=True):
        if track_id not in new_ids:
            continue
        whole = np.zeros(image.shape[1:], np.uint8)
        whole[*target] = mask[*source]
        covered = whole[*target].astype(bool)
        image[:, *target][:, covered] = donor.image[:, *source][:, covered]
        masks &= 1 - whole
        pasted.append(whole)
        track_ids.append(new_ids[track_id])
        labels.append(label)
    return LabelledFrame(
        image, np.concatenate([masks, np.array(pasted, np.uint8).reshape(-1, *masks.shape[1:])]), track_ids, labels
    )


def flip_clip(clip: Clip) -> Clip:
    """Mirror all frames left to right."""
    return tuple(mirror(frame) for frame in clip)


def mirror(frame: LabelledFrame) -> LabelledFrame:
    """Mirror a frame left to right."""
    # Copies, since torch takes no views that run backwards.
    image, masks = (np.ascontiguousarray(array[..., ::-1]) for array in (frame.image, frame.masks))
    return frame._replace(image=image, masks=masks)


def tight_boxes(masks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Boxes that bound masks. Args: (N, h, w), none empty. Returns: (N, 4), inclusive corners in pixels."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1], rows[-1]
    return boxes


def _draw_factor(scale: tuple[float, float], rng: Generator) -> float:
    # Twice and half as large are equally far from 1.
    low, high = np.log(scale)
    return float(np.exp(rng.uniform(low, high))) if low < high else float(scale[0])


def _visible(frame: LabelledFrame, track_ids: list[int]) -> NDArray[np.bool_]:
    rows = [frame.track_ids.index(track_id) for track_id in track_ids if track_id in frame.track_ids]
    return frame.masks[rows].sum(axis=0) > 0


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last column of a mask; 0, 0 of an empty one."""
    columns = np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(columns[-1])) if len(columns) else (0, 0)


def _overlap(
    size: tuple[int, ...], other: tuple[int, ...], shift: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where an array of another size, shifted, lies in one of this size: rows and columns of both."""
    target, source = [], []
    for side, other_side, by in zip(size, other, shift, strict=True):
        first, last = max(0, by), max(0, by, min(side, by + other_side))
        target.append(slice(first, last))
        source.append(slice(first - by, last - by))
    return (target[0], target[1]), (source[0], source[1])


def _in_sight(clip: Clip) -> Clip:
    frames = []
    for frame in clip:
        kept = np.flatnonzero(frame.masks.sum(axis=(1, 2)) >= MIN_AREA_PX).tolist()
        frames.append(
            LabelledFrame(
                frame.image, frame.masks[kept], [frame.track_ids[i] for i in kept], [frame.labels[i] for i in kept]
            )
        )
    return tuple(frames)
