"""Tracks that do not fit their video: scored as the official program scores them, but worth a warning."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vistrials.evaluation.reading import PredictedTrack, TrueTrack, VideoInfo
from vistrials.evaluation.track_iou import TrackMasks

Oddity = tuple[str, str]
"""What is odd, and where."""


def find_oddities(
    kind: str,
    tracks: Sequence[TrueTrack | PredictedTrack],
    masks: Mapping[int, TrackMasks],
    video: VideoInfo,
) -> Iterator[Oddity]:
    """Find the tracks of one video whose number of frames or mask sizes are not the video's.

    Args:
        kind: "annotations" or "predictions", for the message.
        tracks: tracks of the video.
        masks: their masks, by the tracks' index.
        video: what they should fit.
    """
    for track in tracks:
        where = f"{kind}[{track.index}], video {track.video_id}"
        sizes = masks[track.index].sizes
        found = len(sizes)
        if video.num_frames is not None and found != video.num_frames:
            yield (
                f"{kind} with more or fewer segmentations than their video has frames, of which the common ones count",
                f"{where}: {found} instead of {video.num_frames}",
            )
        is_other = (sizes != (video.height, video.width)) & (sizes > 0)
        if is_other.any():
            height, width = sizes[is_other.any(axis=1)][0]
            yield (
                f"{kind} with masks of another size than their video, which overlap no mask of its size",
                f"{where}: {height} x {width} instead of {video.height} x {video.width}",
            )


def summarise(oddities: Iterable[Oddity]) -> list[str]:
    """One line for each kind of oddity: how many, and where the first is."""
    places: dict[str, list[str]] = defaultdict(list)
    for oddity, where in oddities:
        places[oddity].append(where)
    return [f"{oddity}: {len(where)} (first: {where[0]})" for oddity, where in sorted(places.items())]
