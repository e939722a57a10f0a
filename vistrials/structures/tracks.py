"""Predicted tracks, the rows of predictions.json. No torch here."""

from dataclasses import dataclass
from typing import Any

SMALL_PX, LARGE_PX = 128, 256
"""Sides in pixels of squares: a track of at most that mean area is small, or of the other medium; above it is large."""


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One predicted object of one video.

    segmentations: per frame a compressed RLE {"size": [h, w], "counts": str} at the video's resolution, or None.
    """

    video_id: int
    category_id: int
    score: float
    segmentations: list[dict[str, Any] | None]

    def to_json(self) -> dict[str, Any]:
        """The row in the form that YouTube-VIS servers read."""
        return {
            "video_id": self.video_id,
            "category_id": self.category_id,
            "score": self.score,
            "segmentations": self.segmentations,
        }
