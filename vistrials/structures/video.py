"""Annotated videos, as the data package reads them and everything else sees them. No torch here."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Category:
    """An object category of a data set; ids need not be contiguous."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class AnnotatedTrack:
    """One object through one video; every list has one entry per frame, None where it is absent.

    Segmentations stay as the file has them (compressed or uncompressed RLE, polygons), decoded when asked for.
    """

    id: int
    category_id: int
    is_crowd: bool
    bboxes: list[list[float] | None]  # x, y, w, h in pixels
    areas: list[float | None]
    segmentations: list[Any]


@dataclass(frozen=True, slots=True)
class Video:
    """One video; file names start from the data set's frame folder."""

    id: int
    height: int
    width: int
    file_names: tuple[str, ...]
    tracks: tuple[AnnotatedTrack, ...]

    def __len__(self) -> int:
        return len(self.file_names)


@dataclass(frozen=True)
class VideoSet:
    """A split: its videos, its categories in file order, and where the frames lie.

    A *label* is a category's 1-based position in `categories`; 0 is background. `notes` say in one line for each kind
    what of the files was read otherwise than it is written.
    """

    categories: tuple[Category, ...]
    videos: tuple[Video, ...]
    frames_dir: Path
    notes: tuple[str, ...] = ()

    @cached_property
    def label_by_category_id(self) -> dict[int, int]:
        """Category id -> label (1..K)."""
        return {category.id: label for label, category in enumerate(self.categories, start=1)}

    @property
    def num_categories(self) -> int:
        """K, without background."""
        return len(self.categories)
