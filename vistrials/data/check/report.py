"""What a check of a data set found."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vistrials.formats.findings import Finding, Severity

NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of fault.

    Attributes:
        severity: error (cannot be used, or contradicts itself) or warning (unusual, or left out in training).
        kind: what is wrong, in a few words.
        count: how often.
        examples: the first of them.
    """

    severity: Severity
    kind: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a check; errors come before warnings.

    Attributes:
        annotations: the file.
        num_videos, num_frames, num_categories, num_tracks, num_masks: what it holds.
        num_frames_read: frames decoded (0 where frames were not looked at; a file counts once).
        category_names: in the order of the file.
        frames_by_video: where the frames of each video lie, by the video's id.
        prints_by_video: digests of some of its frames (see `frames.prints_of`), by the video's id.
        problems: what is wrong.
    """

    annotations: Path
    num_videos: int
    num_frames: int
    num_categories: int
    num_tracks: int
    num_masks: int
    num_frames_read: int
    category_names: tuple[str, ...]
    frames_by_video: dict[int, frozenset[str]]
    prints_by_video: dict[int, frozenset[bytes]]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(problem.severity != "error" for problem in self.problems)


@dataclass(slots=True)
class Findings:
    """Collects faults by kind."""

    _counts: dict[tuple[Severity, str], int] = field(default_factory=dict)
    _examples: dict[tuple[Severity, str], list[str]] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        """Note what was found."""
        for finding in findings:
            key = (finding.severity, finding.kind)
            self._counts[key] = self._counts.get(key, 0) + 1
            examples = self._examples.setdefault(key, [])
            if len(examples) < NUM_EXAMPLES:
                examples.append(str(finding))

    def problems(self) -> tuple[Problem, ...]:
        """All kinds, errors first, otherwise in the order of their first example."""
        return tuple(self._select("error")) + tuple(self._select("warning"))

    def _select(self, severity: Severity) -> Iterator[Problem]:
        for key, count in self._counts.items():
            if key[0] == severity:
                yield Problem(severity, key[1], count, tuple(self._examples[key]))
