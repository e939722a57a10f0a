"""Online inference: one video, frame by frame, in memory that does not grow with its length."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vistrials.data.transforms import pad_alone
from vistrials.errors import SpecError
from vistrials.formats import rle
from vistrials.models.box_head import Detections
from vistrials.models.mask_head import crop_mask, paste
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
from vistrials.structures.frames import Frame
from vistrials.structures.tracks import TrackResult
from vistrials.tracking.association import DROPPED, associate, association_scores
from vistrials.tracking.memory import Memory, build_memory

T = TypeVar("T")


@dataclass(slots=True)
class TrackedObject:
    """An object in one frame.

    box: (4,) inclusive corners in pixels of the frame; label: 1..K.
    crop: (h, w) bool, the part of the mask from row `top` and column `left` on; the rest is empty.
    size: (height, width) of the mask.
    """

    box: Tensor
    label: int
    score: float
    crop: Tensor
    top: int
    left: int
    size: tuple[int, int]
    propagated: bool = False

    @property
    def mask(self) -> Tensor:
        """The whole mask, (height, width) bool."""
        return paste(self.crop, self.top, self.left, self.size)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is kept of an object of a stored frame."""

    box: Tensor
    label: int
    score: float


@dataclass(slots=True)
class _Stored:
    """A past frame to propagate from."""

    features: Tensor
    objects: dict[int, _Entry]


