"""Detection and association at test time."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from vistrials.specs.base import Fraction, Spec


class AssociationSpec(Spec):
    """Weights of the cues that join a detection to an object in memory."""

    match_scale: PositiveFloat = 1.0
    """Factor on the cosines before their softmax (published 1, under which the softmax is nearly flat)."""
    score_weight: NonNegativeFloat = 1.0
    """On the log of the detection score."""
    iou_weight: NonNegativeFloat = 2.0
    """On the box IoU."""
    label_weight: NonNegativeFloat = 10.0
    """On equal labels."""


class InferenceSpec(Spec):
    """From network outputs to tracks."""

    score_threshold: Fraction = 0.001
    """Detections at or below are dropped."""
    nms_iou: Fraction = 0.5
    """Suppress above this IoU, class by class."""
    max_detections: PositiveInt = 100
    """Per frame."""
    mask_threshold: Fraction = 0.5
    """Mask probability above which a pixel belongs to the object."""
    association: AssociationSpec = AssociationSpec()
    """Tracking."""
    frames_per_batch: PositiveInt = 1
    """Frames of a video that go through the network together; results differ by rounding, a GPU is used better."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the network, boxes and tracking apart; 16-mixed needs a GPU, bf16-mixed is slow on many CPUs."""
    min_track_frames: PositiveInt = 2
    """Shorter tracks are dropped."""
    category_id_is_label: bool = False
    """Released accident: predictions carry the label (1..K) in the place of the data set's own category id."""
