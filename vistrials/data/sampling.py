"""Which frames train, which references each one gets, and how they form batches. No torch, no files."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vistrials.structures.video import AnnotatedTrack, Video


class KeyFrame(NamedTuple):
    """A frame that trains: position of its video in the set, and its index in the video."""

    video: int
    frame: int


def is_usable(track: AnnotatedTrack, frame: int) -> bool:
    """Whether a track is ground truth in a frame: present, no crowd, area above 0, sides of 1 pixel or more.

    Crowds belong to the ignored boxes, which the published setting treats as background.
    """
    bbox, area = track.bboxes[frame], track.areas[frame]
    if track.is_crowd or bbox is None or not area or not track.segmentations[frame]:
        return False
    return area > 0 and bbox[2] >= 1 and bbox[3] >= 1


def annotated_frames(video: Video) -> list[int]:
    """Indices, ascending, of the frames with at least one usable instance."""
    return [frame for frame in range(len(video)) if any(is_usable(track, frame) for track in video.tracks)]


def choose_references(
    annotated: Sequence[int], key: int, sampling: str, num: int, rng: Generator, progress: float = 0.0
) -> list[int]:
    """Choose the reference frames of a key frame.

    Args:
        annotated: the video's annotated frames, ascending; `key` is one of them.
        key: index of the key frame.
        sampling: random (any others), ordered (the nearest earlier; the first takes the next),
            window:K (others at most K frames away; the nearest where there is none),
            widening:K (window:1 in the first K-th part of the training, window:2 in the second, and so on).
        num: of references.
        rng: drawn from unless there is only one choice; what is drawn first does not depend on `num`.
        progress: part of the training that is behind, 0 to 1; widening reads it.

    Returns:
        `num` of `annotated`, the farthest first: the nearest comes last, as the newest does in a video. They are
        distinct where there are as many to choose from, and each again as often as the others where there are not; the
        key frame itself where it is the only one.
    """
    others = [frame for frame in annotated if frame != key]
    if not others:
        return [key] * num
    kind, _, width = sampling.partition(":")
    if sampling == "ordered":
        candidates = [frame for frame in reversed(others) if frame < key] or others
        chosen = [candidates[i % len(candidates)] for i in range(num)]
    elif kind in ("random", "window", "widening"):
        if kind != "random":
            reach = int(width) if kind == "window" else 1 + min(int(progress * int(width)), int(width) - 1)
            nearest = min(others, key=lambda frame: abs(frame - key))
            others = [frame for frame in others if abs(frame - key) <= reach] or [nearest]
        chosen = _draw(others, num, rng)
    else:
        raise ValueError(f"sampling {sampling!r}")
    return sorted(chosen, key=lambda frame: -abs(frame - key))


def _draw(frames: Sequence[int], num: int, rng: Generator) -> list[int]:
    """Uniformly and without replacement; all frames anew whenever none is left."""
    chosen: list[int] = []
    left: list[int] = []
    for _ in range(num):
        left = left or list(frames)
        chosen.append(left.pop(rng.integers(len(left))))
    return chosen


def match_instances(key_track_ids: Sequence[int], reference_track_ids: Sequence[int]) -> list[int]:
    """For each key instance 1 + its row among the reference instances, 0 where it is not there."""
    rows = {track_id: row for row, track_id in enumerate(reference_track_ids, start=1)}
    return [rows.get(track_id, 0) for track_id in key_track_ids]


def group_key_frames(
    videos: Sequence[Video], annotated: Sequence[Sequence[int]], batching: str
) -> tuple[list[KeyFrame], list[NDArray[np.int64]]]:
    """List the key frames and the groups that a batch must not cross.

    Args:
        videos: N of them.
        annotated: per video its annotated frames.
        batching: orientation (wider than high, or not) or video_chunks (one group per video).

    Returns:
        The key frames by video and frame, and per non-empty group the indices of its key frames, ascending.
    """
    key_frames = [KeyFrame(v, frame) for v, frames in enumerate(annotated) for frame in frames]
    if batching == "orientation":
        group_of_video = np.array([video.width > video.height for video in videos], dtype=np.int64)
    elif batching == "video_chunks":
        group_of_video = np.arange(len(videos))
    else:
        raise ValueError(f"batching {batching!r}")
    group = group_of_video[[key.video for key in key_frames]] if key_frames else np.empty(0, dtype=np.int64)
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return key_frames, [indices for indices in groups if len(indices)]


def count_batches(groups: Sequence[NDArray[np.int64]], batch_size: int) -> int:
    """Batches of one epoch: each group is filled up to whole batches."""
    return sum(-(-len(indices) // batch_size) for indices in groups)


def plan_batches(
    groups: Sequence[NDArray[np.int64]], batch_size: int, batching: str, rng: Generator
) -> NDArray[np.int64]:
    """Lay out one epoch.

    Groups of `orientation` are shuffled, those of `video_chunks` stay in order; each is filled up to whole
    batches by starting over; then the order of the batches is shuffled.

    Returns:
        [number of batches, batch_size] indices of key frames.

    Source: the released samplers, `video_chunks` for a single process.
    """
    batches = []
    for indices in groups:
        ordered = indices if batching == "video_chunks" else rng.permutation(indices)
        num_batches = -(-len(indices) // batch_size)
        batches.append(np.resize(ordered, (num_batches, batch_size)))
    return rng.permutation(np.concatenate(batches))