class OnlineTracker:
    """Detects, associates and propagates, one frame of a video after the other, or detects in several together.

    Args:
        model, spec: the network, and how its outputs become tracks.
        other_video: frames without end of another video, for a neck that attends to them.

    Raises:
        SpecError: such a neck without that.

    Source: docs/method.md, sections 3 and 4.
    """

    def __init__(self, model: ObjProp, spec: InferenceSpec, other_video: Iterator[Frame] | None = None) -> None:
        if model.wants_other_video and other_video is None:
            raise SpecError(
                "model.neck.reference: other_video attends to another video, and there is only one; expected two or "
                "more, or model.neck.at_inference=false"
            )
        self.model = model
        self.other_video = other_video if model.wants_other_video else None
        self.spec = spec
        head = model.propagation
        self.propagation = head if head is not None and head.spec.at_inference else None
        self.memory: Memory | None = None
        self.history: deque[_Stored] = deque(maxlen=head.spec.history_frames if head is not None else 1)
        self.previous_levels: list[Tensor] | None = None
        self.num_frames = 0
        self.last_detected: dict[int, int] = {}

    def step(self, frame: Frame) -> dict[int, TrackedObject]:
        """The objects of the next frame by object id (0, 1, ... in order of appearance); propagated ones last."""
        (objects,) = self.step_together([frame])
        return objects

    @torch.inference_mode()
    def step_together(self, frames: Sequence[Frame]) -> list[dict[int, TrackedObject]]:
        """What `step` finds in each of the next frames, which go through backbone and heads together."""
        found: list[dict[int, TrackedObject]] = []
        for _, alike in groupby(frames, key=lambda frame: (frame.image.shape, frame.scale)):
            found += self._step_alike(list(alike))
        return found

    def _step_alike(self, frames: Sequence[Frame]) -> list[dict[int, TrackedObject]]:
        levels = self._pyramid(frames)
        height, width = frames[0].image.shape[-2:]
        scale = frames[0].scale
        detections = self.model.detect(levels, (height, width), scale, self.spec, self._reference(levels))
        if self.model.neck is not None:
            self.previous_levels = [level[-1:] for level in levels]
        boxes = [of_frame.boxes * scale for of_frame in detections]
        embeddings = self.model.embed(levels, boxes) if any(map(len, boxes)) else boxes
        features = self.propagation.extract(levels) if self.propagation is not None else None
        found = []
        for i, (objects, frame) in enumerate(
            zip(self._track(levels, detections, embeddings, frames), frames, strict=True)
        ):
            if features is not None:
                objects |= self._propagated(features[i], objects, frame)
            found.append(objects)
            self.num_frames += 1
        return found

    def _pyramid(self, frames: Sequence[Frame]) -> list[Tensor]:
        """Levels (B, C, ...) of frames of one size."""
        parameter = next(self.model.parameters())
        return self.model.pyramid(torch.cat([pad_alone(frame.image.to(parameter)) for frame in frames]))

    def _reference(self, levels: list[Tensor]) -> list[Tensor] | None:
        """What the neck attends to, of each of the frames of `levels`."""
        num_frames = len(levels[0])
        if self.other_video is not None:
            return self._pyramid(list(islice(self.other_video, num_frames)))
        if self.model.neck is None or num_frames == 1:
            return self.previous_levels
        # Before the first frame there is none: it attends to itself.
        before = self.previous_levels or [level[:1] for level in levels]
        return [torch.cat([first, level[:-1]]) for first, level in zip(before, levels, strict=True)]

    def _propagated(
        self, features: Tensor, detected: dict[int, TrackedObject], frame: Frame
    ) -> dict[int, TrackedObject]:
        """The lost objects of a frame, which is stored with the features (C', h, w)."""
        self.last_detected |= dict.fromkeys(detected, self.num_frames)
        propagated = self._propagate(features, detected, frame)
        entries = {i: _Entry(o.box, o.label, o.score) for i, o in (detected | propagated).items()}
        self.history.append(_Stored(features, entries))
        # After they were stored: of the past a decayed score would decay once more.
        return {i: self._decayed(i, o) for i, o in propagated.items()}

    def _frames_since_detected(self, object_id: int) -> int:
        return self.num_frames - self.last_detected[object_id]

    def _is_alive(self, object_id: int) -> bool:
        assert self.propagation is not None
        limit = self.propagation.spec.keep_alive_frames
        return limit is None or self._frames_since_detected(object_id) <= limit

    def _decayed(self, object_id: int, tracked: TrackedObject) -> TrackedObject:
        assert self.propagation is not None
        decay = self.propagation.spec.score_decay
        return replace(tracked, score=tracked.score * decay ** self._frames_since_detected(object_id))

    def _track(
        self, levels: list[Tensor], detections: list[Detections], embeddings: list[Tensor], frames: Sequence[Frame]
    ) -> list[dict[int, TrackedObject]]:
        """What was detected in each of the frames, by object id, with masks."""
        kept, kept_ids = [], []
        for of_frame, embedded in zip(detections, embeddings, strict=True):
            ids = self._associate(embedded, of_frame)
            rows = [row for row, object_id in enumerate(ids) if object_id != DROPPED]
            kept.append(Detections(of_frame.boxes[rows], of_frame.scores[rows], of_frame.labels[rows]))
            kept_ids.append([ids[row] for row in rows])
        if not any(kept_ids):
            return [{} for _ in frames]
        boxes = [of_frame.boxes * frame.scale for of_frame, frame in zip(kept, frames, strict=True)]
        labels = torch.cat([of_frame.labels for of_frame in kept])
        probs = iter(self.model.mask_probs(levels, boxes, labels))
        columns = (torch.cat([d.boxes for d in kept]), torch.cat([d.scores for d in kept])[:, None], labels[:, None])
        on_host = iter(torch.cat([column.double() for column in columns], dim=1).tolist())
        found = []
        for frame, of_frame, ids in zip(frames, kept, kept_ids, strict=True):
            objects: dict[int, TrackedObject] = {}
            for object_id, box in zip(ids, of_frame.boxes, strict=True):
                x1, y1, x2, y2, score, label = next(on_host)
                corners = (int(x1), int(y1), int(x2), int(y2))
                crop, top, left = crop_mask(next(probs), corners, frame.original_size, self.spec.mask_threshold)
                objects[object_id] = TrackedObject(box, int(label), score, crop, top, left, frame.original_size)
            found.append(objects)
        return found

    def _associate(self, embeddings: Tensor, detections: Detections) -> list[int]:
        boxes, labels = detections.boxes, detections.labels
        if len(boxes) == 0:
            return []
        if self.memory is None:
            self.memory = build_memory(embeddings, boxes, labels, self.model.memory_at_inference)
            return list(range(len(boxes)))
        memory = self.memory
        match = self.model.match_scores(embeddings, memory.embeddings)
        scores = association_scores(
            match, detections.scores, boxes, labels, memory.boxes, memory.labels, self.spec.association
        )
        num_known = len(memory)
        ids, source = associate(scores, next_id=num_known)
        known = [object_id for object_id in source if object_id < num_known]
        new = [source[object_id] for object_id in source if object_id >= num_known]
        seen = [source[object_id] for object_id in known]
        memory.update(known, embeddings[seen], boxes[seen])
        memory.append(embeddings[new], boxes[new], labels[new])
        return ids

    def _propagate(
        self, features: Tensor, detected: dict[int, TrackedObject], frame: Frame
    ) -> dict[int, TrackedObject]:
        """Objects of stored frames that were not detected in this one."""
        assert self.propagation is not None
        rules = self.propagation.spec
        entries: dict[int, list[_Entry]] = {}
        row_of: dict[int, int] = {}
        references, boxes, labels, rows_of_each = [], [], [], []
        for stored in self.history:
            lost = {i: o for i, o in stored.objects.items() if i not in detected and self._is_alive(i)}
            if not lost:
                continue
            for object_id, entry in lost.items():
                entries.setdefault(object_id, []).append(entry)
                row_of.setdefault(object_id, len(row_of))
            references.append(stored.features)
            boxes.append(torch.stack([o.box for o in lost.values()]).to(features) * frame.scale)
            labels.append(torch.tensor([o.label for o in lost.values()], device=features.device))
            rows_of_each.append([row_of[object_id] for object_id in lost])
        if not entries:
            return {}
        masks = []
        for mean in self.propagation.propagate(features, references, boxes, labels, rows_of_each):
            if not rules.network_px_propagation:
                mean = to_frame(mean[None], frame)[0]
            mask = mean >= rules.mask_threshold
            if rules.min_peak:
                mask &= mean.max() >= rules.min_peak
            if rules.visible_only:
                for other in detected.values():
                    rows, columns = (
                        slice(first, first + n)
                        for first, n in zip((other.top, other.left), other.crop.shape, strict=True)
                    )
                    mask[rows, columns] &= ~other.crop
            masks.append(mask)
        propagated = {}
        for (object_id, past), mask, span in zip(entries.items(), masks, bounds(masks), strict=True):
            if span is None:
                continue
            x1, y1, x2, y2 = span
            propagated[object_id] = TrackedObject(
                features.new_tensor(span),
                past[-1].label,
                sum(o.score for o in past) / len(past),
                mask[y1 : y2 + 1, x1 : x2 + 1],
                y1,
                x1,
                (mask.shape[0], mask.shape[1]),
                propagated=True,
            )
        return propagated


