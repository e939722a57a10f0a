"""Where videos come from and how they become training samples."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from vistrials.specs.base import Fraction, PlainName, Spec
from vistrials.specs.truths import Truth

MAX_REFERENCES = 7
"""Of a key frame: a clip of 8 frames, as short as the videos that are drawn."""


class SyntheticSource(Spec):
    """The embedded synthetic data set, generated once and cached."""

    kind: Literal["synthetic"] = "synthetic"
    """Embedded data."""
    seed: int = 0
    """Seed of the generator."""
    train: tuple[PositiveInt, PositiveInt] = (400, 8)
    """Videos and frames per video of the training split."""
    minival: tuple[PositiveInt, PositiveInt] = (60, 16)
    """Videos and frames per video of the split that scores."""
    occlusion: tuple[PositiveInt, PositiveInt] = (30, 20)
    """Videos and frames per video of the split with long occlusions."""
    gaps: tuple[PositiveInt, PositiveInt] = (300, 20)
    """Videos and frames per video of the split whose objects stay in sight while detection fails."""
    crossing: tuple[PositiveInt, PositiveInt] = (100, 16)
    """Videos and frames per video of the split in which objects of one category cross."""

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Videos and frames per video, by split."""
        return {split: getattr(self, split) for split in ("train", "minival", "occlusion", "gaps", "crossing")}


class FileSource(Spec):
    """A data set in YouTube-VIS form.

    Each field lists candidates below the root; of annotations the first that exists is taken, of frame
    folders the one that holds the first frame.
    """

    kind: Literal["files"] = "files"
    """Files on disk."""
    root: str | None = None
    """Folder of the data set; `--data DIR` sets it."""
    train_annotations: tuple[str, ...] = (
        "minitrain.json",
        "train/minitrain.json",
        "annotations/minitrain.json",
        "train.json",
        "train.json.gz",
        "train/instances.json",
        "annotations/train.json",
    )
    """Annotations to train on; what `vistrials data split` wrote comes first, to keep minival out."""
    train_frames: tuple[str, ...] = ("train/JPEGImages", "JPEGImages", "train")
    """Folder that the file names of the training annotations start from."""
    valid_annotations: tuple[str, ...] = (
        "minival.json",
        "train/minival.json",
        "annotations/minival.json",
        "valid.json",
        "valid.json.gz",
        "valid/instances.json",
    )
    """Annotations to score on; the official validation sets have none, so minival comes first."""
    valid_frames: tuple[str, ...] = ("valid/JPEGImages", "train/JPEGImages", "JPEGImages", "valid")
    """Folder that the file names of the validation annotations start from."""


class AugmentationSpec(Spec):
    """Random changes of training samples beyond the flip, alike in all frames; the published settings have none."""

    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1.0)
    """Least and greatest factor by which a sample is zoomed, then cut or padded at a random place."""
    color: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation change by factors within 1 ± this."""
    copy_paste: Fraction = 0.0
    """Probability that instances of another sample are pasted over a sample, zoomed, mirrored and shifted."""

    @model_validator(mode="after")
    def _least_first(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is (least, greatest); found least {self.scale[0]} above greatest {self.scale[1]}")
        return self


class DataSpec(Spec):
    """Data set, training samples and transform."""

    source: SyntheticSource | FileSource = Field(default=FileSource(), discriminator="kind")
    """Data set."""
    splits: tuple[PlainName, ...] = ("valid",)
    """Splits that a run infers and evaluates; the first is the one that tables show."""
    truths: tuple[Truth, ...] = ("visible",)
    """What predictions are scored against: visible masks, and amodal ones where a file of them lies beside."""
    image_size_px: tuple[PositiveInt, PositiveInt] = (640, 360)
    """Long and short edge that a frame is fitted into."""
    flip_probability: Fraction = 0.5
    """Horizontal flip of all frames of a sample in training."""
    augmentation: AugmentationSpec | None = None
    """Further random changes of training samples, for small data sets; null for none."""
    sampling: str = "random"
    """Reference frames: random (any other), ordered (nearest earlier), window:K, widening:K (windows 1 to K)."""
    num_references: Annotated[int, Field(ge=1, le=MAX_REFERENCES)] = 1
    """Reference frames of a key frame, distinct where the video has enough; the published settings have 1."""
    batching: Literal["orientation", "video_chunks"] = "orientation"
    """Shuffled frames of one orientation, or consecutive frames of one video (released, in one process)."""

    @field_validator("sampling")
    @classmethod
    def _known_sampling(cls, value: str) -> str:
        if value in ("random", "ordered") or re.fullmatch(r"(window|widening):[1-9]\d*", value):
            return value
        raise ValueError(f"expected random, ordered, window:K or widening:K with K of at least 1, found {value!r}")

    @model_validator(mode="after")
    def _references_fit_into_window(self) -> Self:
        kind, _, reach = self.sampling.partition(":")
        if reach and self.num_references > 2 * int(reach):
            raise ValueError(
                f"num_references is {self.num_references}, but at most {2 * int(reach)} lie within {reach} frames of a "
                f"key frame (sampling {self.sampling}); lower it or raise {kind}:K"
            )
        return self

    @model_validator(mode="after")
    def _long_edge_first(self) -> Self:
        long_px, short_px = self.image_size_px
        if long_px < short_px:
            raise ValueError(f"image_size_px is (long, short); found long {long_px} below short {short_px}")
        if not self.splits:
            raise ValueError("splits is empty: name at least one split to score on")
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"splits names one twice: {', '.join(self.splits)}")
        if self.truths[:1] != ("visible",) or len(set(self.truths)) < len(self.truths):
            raise ValueError(f"expected truths [visible] or [visible, amodal], found [{', '.join(self.truths)}]")
        return self
