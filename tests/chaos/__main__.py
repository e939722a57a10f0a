"""Disturb runs in every way of `scenarios`, and see whether anything is lost.

Run: make chaos, or python -m tests.chaos [WORD ...] for the scenarios whose name holds a word. Takes CHAOS_MINUTES
minutes (15), with random numbers from CHAOS_SEED (0). Prints a table of what was tried, survived and lost, then a line
for each loss; exits 1 where there is one.

A try is survived where the run, brought to its end by the same command, equals an undisturbed one in every byte but its
times, nothing is left over, and what was refused on the way was refused in one line that names the file.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.scenarios import SCENARIOS
from tests.chaos.tiny_study import TinyStudy


def main(words: list[str]) -> int:
    """Take the scenarios in turn until the time is over; the exit code."""
    seconds = 60 * float(os.environ.get("CHAOS_MINUTES", "15"))
    seed = int(os.environ.get("CHAOS_SEED", "0"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        study = TinyStudy(Path(folder))
        chosen = {name: make for name, make in SCENARIOS.items() if not words or any(word in name for word in words)}
        tries = {name: make(study, random.Random(f"{seed} {name}")) for name, make in chosen.items()}
        outcomes: dict[str, list[str | None]] = {name: [] for name in chosen}
        open_ended = set(chosen)
        while open_ended and time.monotonic() - began < seconds:
            for name in [name for name in chosen if name in open_ended]:
                try:
                    outcomes[name].append(next(tries[name]))
                except StopIteration:
                    open_ended.discard(name)
        total = len(study.points)
    _print_table(outcomes)
    lost = [f"{name}: {' '.join(problem.split())}" for name, found in outcomes.items() for problem in found if problem]
    print("\n".join(lost))
    print(f"{total} changes on disk in a run; seed {seed}; {(time.monotonic() - began) / 60:.1f} minutes")
    return 1 if lost else 0


def _print_table(outcomes: dict[str, list[str | None]]) -> None:
    print("| scenario | tried | survived | lost |\n|---|---:|---:|---:|")
    for name, found in outcomes.items():
        lost = sum(problem is not None for problem in found)
        print(f"| {name} | {len(found)} | {len(found) - lost} | {lost} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
