"""Video files as the frames of a converted video: extracted once, into the data set's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vistrials.data.convert.notes import Notes
from vistrials.errors import DataError

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")

# Videos are lossy already; at this quality a further loss is not seen, in a tenth of PNG's size.
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class VideoFile:
    """Some or all frames of a video file.

    numbers: which ones, ascending, from 0 in the order in which they are shown; None for every `step`-th.
    """

    path: Path
    numbers: Sequence[int] | None = None
    step: int = 1
    notes: Notes | None = None

    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright.

        Raises:
            DataError: it is no video, or none that can be decoded.
        """
        from vistrials.video_files.reading import open_frames

        with open_frames(self.path) as reader:
            return reader.info.height, reader.info.width

    def extract(self, folder: Path) -> list[str]:
        """Write the frames as JPEG into a folder; returns their names, which are their numbers.

        Raises:
            DataError: the video is broken, or ends before the last number.
        """
        from vistrials.video_files.reading import open_frames

        wanted, names, count = None if self.numbers is None else set(self.numbers), [], 0
        with open_frames(self.path) as reader:
            for number, frame in enumerate(reader):
                count = number + 1
                is_wanted = number % self.step == 0 if wanted is None else number in wanted
                if is_wanted:
                    names.append(f"{number:05d}.jpg")
                    Image.fromarray(frame.pixels).save(folder / names[-1], quality=_QUALITY)
                if wanted is not None and len(names) == len(wanted):
                    break
            faults = reader.faults
        if wanted is not None and len(names) < len(wanted):
            raise DataError(
                f"{self.path}: {count} frames, while annotations are of frame {max(wanted)} (counted from 0); "
                "expected the video that was annotated"
            )
        if faults.cut_short:
            raise DataError(
                f"{self.path}: the video breaks off after {count} frames ({faults.cut_short}); copy it again"
            )
        if self.notes is not None:
            what = "frames of video files are damaged; another frame, or what could be saved, stands for each"
            self.notes.add(what, self.path, faults.num_damaged)
            self.notes.add("frames of video files had another size and were scaled", self.path, faults.num_rescaled)
        return names


def videos_in(folder: Path) -> list[Path]:
    """The video files directly in a folder, by name."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    )