def track_video(
    model: ObjProp,
    frames: Iterable[Frame],
    video_id: int,
    category_ids: Sequence[int],
    spec: InferenceSpec,
    other_video: Iterator[Frame] | None = None,
) -> list[TrackResult]:
    """The tracks of one video; masks become run lengths as soon as their frame is done.

    Args: frames in order; category_ids: id of label 1, 2, ...; other_video as of `OnlineTracker`.
    Returns: tracks of `min_track_frames` or more; score = mean over frames, category = majority (lowest on ties).
    """
    tracker = OnlineTracker(model, spec, other_video)
    gaps = _Gaps(tracker.propagation.spec.gap_frames) if tracker.propagation is not None else _Gaps(None)
    growing: dict[int, TrackSummary] = {}
    masks: dict[int, dict[int, rle.Rle]] = {}
    num_frames = 0
    for together in in_batches(frames, spec.frames_per_batch):
        for objects in tracker.step_together(together):
            for (object_id, tracked), mask in zip(objects.items(), encode_masks(list(objects.values())), strict=True):
                for kept in gaps.release(
                    object_id, _Seen(num_frames, tracked.label, tracked.score, mask, tracked.propagated)
                ):
                    growing.setdefault(object_id, TrackSummary()).add(kept.label, kept.score)
                    masks.setdefault(object_id, {})[kept.frame] = kept.mask
            num_frames += 1
    return [
        TrackResult(
            video_id=video_id,
            category_id=category_of(track.label, category_ids, spec),
            score=track.score,
            segmentations=[masks[object_id].get(number) for number in range(num_frames)],
        )
        for object_id, track in growing.items()
        if track.num_frames >= spec.min_track_frames
    ]


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items in order, the last one of what is left."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class _Seen(NamedTuple):
    """An object in a frame, as a track keeps it."""

    frame: int
    label: int
    score: float
    mask: rle.Rle
    propagated: bool


