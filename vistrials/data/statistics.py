"""What a data set holds, in numbers: from boxes and areas alone, no mask is decoded."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vistrials.structures.tracks import LARGE_PX, SMALL_PX
from vistrials.structures.video import AnnotatedTrack, Video, VideoSet

NUM_OVERLAP_BINS = 20
_MAX_CELLS = 1 << 20

Counts = dict[int, int]  # value -> how often it occurs
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers of an annotation file; objects are tracks that are no crowd.

    Attributes:
        num_videos, num_frames: of the file.
        num_annotated_frames: frames with an object.
        num_tracks, num_crowd_tracks: objects, and crowd tracks, which nothing below counts.
        num_masks: objects, counted in every frame where they are present (with a box, and an area above 0).
        tracks_per_category: in file order, 0 where there are none.
        video_lengths: frames of videos.
        track_lengths: frames in which objects are present.
        objects_per_video, objects_per_frame: of all videos and frames, also those without.
        tracks_by_size: small, medium, large by mean area over the frames where the object is present
            (small up to 128^2, medium up to 256^2 pixels).
        median_area_fraction: of masks, of the frame's pixels; None without masks.
        num_tracks_with_gap: objects that are absent somewhere between their first and last frame.
        longest_gap: most frames in a row that an object is absent between its first and last frame.
        absent_fraction: of all frames from objects' first to last ones, the part in which the object is absent.
        mean_box_overlap: mean of the box overlap rate (see `box_overlap_rates`) over annotated frames.
        box_overlap: annotated frames by box overlap rate in 20 equal bins from 0 to 1.
    """

    num_videos: int
    num_frames: int
    num_annotated_frames: int
    num_tracks: int
    num_crowd_tracks: int
    num_masks: int
    tracks_per_category: dict[str, int]
    video_lengths: Counts
    track_lengths: Counts
    objects_per_video: Counts
    objects_per_frame: Counts
    tracks_by_size: dict[str, int]
    median_area_fraction: float | None
    num_tracks_with_gap: int
    longest_gap: int
    absent_fraction: float | None
    mean_box_overlap: float | None
    box_overlap: list[int]


def compute_statistics(video_set: VideoSet) -> Statistics:
    """Count what a data set holds. Masks are not looked at: `vistrials data check` compares them with the areas."""
    names = {category.id: category.name for category in video_set.categories}
    tracks_per_category = Counter({name: 0 for name in names.values()})
    track_lengths: Counter[int] = Counter()
    objects_per_frame: Counter[int] = Counter()
    sizes = Counter({"small": 0, "medium": 0, "large": 0})
    gaps: list[int] = []  # of each object: the longest
    num_absent = num_spanned = num_crowd_tracks = 0
    area_fractions, overlaps = [np.empty(0)], [np.empty(0)]
    for video in video_set.videos:
        objects = [track for track in video.tracks if not track.is_crowd]
        num_crowd_tracks += len(video.tracks) - len(objects)
        tracks_per_category.update(names[track.category_id] for track in objects)
        boxes, areas = _boxes_and_areas(objects, len(video))
        present = areas > 0
        track_lengths.update(present.sum(1).tolist())
        objects_per_frame.update(present.sum(0).tolist())
        for track_areas, track_present in zip(areas, present, strict=True):
            frames = np.flatnonzero(track_present)
            if len(frames):
                sizes[size_of(float(track_areas[frames].mean()))] += 1
                num_spanned += int(frames[-1] - frames[0]) + 1
                num_absent += int(frames[-1] - frames[0]) + 1 - len(frames)
                gaps.append(int(np.diff(frames).max(initial=1)) - 1)
        area_fractions.append(areas[present] / (video.height * video.width))
        overlaps.append(box_overlap_rates(boxes, present)[present.any(0)])
    fractions, rates = np.concatenate(area_fractions), np.concatenate(overlaps)
    return Statistics(
        num_videos=len(video_set.videos),
        num_frames=sum(map(len, video_set.videos)),
        num_annotated_frames=len(rates),
        num_tracks=sum(tracks_per_category.values()),
        num_crowd_tracks=num_crowd_tracks,
        num_masks=len(fractions),
        tracks_per_category=dict(tracks_per_category),
        video_lengths=_sorted(Counter(map(len, video_set.videos))),
        track_lengths=_sorted(track_lengths),
        objects_per_video=_sorted(Counter(map(_num_objects, video_set.videos))),
        objects_per_frame=_sorted(objects_per_frame),
        tracks_by_size=dict(sizes),
        median_area_fraction=float(np.median(fractions)) if len(fractions) else None,
        num_tracks_with_gap=sum(gap > 0 for gap in gaps),
        longest_gap=max(gaps, default=0),
        absent_fraction=num_absent / num_spanned if num_spanned else None,
        mean_box_overlap=float(rates.mean()) if len(rates) else None,
        box_overlap=np.histogram(rates, bins=NUM_OVERLAP_BINS, range=(0, 1))[0].tolist(),
    )


