"""The network: one sub-spec per part; each part is built from its own sub-spec alone."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from vistrials.specs.base import Fraction, Spec
from vistrials.specs.custom import CustomSpec

FrozenStages = Annotated[int, Field(ge=-1, le=4)]
NormMode = Literal["running_stats", "batch_stats"]


class ResNetSpec(Spec):
    """ResNet in torchvision's layout (stride in the 3x3 convolution)."""

    kind: Literal["resnet"] = "resnet"
    """ResNet (published)."""
    depth: Literal[18, 34, 50, 101, 152] = 50
    """Number of layers; 18 and 34 are made of basic blocks, the others of bottlenecks."""
    base_width: PositiveInt = 64
    """Channels of the stem; stages have 1, 2, 4, 8 times as many (times 4 with bottlenecks)."""
    frozen_stages: FrozenStages = 1
    """Stages without gradient, counted from the stem (0); -1 trains everything."""
    norm: NormMode = "running_stats"
    """Batch norm by stored running statistics (published) or by batch statistics (training from scratch)."""


class TimmSpec(Spec):
    """Any network of the package timm that has features at strides 4, 8, 16 and 32."""

    kind: Literal["timm"] = "timm"
    """A network of timm; needs `pip install 'vistrials[timm]'`."""
    name: str
    """timm's name, such as efficientnet_lite0; with a tag (mobilenetv3_large_100.ra_in1k) those weights of its hub."""
    out_indices: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt, NonNegativeInt] | None = None
    """Which of timm's features serve as strides 4, 8, 16, 32; null for those that have these strides."""
    frozen_stages: FrozenStages = 1
    """Stages without gradient, counted from the stem (0, all before the stage of stride 4); -1 trains everything."""
    norm: NormMode = "running_stats"
    """Batch norm by stored running statistics, or by batch statistics where the network has batch norms."""


class FPNSpec(Spec):
    """Feature pyramid."""

    channels: PositiveInt = 256
    """Channels of every level."""
    num_levels: Annotated[int, Field(ge=4, le=5)] = 5
    """Levels P2..; the fifth is a stride-2 max pool of the fourth and is read by RPN and neck only."""


class NeckSpec(Spec):
    """Attention neck between FPN and RPN (trial attention_neck)."""

    kind: Literal["attention"] = "attention"
    """Attention to the reference frame."""
    num_convs: PositiveInt = 1
    """3x3 convolutions per branch; published 1."""
    levels: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
    """Pyramid levels that it serves, 0 = P2."""
    gamma_init: float = 0.5
    """Start of the learnable factor on the attention."""
    gamma_frozen: bool = False
    """Keep the factor as it starts (with gamma_init 0 a neck without effect, as a control)."""
    reference: Literal["other_frame", "same_frame", "other_video"] = "other_frame"
    """What it attends to: the pair's other frame (published), or as controls the frame itself, or another video."""
    window_cells: PositiveInt | None = None
    """Attend only to reference cells at most this many rows and columns away; null for the whole frame (published)."""
    at_inference: bool = True
    """Attend to the previous frame at inference too; false is the released behaviour."""

    @model_validator(mode="after")
    def _window_within_video(self) -> Self:
        if self.window_cells is not None and self.reference == "other_video":
            raise ValueError(
                "window_cells beside reference other_video: frames of other videos have other sizes; drop one of them"
            )
        return self


class ConvolutionNeckSpec(Spec):
    """Control of the attention neck: as many parameters in convolutions, which see no other frame."""

    kind: Literal["convolutions"] = "convolutions"
    """Convolutions of the frame itself."""
    num_convs: PositiveInt = 1
    """Half of its 3x3 convolutions, which stand one behind the other."""
    levels: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
    """Pyramid levels that it serves, 0 = P2."""
    gamma_init: float = 0.5
    """Start of the learnable factor on them."""


class CustomNeckSpec(CustomSpec):
    """A neck of your own."""

    kind: Literal["custom"] = "custom"
    """A class in a file of your own."""
    at_inference: bool = True
    """Called at inference too, with the previous frame as reference (on the first frame with the frame itself)."""


class AnchorSpec(Spec):
    """Anchors of one pyramid level: base size = stride."""

    scale: PositiveFloat = 8
    """Anchor side in strides."""
    ratios: tuple[PositiveFloat, ...] = (0.5, 1.0, 2.0)
    """Height / width."""


