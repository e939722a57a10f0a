"""Ways to disturb a run. Each tries again and again, and says of each try what was lost, if anything.

To add one, write a generator of that kind and name it in SCENARIOS.
"""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.chaos.crash_points import CrashPoints
from tests.chaos.processes import Ended
from tests.chaos.tiny_study import TinyStudy

Scenario = Callable[[TinyStudy, Random], Iterator[str | None]]
"""Of a study and random numbers: for each try None, or a line on what was lost."""

_MAX_KILLS = 4
_SLOWEST_SECONDS = 3.0
"""Random kills come within so many seconds of a start: about what a run takes."""

_SIZE_LIMITS = (200, 1_000, 20_000, 900_000, 2_000_000)
"""Bytes to which files can grow where the disk is full: of a checkpoint, weights, and of everything."""

_REFUSED = 2


def crash_points(study: TinyStudy, random: Random) -> Iterator[str | None]:
    """Kills at each change on disk, once, in random order."""
    points = list(range(len(study.points)))
    random.shuffle(points)
    yield from map(study.crash_at, points)


def random_kills(number: int) -> Scenario:
    """Up to four signals of this number in the life of a run, at random times."""

    def tries(study: TinyStudy, random: Random) -> Iterator[str | None]:
        while True:
            study.forget("killed")
            ended = [_run_and_kill(study, number, random) for _ in range(random.randint(1, _MAX_KILLS))]
            dirty = next((end for end in ended if not end.is_clean), None)
            problem = study.finish("killed")
            yield problem if dirty is None else f"exit code {dirty.code}: {dirty.output.strip()}"

    return tries


def damaged_checkpoints(study: TinyStudy, random: Random) -> Iterator[str | None]:
    """A training that was broken off goes on although its last checkpoint was damaged meanwhile."""
    saved = [number for number, point in enumerate(study.points) if point.startswith("replace .checkpoint.pt")]
    while True:
        study.forget("damaged")
        # After the second checkpoint, so that there is one before it.
        points = CrashPoints(study.results("damaged"), kill_at=random.choice(saved[1:]) + 1)
        study.run("damaged", prepare=points.install)
        damage(study.run_folder("damaged") / "checkpoint.pt", random)
        yield study.finish("damaged")


def damaged_files(study: TinyStudy, random: Random) -> Iterator[str | None]:
    """A file of a run, finished or not, is damaged: the run mends it or refuses in a line, and --force redoes it."""
    while True:
        study.forget("spoilt")
        points = CrashPoints(
            study.results("spoilt"), kill_at=random.randrange(len(study.points) // 3, len(study.points))
        )
        study.run("spoilt", prepare=points.install)
        files = [path for path in study.run_folder("spoilt").iterdir() if path.is_file() and path.name != ".lock"]
        spoilt = random.choice(sorted(files))
        what = damage(spoilt, random)
        ended = study.run("spoilt")
        if ended.code not in (0, _REFUSED) or not ended.is_clean:
            yield f"{spoilt.name} {what}: exit code {ended.code}: {ended.output.strip()}"
        elif ended.code == _REFUSED and spoilt.name not in ended.output and "another spec" not in ended.output:
            yield f"{spoilt.name} {what}: refused without naming it: {ended.output.strip()}"
        else:
            problem = study.finish("spoilt", "--force")
            yield f"{spoilt.name} {what}: {problem}" if problem else None


def full_disk(study: TinyStudy, random: Random) -> Iterator[str | None]:
    """No file can grow beyond a limit, in the middle of a run as at its beginning."""
    while True:
        study.forget("full")
        limit = random.choice(_SIZE_LIMITS)
        if random.random() < 0.5:
            points = CrashPoints(study.results("full"), kill_at=random.randrange(len(study.points)))
            study.run("full", prepare=points.install)
        ended = study.run("full", prepare=lambda limit=limit: _limit_files(limit))
        problem = study.finish("full")
        if not ended.is_clean or ended.code not in (0, _REFUSED):
            yield f"{limit} bytes: exit code {ended.code}: {ended.output.strip()}"
        else:
            yield f"{limit} bytes: {problem}" if problem else None


def killed_workers(study: TinyStudy, random: Random) -> Iterator[str | None]:
    """A process that loads data or predicts is killed, as the kernel does where memory ends."""
    folder = study.folder / "with_workers"
    folder.mkdir()
    study = TinyStudy(folder, {"train": {"num_workers": 2}})
    while True:
        study.forget("workers")
        killed: list[int] = []
        ended = study.run(
            "workers", meanwhile=lambda pid, killed=killed: _in_thread(_kill_a_child, pid, random, killed)
        )
        problem = study.finish("workers")
        if not ended.is_clean or (ended.code != 0 and not killed):
            yield f"exit code {ended.code}: {ended.output.strip()}"
        else:
            yield problem


SCENARIOS: dict[str, Scenario] = {
    "SIGKILL at each change on disk": crash_points,
    "SIGKILL at random times": random_kills(signal.SIGKILL),
    "SIGTERM at random times": random_kills(signal.SIGTERM),
    "SIGINT at random times": random_kills(signal.SIGINT),
    "damaged last checkpoint": damaged_checkpoints,
    "damaged file of a run": damaged_files,
    "full disk": full_disk,
    "killed worker": killed_workers,
}


def damage(path: Path, random: Random) -> str:
    """Damage a file in a random way; which one, in a word."""
    whole = path.read_bytes()
    what = random.choice(["flipped", "cut", "emptied", "garbled", "deleted"])
    place = random.randrange(len(whole)) if whole else 0
    match what:
        case "flipped" if whole:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << random.randrange(8)]) + whole[place + 1 :])
        case "cut":
            os.truncate(path, place)
        case "garbled":
            path.write_bytes(whole[:place] + random.randbytes(64) + whole[place + 64 :])
        case "deleted":
            path.unlink()
        case _:
            path.write_bytes(b"")
    return what


def _run_and_kill(study: TinyStudy, number: int, random: Random) -> Ended:
    seconds = random.uniform(0, _SLOWEST_SECONDS)

    def kill(pid: int) -> None:
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    return study.run("killed", meanwhile=lambda pid: _in_thread(kill, pid))


def _in_thread(function: Callable[..., object], *args: object) -> None:
    threading.Thread(target=function, args=args, daemon=True).start()


def _kill_a_child(pid: int, random: Random, killed: list[int]) -> None:
    """Kill one of the children of a process, after a while; none where it has none in time."""
    time.sleep(random.uniform(0, _SLOWEST_SECONDS / 3))
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(200):
        try:
            children = [int(word) for word in listing.read_text().split()]
        except OSError:
            return
        if children:
            killed.append(random.choice(children))
            try:
                os.kill(killed[-1], signal.SIGKILL)
            except ProcessLookupError:
                killed.pop()
            return
        time.sleep(0.01)


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
