"""Everything that can be wrong with an annotation file and its frames, found in one pass."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from vistrials.data.check.annotations import count_masks, find_contradictions
from vistrials.data.check.frames import Look, are_copies, dark_frames, look_at_frame, prints_of
from vistrials.data.check.report import Findings, Problem, Report
from vistrials.data.frame_files import FOUND_OTHERWISE, FoundFrame, FrameFinder
from vistrials.formats.annotation_faults import (
    NO_ANNOTATIONS,
    Record,
    find_faults,
    num_frames_of,
    records,
    size_of,
    with_whole_numbers,
)
from vistrials.formats.annotations import category_name
from vistrials.formats.file_kinds import describe_kind
from vistrials.formats.findings import Finding, error, warning
from vistrials.formats.json_file import load_json
from vistrials.machine import num_cores

__all__ = ["Problem", "Report", "check_dataset"]

Progress = Callable[[int, int], None]

_FRAMES_AT_ONCE = 256


def check_dataset(
    annotations: Path,
    frames_dir: Path | None,
    require_annotations: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Check an annotation file and, unless `frames_dir` is None, decode every frame that it names.

    Args:
        annotations: .json or .json.gz in YouTube-VIS form.
        frames_dir: folder that its file names start from.
        require_annotations: False accepts a file without tracks (official validation sets).
        progress: called as progress(frames done, frames in all).

    Returns:
        The faults by kind, each with a count and up to three examples.

    Raises:
        DataError: the file is missing or is no JSON.
    """
    document = with_whole_numbers(load_json(annotations))
    findings = Findings()
    if kind := describe_kind(document):
        findings.add([error("not a YouTube-VIS file", "", kind)])
    for finding in find_faults(document, needs_annotations=require_annotations):
        cure = "; --no-annotations accepts it" if finding.kind == "no annotations" else ""
        findings.add([replace(finding, what=finding.what + cure)])
    findings.add(find_contradictions(document))
    if require_annotations and isinstance(document, dict) and document.get("annotations") == []:
        findings.add([error("cannot be loaded", "", f"the file: {NO_ANNOTATIONS}; --no-annotations accepts it")])
    videos = [video for video in records(document, "videos") if _has_frames(video)]
    prints: dict[int, frozenset[bytes]] = {}
    num_frames_read = 0
    if frames_dir is not None and not Path(frames_dir).is_dir():
        findings.add([error("frame folder missing", "", str(frames_dir))])
    elif frames_dir is not None:
        finder = FrameFinder(Path(frames_dir))
        lies = {name: finder.find(name) for video in videos for name in video["file_names"]}
        prints = {v["id"]: prints_of([Path(frames_dir) / lies[name].name for name in v["file_names"]]) for v in videos}
        findings.add(_copies(videos, prints))
        num_frames_read = _check_frames(videos, Path(frames_dir), lies, findings, progress)
    return Report(
        annotations=Path(annotations),
        num_videos=_count(document, "videos"),
        num_frames=sum(len(video["file_names"]) for video in videos),
        num_categories=_count(document, "categories"),
        num_tracks=_count(document, "annotations"),
        num_masks=count_masks(document),
        num_frames_read=num_frames_read,
        category_names=tuple(category_name(record) for record in records(document, "categories")),
        frames_by_video={
            video["id"]: frozenset(str(Path(frames_dir or "") / name) for name in video["file_names"])
            for video in videos
        },
        prints_by_video=prints,
        problems=findings.problems(),
    )


def _copies(videos: list[Record], prints: dict[int, frozenset[bytes]]) -> Iterator[Finding]:
    """Videos that are copies of an earlier one under other file names."""
    owners: dict[bytes, list[Record]] = {}
    for video in videos:
        names = set(video["file_names"])
        for other in [other for key in prints[video["id"]] for other in owners.get(key, ())]:
            earlier = other["id"]
            if are_copies(prints[video["id"]], prints[earlier]) and names.isdisjoint(other["file_names"]):
                yield warning(
                    "videos that are copies",
                    f"video {video['id']}",
                    f"frames equal video {earlier}'s; they count twice",
                )
                break
        else:
            for key in prints[video["id"]]:
                owners.setdefault(key, []).append(video)


def _has_frames(video: Record) -> bool:
    """Whether a video's record says what its frames are: their names and their size."""
    names = video.get("file_names")
    return (
        size_of(video) is not None
        and num_frames_of(video) is not None
        and isinstance(names, list)
        and bool(names and all(isinstance(name, str) and name for name in names))
    )


def _count(document: Any, key: str) -> int:
    records = document.get(key) if isinstance(document, dict) else None
    return len(records) if isinstance(records, list) else 0


def _check_frames(
    videos: list[Record],
    frames_dir: Path,
    lies: Mapping[str, FoundFrame],
    findings: Findings,
    progress: Progress | None,
) -> int:
    """Decode every frame file once; returns their number."""
    frames: dict[tuple[str, tuple[int, int]], str] = {}
    for video in videos:
        for index, name in enumerate(video["file_names"]):
            # Videos may share files, but then must agree on the size.
            frames.setdefault((name, (video["height"], video["width"])), f"video {video['id']}, frame {index}")
    todo = [(where, name, lies[name], size) for (name, size), where in frames.items()]
    findings.add(
        warning(FOUND_OTHERWISE, where, f"{name} is {found.name}")
        for where, name, found, _ in todo
        if found.name != name
    )
    findings.add(
        error("missing frame", where, f"{frames_dir / name}; {found.missing}")
        for where, name, found, _ in todo
        if found.missing is not None
    )
    there = [(where, frames_dir / found.name, size) for where, _, found, size in todo if found.missing is None]
    left, done = iter(there), 0
    looks: list[Look] = []
    with ThreadPoolExecutor(max_workers=min(8, num_cores())) as pool:
        while some := list(islice(left, _FRAMES_AT_ONCE)):
            for look in pool.map(lambda item: look_at_frame(item[1], item[2], item[0]), some):
                findings.add(look.findings)
                if look.largest is not None:
                    looks.append(look)
            done += len(some)
            if progress is not None:
                progress(done, len(there))
    findings.add(dark_frames(looks))
    return done
