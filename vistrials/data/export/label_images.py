"""Tracks drawn into label images: one value per pixel, so that of objects which overlap one is seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vistrials.data.convert.notes import Notes
from vistrials.data.export.source import ExportTrack, ExportVideo
from vistrials.formats.rle import Rle, decode_runs, foreground_intervals

Labels = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A track's mask in one frame; pixels: their numbers, down the columns."""

    value: int
    track: ExportTrack
    pixels: NDArray[np.int64]


def draw_labels(video: ExportVideo, values: Sequence[tuple[int, ExportTrack]], notes: Notes) -> Iterator[Labels]:
    """The label images of a video, frame by frame, 0 where nothing is.

    Where objects share pixels, the prediction of the higher score is seen, and the smaller annotation, which else would
    vanish in a larger one; crowds lie below all objects. What is hidden is counted.

    Args:
        video: the video.
        values: its tracks, each with its value; two tracks may have the same.
        notes: takes the counts.
    """
    height, width = video.size
    masks = [video.masks(track) for _, track in values]
    for frame in range(len(video.video)):
        seen = [
            _Drawing(value, track, _pixels(rle))
            for (value, track), of_track in zip(values, masks, strict=True)
            if (rle := of_track[frame]) is not None
        ]
        labels: Labels = np.zeros(width * height, np.uint16)
        # Drawn in turn, each over the ones before.
        for drawing in sorted(seen, key=_height):
            below = labels[drawing.pixels]
            notes.add(
                "masks lie in part under another object's, since a label image has one object per pixel; coco and "
                "youtube-vis keep them whole",
                f"{video.name}, frame {frame}",
                len(set(np.unique(below).tolist()) - {0, drawing.value}),
            )
            labels[drawing.pixels] = drawing.value
        yield labels.reshape(width, height).T


def _height(drawing: _Drawing) -> tuple[bool, float]:
    score = drawing.track.score
    return not drawing.track.is_crowd, -len(drawing.pixels) if score is None else score


def _pixels(rle: Rle) -> NDArray[np.int64]:
    """Numbers of the foreground's pixels, ascending."""
    intervals = foreground_intervals(decode_runs([rle]))
    lengths = intervals.ends - intervals.starts
    before = np.cumsum(lengths) - lengths
    return np.repeat(intervals.starts - before, lengths) + np.arange(int(lengths.sum()))
