"""Online inference: one video, frame by frame, in memory that does not grow with its length."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.ops import masks_to_boxes

from vistrials.data.transforms import pad_alone
from vistrials.formats import rle
from vistrials.models.box_head import Detections
from vistrials.models.mask_head import paste_mask
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
from vistrials.structures.frames import Frame
from vistrials.structures.tracks import PredictedTrack
from vistrials.tracking.association import DROPPED, associate, association_scores


@dataclass(slots=True)
class TrackedObject:
    """An object in one frame. box: (4,) inclusive corners in pixels of the frame; mask: (H, W) bool; label: 1..K."""

    box: Tensor
    label: int
    score: float
    mask: Tensor
    propagated: bool = False


@dataclass(slots=True)
class _Memory:
    """What the tracker knows of every object so far; row = object id."""

    embeddings: Tensor
    boxes: Tensor
    labels: Tensor


@dataclass(slots=True)
class _Stored:
    """A past frame to propagate from."""

    features: Tensor
    objects: dict[int, TrackedObject]


class OnlineTracker:
    """Detects, associates and propagates, one frame of a video after the other.

    Source: docs/method.md, sections 3 and 4.
    """

    def __init__(self, model: ObjProp, spec: InferenceSpec) -> None:
        self.model = model
        self.spec = spec
        head = model.propagation
        self.propagation = head if head is not None and head.spec.at_inference else None
        self.memory: _Memory | None = None
        self.history: deque[_Stored] = deque(maxlen=head.spec.history_frames if head is not None else 1)
        self.previous_levels: list[Tensor] | None = None

    @torch.inference_mode()
    def step(self, frame: Frame) -> dict[int, TrackedObject]:
        """The objects of the next frame by object id (0, 1, ... in order of appearance); propagated ones last."""
        parameter = next(self.model.parameters())
        image = frame.image.to(parameter)
        height, width = image.shape[-2:]
        levels = self.model.pyramid(pad_alone(image))
        detections = self.model.detect(levels, (height, width), frame.scale, self.spec, self.previous_levels)
        objects = self._track(levels, detections, frame)
        if self.propagation is not None:
            features = self.propagation.extract(levels)[0]
            objects |= self._propagate(features, objects, frame)
            self.history.append(_Stored(features, {i: _without_mask(o) for i, o in objects.items()}))
        if self.model.neck is not None:
            self.previous_levels = levels
        return objects

    def _track(self, levels: list[Tensor], detections: Detections, frame: Frame) -> dict[int, TrackedObject]:
        if len(detections) == 0:
            return {}
        network_boxes = detections.boxes * frame.scale
        ids = self._associate(self.model.embed(levels, network_boxes), detections)
        kept = [i for i, object_id in enumerate(ids) if object_id != DROPPED]
        probs = self.model.mask_probs(levels, network_boxes[kept], detections.labels[kept])
        objects: dict[int, TrackedObject] = {}
        for row, i in enumerate(kept):
            box = detections.boxes[i]
            corners = tuple(int(v) for v in box.tolist())
            mask = paste_mask(probs[row], corners, frame.original_size, self.spec.mask_threshold)  # type: ignore[arg-type]
            objects[ids[i]] = TrackedObject(box, int(detections.labels[i]), float(detections.scores[i]), mask)
        return objects

    def _associate(self, embeddings: Tensor, detections: Detections) -> list[int]:
        boxes, labels = detections.boxes, detections.labels
        if self.memory is None:
            self.memory = _Memory(embeddings, boxes, labels)
            return list(range(len(boxes)))
        memory = self.memory
        match = self.model.match_scores(embeddings, memory.embeddings)
        scores = association_scores(
            match, detections.scores, boxes, labels, memory.boxes, memory.labels, self.spec.association
        )
        num_known = len(memory.boxes)
        ids, source = associate(scores, next_id=num_known)
        known = [object_id for object_id in source if object_id < num_known]
        new = [source[object_id] for object_id in source if object_id >= num_known]
        updated_embeddings, updated_boxes = memory.embeddings.clone(), memory.boxes.clone()
        updated_embeddings[known] = embeddings[[source[i] for i in known]]
        updated_boxes[known] = boxes[[source[i] for i in known]]
        self.memory = _Memory(
            torch.cat([updated_embeddings, embeddings[new]]),
            torch.cat([updated_boxes, boxes[new]]),
            torch.cat([memory.labels, labels[new]]),  # the label of a known object is never updated
        )
        return ids

    def _propagate(
        self, features: Tensor, detected: dict[int, TrackedObject], frame: Frame
    ) -> dict[int, TrackedObject]:
        """Objects of stored frames that were not detected in this one."""
        assert self.propagation is not None
        totals: dict[int, Tensor] = {}
        entries: dict[int, list[TrackedObject]] = {}
        for stored in self.history:
            lost = {i: o for i, o in stored.objects.items() if i not in detected}
            if not lost:
                continue
            boxes = torch.stack([o.box for o in lost.values()]).to(features) * frame.scale
            labels = torch.tensor([o.label for o in lost.values()], device=features.device)
            probs = self.propagation.propagate(features, stored.features, boxes, labels)
            for (object_id, entry), prob in zip(lost.items(), probs, strict=True):
                totals[object_id] = totals[object_id] + prob if object_id in totals else prob
                entries.setdefault(object_id, []).append(entry)
        propagated = {}
        for object_id, total in totals.items():
            past = entries[object_id]
            mean = total / len(past)
            if not self.propagation.spec.network_px_propagation:
                mean = to_frame(mean[None], frame)[0]
            mask = mean >= self.propagation.spec.mask_threshold
            if mask.any():
                score = sum(o.score for o in past) / len(past)
                box = masks_to_boxes(mask[None])[0].to(mean)
                propagated[object_id] = TrackedObject(box, past[-1].label, score, mask, propagated=True)
        return propagated


def track_video(
    model: ObjProp, frames: Iterable[Frame], video_id: int, category_ids: Sequence[int], spec: InferenceSpec
) -> list[PredictedTrack]:
    """The tracks of one video; masks become run lengths as soon as their frame is done.

    Args: frames in order; category_ids: id of label 1, 2, ...
    Returns: tracks of `min_track_frames` or more; score = mean over frames, category = majority (lowest on ties).
    """
    tracker = OnlineTracker(model, spec)
    growing: dict[int, _GrowingTrack] = {}
    num_frames = 0
    for frame in frames:
        objects = tracker.step(frame)
        for object_id, tracked in objects.items():
            growing.setdefault(object_id, _GrowingTrack()).add(num_frames, tracked)
        num_frames += 1
    return [
        PredictedTrack(
            video_id=video_id,
            category_id=label if spec.category_id_is_label else category_ids[label - 1],
            score=score,
            segmentations=[track.masks.get(number) for number in range(num_frames)],
        )
        for track in growing.values()
        if len(track.masks) >= spec.min_track_frames
        for label, score in [(track.label, track.score)]
    ]


@dataclass(slots=True)
class _GrowingTrack:
    masks: dict[int, dict] = field(default_factory=dict)
    labels: Counter[int] = field(default_factory=Counter)
    score_sum: float = 0.0

    def add(self, frame: int, tracked: TrackedObject) -> None:
        self.masks[frame] = rle.encode(tracked.mask.cpu().numpy())
        self.labels[tracked.label] += 1
        self.score_sum += tracked.score

    @property
    def score(self) -> float:
        return self.score_sum / len(self.masks)

    @property
    def label(self) -> int:
        most = max(self.labels.values())
        return min(label for label, count in self.labels.items() if count == most)


def _without_mask(tracked: TrackedObject) -> TrackedObject:
    return TrackedObject(tracked.box, tracked.label, tracked.score, tracked.mask.new_zeros(0), tracked.propagated)


def to_frame(probs: Tensor, frame: Frame) -> Tensor:
    """Probabilities at padded network pixels (n, H, W) -> cropped and resized to the original frame (n, h, w)."""
    height, width = frame.image.shape[-2:]
    cropped = probs[:, None, :height, :width]
    return interpolate(cropped, size=frame.original_size, mode="bilinear", align_corners=False)[:, 0]