class AssignerSpec(Spec):
    """Max-IoU assignment of boxes to ground truth."""

    positive_iou: Fraction
    """At or above: positive for the ground truth of the largest IoU."""
    negative_iou: Fraction
    """Below: negative. Between the two: unused."""
    min_positive_iou: Fraction
    """Every ground truth whose best IoU is at least this takes all boxes that tie for it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.negative_iou > self.positive_iou:
            raise ValueError(
                f"negative_iou {self.negative_iou} is above positive_iou {self.positive_iou}: "
                "a box cannot be both; lower the one or raise the other"
            )
        return self


class SamplerSpec(Spec):
    """Random sampling of assigned boxes."""

    kind: Literal["random"] = "random"
    """At random, as published."""
    num: PositiveInt
    """Boxes per image."""
    positive_fraction: Fraction
    """At most this part of them positive."""


class CustomSamplerSpec(CustomSpec, SamplerSpec):
    """Sampling of assigned boxes of your own."""

    kind: Literal["custom"] = "custom"  # type: ignore[assignment]
    """A class in a file of your own."""


class ProposalSpec(Spec):
    """From RPN outputs to proposals, in training and testing alike."""

    num_before_nms: PositiveInt = 1000
    """Best scores kept per level."""
    nms_iou: Fraction = 0.7
    """Suppress above this IoU, level by level."""
    num_after_nms: PositiveInt = 1000
    """Kept per level."""
    max_num: PositiveInt = 1000
    """Kept per image over all levels."""
    min_size_px: NonNegativeFloat = 0
    """Smaller boxes are dropped."""


class RPNSpec(Spec):
    """Region proposal network."""

    num_convs: PositiveInt = 1
    """3x3 convolutions in front of its outputs; published 1 (torchvision's Mask R-CNN v2: 2)."""
    anchors: AnchorSpec = AnchorSpec()
    """Anchors."""
    assigner: AssignerSpec = AssignerSpec(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)
    """Anchors to ground truth."""
    sampler: SamplerSpec | CustomSamplerSpec = Field(
        default=SamplerSpec(num=64, positive_fraction=0.5), discriminator="kind"
    )
    """Anchors that enter the loss."""
    proposals: ProposalSpec = ProposalSpec()
    """Selection of proposals."""
    loss_cls_weight: NonNegativeFloat = 1.0
    """Weight of loss_rpn_cls."""
    loss_bbox_weight: NonNegativeFloat = 1.0
    """Weight of loss_rpn_bbox."""
    smooth_l1_beta: PositiveFloat = 1 / 9
    """Where loss_rpn_bbox turns from quadratic to linear."""


class RoISpec(Spec):
    """Where RoI features are read."""

    num_levels: Annotated[int, Field(ge=1, le=4)] = 4
    """Pyramid levels, from P2."""
    finest_scale_px: PositiveFloat = 56
    """A RoI of this side, and up to twice it, belongs to P2."""


class BoxHeadSpec(Spec):
    """Classification and box regression of RoIs."""

    kind: Literal["published"] = "published"
    """The published one."""
    num_convs: NonNegativeInt = 0
    """3x3 convolutions in front of the fully connected layers; published 0 (torchvision's Mask R-CNN v2: 4)."""
    num_fcs: PositiveInt = 2
    """Shared fully connected layers."""
    fc_channels: PositiveInt = 1024
    """Their width."""
    roi_size: PositiveInt = 7
    """RoI features are roi_size x roi_size."""
    assigner: AssignerSpec = AssignerSpec(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.5)
    """Proposals to ground truth."""
    sampler: SamplerSpec | CustomSamplerSpec = Field(
        default=SamplerSpec(num=128, positive_fraction=0.25), discriminator="kind"
    )
    """RoIs that enter the losses of box, track and mask head."""
    delta_stds: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (0.1, 0.1, 0.2, 0.2)
    """Box deltas are divided by these."""
    loss_cls_weight: NonNegativeFloat = 1.0
    """Weight of loss_cls."""
    loss_bbox_weight: NonNegativeFloat = 1.0
    """Weight of loss_bbox."""
    smooth_l1_beta: PositiveFloat = 1.0
    """Where loss_bbox turns from quadratic to linear."""


class CustomBoxHeadSpec(CustomSpec, BoxHeadSpec):
    """A box head of your own, which derives from the published one and has its settings."""

    kind: Literal["custom"] = "custom"  # type: ignore[assignment]
    """A class in a file of your own."""


class TrackMemorySpec(Spec):
    """Objects as a tracker remembers them over a clip, for key RoIs to be matched against (trial consistent_memory)."""

    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """What an object's embedding keeps when one is added; null: 1 - that one's mean cosine to those before (CTVIS)."""
    at_inference: bool = True
    """The tracker's memory does the same; false: it keeps the last embedding of each object."""


class TrackHeadSpec(Spec):
    """Embedding whose dot products match RoIs to reference objects."""

    kind: Literal["published"] = "published"
    """The published one."""
    num_fcs: PositiveInt = 2
    """Fully connected layers."""
    fc_channels: PositiveInt = 1024
    """Their width."""
    loss_weight: NonNegativeFloat = 1.0
    """Weight of loss_match."""
    logit_scale: PositiveFloat = 1.0
    """Factor on the match scores in training (published 1; smaller tames dot products of a network from scratch)."""
    normalised: bool = False
    """Train on cosines, which is what scores at test time, in the place of dot products; wants a logit_scale of 10."""
    memory: TrackMemorySpec | None = None
    """Match against a memory of all reference frames, not against each; null for none (published)."""
    skip_single_positive_match: bool = False
    """Released accident: an image with exactly one positive RoI adds 0 to loss_match but counts in the divisor."""

    @model_validator(mode="after")
    def _memory_is_trained(self) -> Self:
        if self.memory is not None and self.loss_weight == 0:
            raise ValueError("memory beside loss_weight 0: nothing is matched in training; drop one of them")
        return self


class CustomTrackHeadSpec(CustomSpec, TrackHeadSpec):
    """A track head of your own, which derives from the published one and has its settings."""

    kind: Literal["custom"] = "custom"  # type: ignore[assignment]
    """A class in a file of your own."""


class MaskHeadSpec(Spec):
    """Instance masks of RoIs."""

    kind: Literal["published"] = "published"
    """The published one."""
    num_convs: PositiveInt = 4
    """3x3 convolutions before the upsampling."""
    channels: PositiveInt = 256
    """Their width."""
    roi_size: PositiveInt = 14
    """RoI features are roi_size x roi_size; masks twice that."""
    class_agnostic: bool = False
    """One map for all categories instead of one for each."""
    max_rois: PositiveInt | None = None
    """At most this many positive RoIs per image enter loss_mask (None: all)."""
    loss_weight: NonNegativeFloat = 1.0
    """Weight of loss_mask."""


class CustomMaskHeadSpec(CustomSpec, MaskHeadSpec):
    """A mask head of your own, which derives from the published one and has its settings."""

    kind: Literal["custom"] = "custom"  # type: ignore[assignment]
    """A class in a file of your own."""


class PlainAffinitySpec(Spec):
    """Softmax over reference cells of the likeness of features."""

    kind: Literal["plain"] = "plain"
    """Without weights of its own."""
    similarity: Literal["dot", "negative_l2", "cosine"] = "dot"
    """Likeness of two cells: dot product (published ObjProp), negative squared distance, or cosine."""
    logit_scale: PositiveFloat = 1.0
    """Factor on it before the softmax (published 1): the inverse of a temperature."""
    top_k: PositiveInt | None = None
    """Only so many reference cells count for a key cell, the likest; null for all (published)."""
    window_cells: PositiveInt | None = None
    """Only reference cells at most so many rows and columns away count; null for all (published)."""


class WeightedAffinitySpec(Spec):
    """A learnable C x C matrix between the features (trial weighted_affinity)."""

    kind: Literal["weighted"] = "weighted"
    """Weighted inter-frame affinity."""
    scope: Literal["per_sample", "shared", "per_category"] = "per_sample"
    """One matrix per batch position (published; left out at inference), one in all, or one per category."""
    num_samples: PositiveInt = 4
    """Matrices of scope per_sample: train.batch_size, or more."""
    init: Literal["identity", "random"] = "identity"
    """Start from the plain affinity, or from the published standard normal numbers."""
    at_inference: bool | None = None
    """Use the matrix at inference (of several per_sample their mean); null: unless it is per_sample (published)."""


class CustomAffinitySpec(CustomSpec):
    """An affinity of your own."""

    kind: Literal["custom"] = "custom"
    """A class in a file of your own."""


class PresenceSpec(Spec):
    """Whether a propagated object is in sight, learnt from pairs in whose key frame it is missing."""

    channels: PositiveInt = 64
    """Width of its hidden layer."""
    loss_weight: NonNegativeFloat = 1.0
    """Weight of loss_proppresence."""


class PropagationSpec(Spec):
    """ObjProp: objects of stored frames propagated by inter-frame attention."""

    kind: Literal["published"] = "published"
    """The published one."""
    channels: PositiveInt = 256
    """Channels of the propagation features and of the mask convolutions."""
    stride: Literal[4, 8] = 8
    """Pixels to a cell of the propagation features; published 8."""
    num_mask_convs: PositiveInt = 4
    """3x3 convolutions before the upsampling."""
    class_agnostic: bool = False
    """One map for all categories instead of one for each."""
    affinity: PlainAffinitySpec | WeightedAffinitySpec | CustomAffinitySpec = Field(
        default=PlainAffinitySpec(), discriminator="kind"
    )
    """Inter-frame affinity."""
    loss_attn_weight: NonNegativeFloat = 1.0
    """Weight of loss_propattn."""
    loss_mask_weight: NonNegativeFloat = 1.0
    """Weight of loss_propmask."""
    at_inference: bool = True
    """Add objects that are propagated but not detected."""
    sigma_cells: PositiveFloat = 8.0
    """Width of the spatial weight at inference, in cells of `stride`; published 8."""
    history_frames: PositiveInt = 24
    """Frames kept to propagate from."""
    mask_threshold: Fraction = 0.3
    """Mean propagated probability from which a pixel belongs to the object."""
    presence: PresenceSpec | None = None
    """A learned score of whether the object is in sight, on the propagated probabilities; null for none (published)."""
    min_peak: Fraction = 0.0
    """Objects are added only if their mean propagated probability reaches this somewhere (published 0)."""
    visible_only: bool = False
    """Pixels of objects that were detected in the frame belong to no propagated one (published: they may)."""
    keep_alive_frames: PositiveInt | None = None
    """Objects are added for at most so many frames after they were detected last; null for no limit (published)."""
    score_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The score of an added object falls by this factor with each frame since it was detected last (published 1)."""
    gap_frames: PositiveInt | None = None
    """Keep what was added only in gaps of at most so many frames between detections; null keeps all (published)."""
    network_px_propagation: bool = False
    """Released accident: propagated masks and boxes stay in pixels of the padded network input."""

    @model_validator(mode="after")
    def _of_one_size(self) -> Self:
        if self.visible_only and self.network_px_propagation:
            raise ValueError(
                "visible_only beside network_px_propagation: masks of other pixels cannot be taken from each other; "
                "drop one of them"
            )
        return self


class CustomPropagationSpec(CustomSpec, PropagationSpec):
    """A propagation head of your own, which derives from the published one and has its settings."""

    kind: Literal["custom"] = "custom"  # type: ignore[assignment]
    """A class in a file of your own."""


class ModelSpec(Spec):
    """MaskTrack R-CNN with, where present, neck and propagation head."""

    backbone: ResNetSpec | TimmSpec = Field(default=ResNetSpec(), discriminator="kind")
    """From an image to features."""
    fpn: FPNSpec = FPNSpec()
    """Feature pyramid."""
    neck: NeckSpec | ConvolutionNeckSpec | CustomNeckSpec | None = Field(default=None, discriminator="kind")
    """Neck between pyramid and RPN; null for none."""
    rpn: RPNSpec = RPNSpec()
    """Region proposal network."""
    roi: RoISpec = RoISpec()
    """RoI features."""
    box_head: BoxHeadSpec | CustomBoxHeadSpec = Field(default=BoxHeadSpec(), discriminator="kind")
    """Box head."""
    track_head: TrackHeadSpec | CustomTrackHeadSpec = Field(default=TrackHeadSpec(), discriminator="kind")
    """Track head."""
    mask_head: MaskHeadSpec | CustomMaskHeadSpec = Field(default=MaskHeadSpec(), discriminator="kind")
    """Mask head."""
    propagation: PropagationSpec | CustomPropagationSpec | None = Field(default=PropagationSpec(), discriminator="kind")
    """Propagation head; null for plain MaskTrack R-CNN."""

    @model_validator(mode="after")
    def _neck_levels_exist(self) -> Self:
        if isinstance(self.neck, NeckSpec | ConvolutionNeckSpec):
            beyond = [level for level in self.neck.levels if level >= self.fpn.num_levels]
            if beyond:
                raise ValueError(
                    f"neck.levels names level {beyond[0]} but fpn.num_levels is {self.fpn.num_levels} "
                    f"(levels 0..{self.fpn.num_levels - 1}); drop the level or add a pyramid level"
                )
        return self
