"""Finished runs of several machines -> one results folder."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vistrials.errors import RunError
from vistrials.formats.files import check_folder, sha256_of
from vistrials.reports.run_states import State, find_run_states
from vistrials.runs.directory import RunDirectory
from vistrials.runs.seed_plan import seed_plan_file

_UNDER_WAY = ".collecting"
"""Folder for copies that are not whole yet, within the results, so that a rename makes them appear at once."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What was gathered: folders of runs below the results, duplicates with their place, and what stays behind, why."""

    copied: tuple[str, ...]
    duplicates: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    """A run, or the plan of a profile: where it lies, where it goes, and a digest of what came out."""

    source: Path
    place: str
    digest: str


@dataclass(slots=True)
class _Gathered:
    items: dict[str, _Item] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def collect(
    sources: Sequence[Path | str],
    results_dir: Path | str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Copy finished runs, and plans by which seeds were added, of several results folders into one.

    Runs of one name are the same where all that came out is, byte for byte: settings, weights, predictions, figures;
    times do not count. Each run appears whole, by a rename; stopped, the same call goes on with those that are missing.

    Args:
        sources: results folders.
        results_dir: the folder to gather in, made if need be; runs that are there stay.
        progress: called with runs done, and in all.

    Raises:
        RunError: a source is no results folder, or two different runs have one name; nothing is copied then.
        DataError: the folder to gather in cannot be written.
    """
    results = Path(results_dir)
    check_folder(results)
    gathered = _Gathered()
    there = {item.place: item for item in _items(results, gathered.left_out)} if results.is_dir() else {}
    gathered.left_out.clear()  # what is unfinished in the results themselves is not asked about
    for source in map(Path, sources):
        _check_source(source, results)
        for item in _items(source, gathered.left_out):
            other = there.get(item.place) or gathered.items.get(item.place)
            if other is None and (results / item.place).exists():
                raise RunError(
                    f"{results / item.place}: not finished, but {item.source} is; delete the former or finish it first"
                )
            if other is None:
                gathered.items[item.place] = item
            elif other.digest == item.digest:
                gathered.duplicates.append(f"{item.source} is the same as {other.source}")
            else:
                raise RunError(
                    f"{item.source} and {other.source}: two different runs of one name ({_difference(item, other)}); "
                    "nothing is copied; give one of them another seed or trial name, or leave out its folder"
                )
    _copy_all(list(gathered.items.values()), results, progress)
    return Collection(tuple(gathered.items), tuple(gathered.duplicates), tuple(gathered.left_out))


def _check_source(source: Path, results: Path) -> None:
    if not source.is_dir():
        raise RunError(f"{source}: no such folder; expected a results folder, of <profile>/<trial>/seed<N>")
    if source.resolve() == results.resolve():
        raise RunError(f"{source}: is the folder to gather in; leave it out")
    if not find_run_states(source):
        raise RunError(f"{source}: found no runs, expected a results folder, of <profile>/<trial>/seed<N>")


def _items(folder: Path, left_out: list[str]) -> Iterator[_Item]:
    """What is to be copied from a results folder; of what stays behind a line each goes to `left_out`."""
    profiles: dict[str, None] = {}
    for state in find_run_states(folder):
        place = f"{state.profile}/{state.trial}/seed{state.seed}"
        profiles[state.profile] = None
        if state.state is State.DONE:
            yield _Item(folder / place, place, _digest(folder / place))
        else:
            left_out.append(f"{folder / place} is {state.state}" + (f": {state.reason}" if state.reason else ""))
    for profile in profiles:
        plan = seed_plan_file(folder, profile)
        if plan.exists():
            yield _Item(plan, str(plan.relative_to(folder)), sha256_of(plan))


def _digest(folder: Path) -> str:
    digests = [f"{name} {sha256_of(folder / name)}" for name in _outcome(folder)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _outcome(folder: Path) -> list[str]:
    """Names of the files of a run that hold what came out, and not when and where."""
    directory, _ = RunDirectory.find(folder)
    by_time = {directory.provenance, directory.losses, directory.log}
    files = [path for path in directory.path.rglob("*") if path.is_file() and path not in by_time]
    names = [path.relative_to(directory.path) for path in files if directory.tensorboard not in path.parents]
    return sorted(str(name) for name in names if not name.name.startswith("."))


def _difference(item: _Item, other: _Item) -> str:
    """The first file that differs, or that only one has."""
    if item.source.is_file():
        return f"another {item.source.name}"
    names, others = _outcome(item.source), _outcome(other.source)
    for name in sorted({*names, *others}):
        if name not in names or name not in others:
            return f"only one has {name}"
        if sha256_of(item.source / name) != sha256_of(other.source / name):
            return f"another {name}"
    raise RunError(f"{item.source}: changes while it is looked at; wait until it is finished")


def _copy_all(items: Sequence[_Item], results: Path, progress: Callable[[int, int], None]) -> None:
    under_way = results / _UNDER_WAY
    shutil.rmtree(under_way, ignore_errors=True)  # of a call that was killed
    try:
        for number, item in enumerate(items):
            progress(number, len(items))
            copy = under_way / item.place
            copy.parent.mkdir(parents=True, exist_ok=True)
            if item.source.is_dir():
                shutil.copytree(item.source, copy, ignore=shutil.ignore_patterns(".*"))
            else:
                shutil.copy2(item.source, copy)
            found = _digest(copy) if copy.is_dir() else sha256_of(copy)
            if found != item.digest:
                raise RunError(
                    f"{item.source}: has changed while it was copied; collect again when nothing writes there"
                )
            (results / item.place).parent.mkdir(parents=True, exist_ok=True)
            os.rename(copy, results / item.place)
        progress(len(items), len(items))
    finally:
        shutil.rmtree(under_way, ignore_errors=True)
