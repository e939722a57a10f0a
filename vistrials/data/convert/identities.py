"""Whether the tracks of a conversion can be what the annotators meant: identities that a file invents are refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError

MIN_SINGLE_TRACKS = 4
"""So many tracks of one frame each, and more than half of all, are no accident."""

MIN_JUMPS = 3
"""So many steps to another object's place, and more than half of all, are no accident."""

SAME_PLACE_IOU = 0.25
"""Between frames, of an object that moves by a third of its size."""

Bbox = Sequence[float]  # x, y, w, h in pixels


@dataclass(slots=True)
class Identities:
    """Counts over the videos of a conversion what tells of invented identities."""

    _num_tracks: int = 0
    _num_single: int = 0
    _first_single: str = ""
    _num_steps: int = 0
    _num_jumps: int = 0
    _first_jump: str = ""

    def add(self, video: str, tracks: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Look at one video.

        Args:
            video: its name.
            tracks: category id and YouTube-VIS record (bboxes per frame, None where absent) of each; crowds are not
                looked at.
        """
        boxes = [(category, record["bboxes"]) for category, record in tracks if not record["iscrowd"]]
        visible = [[frame for frame, box in enumerate(of_track) if box is not None] for _, of_track in boxes]
        if len({frame for frames in visible for frame in frames}) < 2:
            return
        single = [frames[0] for frames in visible if len(frames) == 1]
        self._num_tracks += len(boxes)
        self._num_single += len(single)
        if single and not self._first_single:
            self._first_single = f"video {video}, frame {single[0]}"
        by_category: dict[int, list[Sequence[Bbox | None]]] = {}
        for category, of_track in boxes:
            by_category.setdefault(category, []).append(of_track)
        for alike in by_category.values():
            if len(alike) > 1:
                self._look_for_jumps(video, alike)

    def check(self, origin: object, notes: Notes, *, trusted: bool = False) -> None:
        """Refuse invented identities, count what may be one.

        Args:
            origin: file or folder, for messages.
            notes: counts what is not refused.
            trusted: the user says that the identities are right; counts all.

        Raises:
            DataError: most tracks have one frame, or most steps lead to another object's place.
        """
        many, most = self._num_single >= MIN_SINGLE_TRACKS, 2 * self._num_single > self._num_tracks
        if many and most and not trusted:
            raise DataError(
                f"{origin}: {self._num_single} of {self._num_tracks} tracks have one frame only (first: "
                f"{self._first_single}), as where ids count annotations or frames rather than objects; give an object "
                "the same id in all its frames, or take them as they are with --trust-identities"
            )
        if self._num_jumps >= MIN_JUMPS and 2 * self._num_jumps > self._num_steps and not trusted:
            raise DataError(
                f"{origin}: in {self._num_jumps} of {self._num_steps} steps from frame to frame an id moves to where "
                f"another object of its category was (first: {self._first_jump}), as where ids are counted anew in "
                "every frame; give an object the same id in all its frames, or take them as they are with "
                "--trust-identities"
            )
        if many or most:
            notes.add("tracks have one frame only", self._first_single, self._num_single)
        notes.add(
            "times a track moved to where another object of its category was a frame before",
            self._first_jump,
            self._num_jumps,
        )

    def _look_for_jumps(self, video: str, tracks: Sequence[Sequence[Bbox | None]]) -> None:
        """Steps of a track, from one frame to the next, beside another of its category."""
        for before, after in zip(range(len(tracks[0])), range(1, len(tracks[0])), strict=False):
            old, new = [track[before] for track in tracks], [track[after] for track in tracks]
            for place, (mine, now) in enumerate(zip(old, new, strict=True)):
                others = [box for other, box in enumerate(new) if box is not None and other != place]
                if mine is None or now is None or not others:
                    continue
                self._num_steps += 1
                # Boxes that no longer touch, while another is where this one was.
                if _iou(mine, now) == 0 and any(_iou(mine, box) >= SAME_PLACE_IOU for box in others):
                    self._num_jumps += 1
                    self._first_jump = self._first_jump or f"video {video}, frame {after}"


def _iou(a: Bbox, b: Bbox) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)
