"""What a run works on: its spec, data, folder, devices, and who hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vistrials.data.frame_files import locate_frames
from vistrials.data.sources import ResolvedSplit, resolve_split
from vistrials.engine.reporting import Reporter
from vistrials.errors import DataError
from vistrials.formats.annotations import load_video_set
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import update_provenance
from vistrials.specs.data import DataSpec
from vistrials.specs.trial import TrialSpec
from vistrials.structures.video import VideoSet


class Splits:
    """The splits of a data set, each found and read once however many stages and trials use it."""

    def __init__(self, data: DataSpec, reporter: Reporter) -> None:
        self._data, self._reporter = data, reporter
        self._loaded: dict[str, tuple[ResolvedSplit, VideoSet]] = {}
        self._missing: dict[str, str | None] = {}

    def load(self, split: str) -> tuple[ResolvedSplit, VideoSet]:
        """Where a split lies, and its videos; only the training split needs annotations."""
        if split not in self._loaded:
            found = resolve_split(self._data, split, self._show_drawing)
            read = load_video_set(found.annotations, found.frames_dir, require_annotations=split == "train")
            videos, self._missing[split] = locate_frames(read)
            for note in videos.notes:
                self._reporter.warning(f"{found.annotations}: {note}")
            self._loaded[split] = found, videos
        return self._loaded[split]

    def require_frames(self, split: str) -> None:
        """Refuse a split of which a frame is missing, before hours of work come to it."""
        found, _ = self.load(split)
        if missing := self._missing[split]:
            raise DataError(f"{found.annotations}: {missing}; `vistrials data check` finds all that is wrong")

    def _show_drawing(self, done: int, total: int) -> None:
        if done == 1:
            self._reporter.stage("draw the embedded videos", total)
        self._reporter.advance(1)


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, and where and how; a trial to start from has the same data."""

    spec: TrialSpec
    splits: Splits
    directory: RunDirectory
    device: torch.device
    num_devices: int
    overrides: tuple[str, ...]
    starts: Mapping[str, TrialSpec]
    reporter: Reporter

    @property
    def seed(self) -> int:
        return self.directory.seed


def prepare(job: Job) -> None:
    """Begin the folder of the run and its record, where they are not there yet."""
    job.directory.remove_leftovers()
    job.directory.prepare(job.spec)
    if not job.directory.provenance.exists():
        update_provenance(
            job.directory.provenance,
            trial=job.spec.name,
            profile=job.spec.profile,
            seed=job.seed,
            overrides=list(job.overrides),
        )


def check_categories(expected: list[str], found: list[str], annotations: Path) -> None:
    """A label means the same in the data that trained the weights and in the data to predict."""
    if found != expected:
        first = next((pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), None)
        detail = f"{first[0]!r} was trained where {first[1]!r} is listed" if first else "the others agree"
        raise DataError(
            f"{annotations}: expected the {len(expected)} categories of the training data in their order, "
            f"found {len(found)}: {detail}"
        )


def gpu_memory(device: torch.device) -> dict[str, Any]:
    """Peak of the stage, which must have reset the device's statistics when it began."""
    if device.type != "cuda":
        return {}
    return {"peak_gpu_memory_mib": round(torch.cuda.max_memory_allocated(device) / 2**20)}
