"""A recipe -> frames and visible masks, pixel by pixel."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vistrials.data.augmentation import LabelledFrame, change_colors, mirror, paste, rescale
from vistrials.data.pseudo.clips import Clips
from vistrials.data.pseudo.recipes import Colors, Pasted, Recipe, Window


def compose(clips: Clips, recipe: Recipe) -> Iterator[LabelledFrame]:
    """Make the frames of a pseudo video, one by one.

    Yields:
        A frame of `recipe.size` with a mask for every track, in the same order in all frames: those of the video below,
        then what is pasted. Masks show what is in sight of each and may be empty; ids count from 1, labels are ids of
        `clips.categories`.

    Raises:
        DataError: a frame of the clips cannot be read.
    """
    num_below = len(clips.videos[recipe.video][1].tracks)
    for number, window in enumerate(recipe.windows):
        frame = _frame_below(clips, recipe.video, recipe.times[number])
        for place, pasted in enumerate(recipe.pasted, start=num_below + 1):
            donor, corner = _cut_out(clips, pasted, pasted.times[number])
            shift = corner[0] + pasted.shifts[number][0], corner[1] + pasted.shifts[number][1]
            frame = paste(frame, donor, {1: place}, shift)
        frame = take_window(frame, window, recipe.size)
        if recipe.is_mirrored:
            frame = mirror(frame)
        yield frame._replace(image=_change(frame.image, recipe.colors))


def take_window(frame: LabelledFrame, window: Window, size: tuple[int, int]) -> LabelledFrame:
    """Cut a window out of a frame and resize it: pixels bilinearly, with antialiasing, masks to the nearest.

    A window of the frame itself, at its size, changes nothing.
    """
    rows, columns = (
        _nearest(start, length, target, side)
        for start, length, target, side in zip(window[:2], window[2:], size, frame.image.shape[1:], strict=True)
    )
    box = window.left, window.top, window.left + window.width, window.top + window.height
    # Sums of floats may end a hair outside the frame, which pillow refuses.
    limits = frame.image.shape[2], frame.image.shape[1]
    box = box[0], box[1], min(box[2], limits[0]), min(box[3], limits[1])
    picture = Image.fromarray(np.ascontiguousarray(frame.image.transpose(1, 2, 0)))
    taken = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR, box)
    image = np.ascontiguousarray(np.asarray(taken).transpose(2, 0, 1))
    return frame._replace(image=image, masks=frame.masks[:, rows][:, :, columns])


def _nearest(start: float, length: float, target: int, side: int) -> NDArray[np.intp]:
    """The pixel in which the middle of each of `target` equal parts of a stretch lies."""
    middles = start + (np.arange(target) + 0.5) * (length / target)
    return np.clip(middles.astype(np.intp), 0, side - 1)


def _frame_below(clips: Clips, video: int, frame: int) -> LabelledFrame:
    _, below = clips.videos[video]
    masks = np.zeros((len(below.tracks), below.height, below.width), np.uint8)
    for track in range(len(below.tracks)):
        if (mask := clips.mask(video, track, frame)) is not None:
            masks[track] = mask
    labels = [clips.category_id(video, track) for track in range(len(below.tracks))]
    return LabelledFrame(clips.image(video, frame), masks, list(range(1, len(below.tracks) + 1)), labels)


def _cut_out(clips: Clips, pasted: Pasted, frame: int) -> tuple[LabelledFrame, tuple[int, int]]:
    """A track's box of a frame, resized and mirrored, with 1 as its id; and the box's corner in its resized frame."""
    label = clips.category_id(pasted.video, pasted.track)
    mask = clips.mask(pasted.video, pasted.track, frame)
    if mask is None:
        return LabelledFrame(np.zeros((3, 1, 1), np.uint8), np.zeros((1, 1, 1), np.uint8), [1], [label]), (0, 0)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    image = np.ascontiguousarray(clips.image(pasted.video, frame)[:, *box])
    cut = rescale(LabelledFrame(image, mask[None, *box], [1], [label]), pasted.factor, pasted.is_mirrored)
    left = mask.shape[1] - int(columns[-1]) - 1 if pasted.is_mirrored else int(columns[0])
    corner = round(int(rows[0]) * pasted.factor), round(left * pasted.factor)
    return cut._replace(image=_change(cut.image, pasted.colors)), corner


def _change(image: NDArray[np.uint8], colors: Colors) -> NDArray[np.uint8]:
    return image if colors == Colors() else change_colors(image, *map(np.float32, colors))