class _Gaps:
    """Holds back what was propagated until the object is detected again; `limit` as `PropagationSpec.gap_frames`."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._last_detected: dict[int, int] = {}
        self._held: dict[int, list[_Seen]] = {}

    def release(self, object_id: int, seen: _Seen) -> list[_Seen]:
        """What belongs to the track, now that this is known of the object."""
        if self._limit is None:
            return [seen]
        gap = seen.frame - self._last_detected.get(object_id, seen.frame)
        if seen.propagated:
            if gap <= self._limit:
                self._held.setdefault(object_id, []).append(seen)
            else:
                self._held.pop(object_id, None)
            return []
        self._last_detected[object_id] = seen.frame
        held = self._held.pop(object_id, [])
        return [*held, seen] if gap - 1 <= self._limit else [seen]


def category_of(label: int, category_ids: Sequence[int], spec: InferenceSpec) -> int:
    """The category id that predictions have for a label, 1, 2, ..."""
    return label if spec.category_id_is_label else category_ids[label - 1]


@dataclass(slots=True)
class TrackSummary:
    """What is known of a track after some frames, its masks apart."""

    labels: Counter[int] = field(default_factory=Counter)
    score_sum: float = 0.0
    num_frames: int = 0

    def add(self, label: int, score: float) -> None:
        """Count the object of one more frame."""
        self.labels[label] += 1
        self.score_sum += score
        self.num_frames += 1

    @property
    def score(self) -> float:
        """Mean over the frames that show the object."""
        return self.score_sum / self.num_frames

    @property
    def label(self) -> int:
        """The most frequent one, the lowest of equals."""
        most = max(self.labels.values())
        return min(label for label, count in self.labels.items() if count == most)


def encode_masks(objects: Sequence[TrackedObject]) -> list[rle.Rle]:
    """The masks of a frame's objects as run lengths; the crops leave the device together."""
    if not objects:
        return []
    pixels = torch.cat([o.crop.T.flatten() for o in objects]).cpu().numpy()
    encoded, first = [], 0
    for o in objects:
        height, width = o.crop.shape
        columns = pixels[first : first + height * width].reshape(width, height)
        encoded.append(rle.encode_crop(columns, o.top, o.left, o.size))
        first += height * width
    return encoded


def bounds(masks: Sequence[Tensor]) -> list[tuple[int, int, int, int] | None]:
    """x1, y1, x2, y2 of the pixels of each mask (H, W), inclusive; None of an empty one. The masks have one size."""
    if not masks:
        return []
    occupied = torch.stack([torch.cat([mask.any(dim=1), mask.any(dim=0)]) for mask in masks]).cpu().numpy()
    found: list[tuple[int, int, int, int] | None] = []
    for mask, flags in zip(masks, occupied, strict=True):
        rows, columns = flags[: len(mask)].nonzero()[0].tolist(), flags[len(mask) :].nonzero()[0].tolist()
        found.append((columns[0], rows[0], columns[-1], rows[-1]) if rows else None)
    return found


def to_frame(probs: Tensor, frame: Frame) -> Tensor:
    """Probabilities at padded network pixels (n, H, W) -> cropped and resized to the original frame (n, h, w)."""
    height, width = frame.image.shape[-2:]
    cropped = probs[:, None, :height, :width]
    return interpolate(cropped, size=frame.original_size, mode="bilinear", align_corners=False)[:, 0]
