"""Tracks drawn into label images: one value per pixel, so that of objects which overlap one is seen."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vistrials.data.convert.notes import Notes
from vistrials.data.export.source import ExportTrack, ExportVideo
from vistrials.formats.rle import decode

Labels = NDArray[np.uint16]


def draw_labels(video: ExportVideo, values: Sequence[tuple[int, ExportTrack]], notes: Notes) -> Iterator[Labels]:
    """The label images of a video, frame by frame, 0 where nothing is.

    Where objects share pixels, the prediction of the higher score is seen, and the smaller annotation, which else would
    vanish in a larger one; crowds lie below all objects. What is hidden is counted.

    Args:
        video: the video.
        values: its tracks, each with its value; two tracks may have the same.
        notes: takes the counts.
    """
    masks = [video.masks(track) for _, track in values]
    for frame in range(len(video.video)):
        labels: Labels = np.zeros(video.size, np.uint16)
        seen = [
            (value, track, decode(rle).astype(bool))
            for (value, track), of_track in zip(values, masks, strict=True)
            if (rle := of_track[frame]) is not None
        ]
        # Drawn in turn, each over the ones before.
        for value, _, mask in sorted(seen, key=lambda entry: _height(entry[1], int(entry[2].sum()))):
            hidden = (labels[mask] != 0) & (labels[mask] != value)
            notes.add(
                "masks lie in part under another object's, since a label image has one object per pixel; coco and "
                "youtube-vis keep them whole",
                f"{video.name}, frame {frame}",
                bool(hidden.any()),
            )
            labels[mask] = value
        yield labels


def _height(track: ExportTrack, area: int) -> tuple[bool, float]:
    return not track.is_crowd, -area if track.score is None else track.score