def size_of(area_px: float) -> str:
    """small, medium or large, of a track's mean area in pixels."""
    if area_px <= SMALL_PX**2:
        return "small"
    return "medium" if area_px <= LARGE_PX**2 else "large"


def box_overlap_rates(boxes: Floats, present: NDArray[np.bool_]) -> Floats:
    """Part of the area covered by boxes that two or more of them cover, in every frame.

    Args:
        boxes: (N, T, 4) x, y, w, h in pixels.
        present: (N, T); other boxes do not count.

    Returns:
        (T,), 0 where nothing overlaps.

    Source: the occlusion rate of boxes of OVIS, arXiv 2102.01558, section 3: |union of the pairwise
        intersections| / |union|; its mean over the frames with objects is mBOR.
    """
    rates = np.zeros(boxes.shape[1])
    crowded = np.flatnonzero(present.sum(0) > 1)
    if not len(crowded):
        return rates
    # Of each frame the boxes that are there, padded with empty ones to the most of any frame.
    num_most = int(present.sum(0).max())
    first = np.argsort(~present[:, crowded], axis=0, kind="stable")[:num_most].T  # (F, M)
    shown = np.where(present[:, crowded, None], boxes[:, crowded], 0.0).swapaxes(0, 1)  # (F, N, 4)
    shown = np.take_along_axis(shown, first[:, :, None], axis=1)  # (F, M, 4)
    step = max(1, _MAX_CELLS // (2 * num_most) ** 2)
    for start in range(0, len(crowded), step):
        rates[crowded[start : start + step]] = _overlap_rates(shown[start : start + step])
    return rates


def quantile(counts: Counts, fraction: float) -> int | None:
    """The smallest value that at least this fraction of all does not exceed; None of nothing."""
    left = fraction * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return None


def mean(counts: Counts) -> float | None:
    """Mean of counted values; None of nothing."""
    number = sum(counts.values())
    return sum(value * count for value, count in counts.items()) / number if number else None


def _overlap_rates(boxes: Floats) -> Floats:
    """As `box_overlap_rates`, of (F, M, 4) boxes of which the empty ones are padding."""
    # The edges of all boxes cut a frame into cells, each wholly inside or outside of every box.
    widths, left, right = _slices(boxes[..., 0], boxes[..., 2])
    heights, top, bottom = _slices(boxes[..., 1], boxes[..., 3])
    num_frames, num_edges = len(boxes), 2 * boxes.shape[1]
    # A box adds one to the cells from its first corner on and takes it back beyond its last ones.
    corners = [(top, left, 1.0), (bottom, right, 1.0), (top, right, -1.0), (bottom, left, -1.0)]
    frames = np.arange(num_frames)[:, None]
    places = [((frames * num_edges + rows) * num_edges + columns).ravel() for rows, columns, _ in corners]
    changes = np.repeat([change for _, _, change in corners], left.size)
    steps = np.bincount(np.concatenate(places), changes, minlength=num_frames * num_edges**2)
    num_boxes = steps.reshape(num_frames, num_edges, num_edges).cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
    cells = heights[:, :, None] * widths[:, None, :]
    union = (cells * (num_boxes > 0.5)).sum((1, 2))
    twice = (cells * (num_boxes > 1.5)).sum((1, 2))
    return np.divide(twice, union, out=np.zeros_like(union), where=union > 0)


def _slices(low: Floats, extent: Floats) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Along one axis: the widths (F, 2M - 1) between edges, and the numbers (F, M) of each box's two edges."""
    edges = np.concatenate([low, low + extent], axis=1)
    order = edges.argsort(axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(edges.shape[1])[None], axis=1)
    num_boxes = low.shape[1]
    return np.diff(np.take_along_axis(edges, order, axis=1), axis=1), ranks[:, :num_boxes], ranks[:, num_boxes:]


def _boxes_and_areas(tracks: list[AnnotatedTrack], num_frames: int) -> tuple[Floats, Floats]:
    """(N, T, 4) boxes and (N, T) areas, 0 where an object is absent."""
    boxes, areas = np.zeros((len(tracks), num_frames, 4)), np.zeros((len(tracks), num_frames))
    for row, track in enumerate(tracks):
        for frame, (box, area) in enumerate(zip(track.bboxes, track.areas, strict=True)):
            if box is not None and area is not None and area > 0 and box[2] > 0 and box[3] > 0:
                boxes[row, frame], areas[row, frame] = box, area
    return boxes, areas


def _num_objects(video: Video) -> int:
    return sum(not track.is_crowd for track in video.tracks)


def _sorted(counts: Counter[Any]) -> Counts:
    return {int(value): counts[value] for value in sorted(counts)}
