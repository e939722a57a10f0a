"""Assembly: backbone -> FPN -> (neck) -> RPN -> box, track and mask head, and the propagation head beside them."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vistrials.errors import SpecError
from vistrials.models.backbone import build_backbone
from vistrials.models.box_head import BoxHead, Detections
from vistrials.models.fpn import FPN
from vistrials.models.losses import mean_losses
from vistrials.models.mask_head import MaskHead
from vistrials.models.propagation_head import PropagationHead
from vistrials.models.roi_features import roi_features
from vistrials.models.rpn import RPN
from vistrials.models.track_head import TrackHead, match_scores
from vistrials.models.track_memory import remember
from vistrials.models.variants import build_head, build_neck
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import ConvolutionNeckSpec, ModelSpec, NeckSpec, TrackHeadSpec, TrackMemorySpec
from vistrials.structures.frames import FramePairBatch


class ObjProp(nn.Module):
    """MaskTrack R-CNN with, where the spec has them, attention neck and propagation head.

    Called with a batch of frame pairs it returns its losses; `pyramid`, `detect`, `embed` and `mask_probs` serve
    inference (see tracking.online).
    """

    def __init__(self, spec: ModelSpec, num_categories: int) -> None:
        super().__init__()
        channels = spec.fpn.channels
        self.spec = spec
        self.backbone = build_backbone(spec.backbone)
        self.fpn = FPN(spec.fpn, self.backbone.out_channels)
        self.neck = build_neck(spec.neck, channels, spec.fpn.num_levels) if spec.neck else None
        self._attends_to = spec.neck.reference if isinstance(spec.neck, NeckSpec) else "same_frame"
        self._neck_at_inference = isinstance(spec.neck, ConvolutionNeckSpec) or bool(
            spec.neck and spec.neck.at_inference
        )
        self.rpn = RPN(spec.rpn, channels)
        sizes = {"channels": channels, "num_categories": num_categories}
        self.box_head = build_head(BoxHead, spec.box_head, "model.box_head", **sizes)
        of_track = {"channels": channels, "roi_size": spec.box_head.roi_size}
        self.track_head = build_head(TrackHead, spec.track_head, "model.track_head", **of_track)
        self.mask_head = build_head(MaskHead, spec.mask_head, "model.mask_head", **sizes)
        self.propagation: PropagationHead | None = None
        if spec.propagation is not None:
            of_propagation = {"in_channels": channels, "num_categories": num_categories}
            self.propagation = build_head(PropagationHead, spec.propagation, "model.propagation", **of_propagation)

    def forward(self, batch: FramePairBatch) -> dict[str, Tensor]:
        """Losses (keys loss_*) and accuracies of a batch of frame pairs, scalars each.

        What looks at a reference frame is the mean over those of a key frame.
        """
        pairs = batch.by_reference()
        levels = self.pyramid(batch.network_images().to(next(self.parameters()).dtype))
        key, *references = ([level.chunk(1 + len(pairs))[i] for level in levels] for i in range(1 + len(pairs)))

        attended = self._attended(key, references)
        rpn_inputs = [self.neck(key, of_frame) for of_frame in attended] if self.neck else [key]
        sizes = _sizes(key)
        rpn_outputs = [self.rpn(rpn_input) for rpn_input in rpn_inputs]
        losses = mean_losses([self.rpn.loss(logits, deltas, sizes, batch) for logits, deltas in rpn_outputs])
        # Of several references the last, which is the nearest: at inference it is the previous frame.
        logits, deltas = rpn_outputs[-1]
        proposals = [boxes for boxes, _ in self.rpn.propose(logits, deltas, sizes, batch.image_sizes)]

        rois = self.box_head.sample(proposals, batch)
        features = self.box_features(key, [r.boxes for r in rois])
        logits, deltas = self.box_head(features)
        losses |= self.box_head.loss(logits, deltas, rois, batch)

        embeddings = self.track_head(features)
        seen = [
            (self.track_head(self.box_features(reference, pair.reference_boxes)), pair)
            for reference, pair in zip(references, pairs, strict=True)
        ]
        if self.spec.track_head.memory is not None:
            seen = [self._remember(seen, self.spec.track_head)]
        losses |= mean_losses([self.track_head.loss(embeddings, of_boxes, rois, pair) for of_boxes, pair in seen])

        rois = self.mask_head.rois(rois)
        labels = torch.cat([of_image[r.truth_index] for r, of_image in zip(rois, batch.labels, strict=True)])
        mask_logits = self.mask_head(self.mask_features(key, [r.boxes for r in rois]), labels)
        losses |= self.mask_head.loss(mask_logits, rois, batch)

        if self.propagation is not None:
            features = self.propagation.extract(key)
            losses |= mean_losses(
                [
                    self.propagation.loss(features, self.propagation.extract(reference), pair)
                    for reference, pair in zip(references, pairs, strict=True)
                ]
            )
        return losses

    def _attended(self, key: list[Tensor], references: list[list[Tensor]]) -> list[list[Tensor]]:
        """What the neck attends to in training, in turn; levels (B, C, H, W)."""
        match self._attends_to:
            case "same_frame":
                return [key]
            case "other_video":
                # Samples of a batch are of videos at random: now and then of one, as two in a row of 400 videos are.
                if len(key[0]) < 2:
                    raise SpecError(
                        "model.neck.reference: other_video takes the frame of another pair of the batch; expected two "
                        "pairs or more on a device, found 1: raise train.batch_size"
                    )
                return [[level.roll(1, dims=0) for level in reference] for reference in references]
        return references

    @staticmethod
    def _remember(seen: list[tuple[Tensor, FramePairBatch]], spec: TrackHeadSpec) -> tuple[Tensor, FramePairBatch]:
        """In the place of all reference frames what a tracker would remember of them."""
        assert spec.memory is not None
        # At inference all embeddings have length 1 before they are remembered.
        of_boxes = [normalize(x, dim=1) if spec.normalised else x for x, _ in seen]
        return remember(of_boxes, [pair for _, pair in seen], spec.memory.momentum)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W), padded to a multiple of 32 -> pyramid levels P2.. (B, C, H / 4, W / 4), ..."""
        return self.fpn(self.backbone(images))

    def box_features(self, levels: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """RoI features for box and track head, (n, C, s, s)."""
        return roi_features(levels, boxes, self.spec.box_head.roi_size, self.spec.roi)

    def mask_features(self, levels: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """RoI features for the mask head, (n, C, s, s)."""
        return roi_features(levels, boxes, self.spec.mask_head.roi_size, self.spec.roi)

    @torch.no_grad()
    def detect(
        self,
        levels: list[Tensor],
        image_size: tuple[int, int],
        scale: float,
        spec: InferenceSpec,
        reference_levels: list[Tensor] | None = None,
    ) -> list[Detections]:
        """Detections of each of B frames of one size, boxes in pixels of the original frame.

        Args: levels (B, C, ...); image_size (height, width) before padding; scale = network pixels per original pixel;
            reference_levels: of the frames that the neck attends to, the previous ones or another video's; None where
            it attends to the frames themselves, as on the first frame.
        """
        if self.neck is not None and self._neck_at_inference:
            alone = reference_levels is None or self._attends_to == "same_frame"
            rpn_input = self.neck(levels, levels if alone else reference_levels)
        else:
            rpn_input = levels
        rpn_logits, rpn_deltas = self.rpn(rpn_input)
        proposals = [
            boxes
            for boxes, _ in self.rpn.propose(rpn_logits, rpn_deltas, _sizes(rpn_input), [image_size] * len(levels[0]))
        ]
        counts = [len(boxes) for boxes in proposals]
        outputs = (output.split(counts) for output in self.box_head(self.box_features(levels, proposals)))
        return [
            self.box_head.detect(logits, deltas, boxes, image_size, scale, spec)
            for logits, deltas, boxes in zip(*outputs, proposals, strict=True)
        ]

    @torch.no_grad()
    def embed(self, levels: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Track embeddings (n, D), L2-normalised, of boxes (n, 4) in network pixels of each of B frames."""
        embeddings = normalize(self.track_head(self.box_features(levels, boxes)), dim=1)
        return list(embeddings.split([len(of_frame) for of_frame in boxes]))

    @property
    def wants_other_video(self) -> bool:
        """Whether `detect` wants the pyramid of another video's frame in the place of the previous one's."""
        return self._neck_at_inference and self._attends_to == "other_video"

    @property
    def memory_at_inference(self) -> TrackMemorySpec | None:
        """How a tracker makes an object's embedding of all it found; None: it takes the last one."""
        memory = self.spec.track_head.memory
        return memory if memory is not None and memory.at_inference else None

    def match_scores(self, embeddings: Tensor, memory: Tensor) -> Tensor:
        """Test-time match scores (n, 1 + m) of normalised embeddings (n, D) against memory (m, D)."""
        return match_scores(embeddings, memory)

    @torch.no_grad()
    def mask_probs(self, levels: list[Tensor], boxes: list[Tensor], labels: Tensor) -> Tensor:
        """Mask probabilities (sum of n, m, m) of boxes (n, 4) in network pixels of each of B frames, frames in order.

        labels: (sum of n,) in 1..K.
        """
        return self.mask_head(self.mask_features(levels, boxes), labels).sigmoid()


def _sizes(levels: list[Tensor]) -> list[tuple[int, int]]:
    return [(level.shape[-2], level.shape[-1]) for level in levels]


def build_model(spec: ModelSpec, num_categories: int) -> ObjProp:
    """The network of a model spec for K categories, freshly initialised."""
    return ObjProp(spec, num_categories)
