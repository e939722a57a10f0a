"""Runs on a real Slurm that are signalled, cancelled and requeued, on a node that is drained: none lost, none differs.

Run: python -m tests.cluster.torture [RUNS] [SEED]   (as root on Linux, with Slurm; 100 runs take half an hour)
Queues the runs of two trials, one of which starts from the other, on a cluster of one node in a temporary folder;
repeats the same command until it has nothing left to do; then makes the same runs in one process without disturbance,
and compares. Prints what happens; exits 1 where a run is lost or differs.
"""

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.cluster.one_node_slurm import missing_programs, one_node_cluster
from tests.cluster.studies import what_came_out
from tests.engine.tiny_videos import write_tiny_data_set
from tests.test_study import FIRST, SECOND, TINY
from vistrials.reports.run_states import State, find_run_states

NUM_STEPS = 20
TRIALS = ("first", "second")
MOST_COMMANDS = 12
PAUSE_SECONDS = (8.0, 24.0)
"""Between two disturbances, least and greatest."""

Say = Callable[[str], None]


def torture(num_runs: int, seed: int, folder: Path, say: Say) -> bool:
    """Make the runs, disturbed and undisturbed; whether all are there and equal.

    Args:
        num_runs: an even number.
        seed: of the disturbances.
        folder: an empty one, that every user can enter.
        say: takes what happens, a line at a time.
    """
    options = _write_study(folder, num_runs // len(TRIALS))
    results = folder / "results"
    with one_node_cluster(folder / "slurm", cpus=2) as environment:
        disturber = _Disturber(results, environment, random.Random(seed), say)
        for number in range(1, MOST_COMMANDS + 1):
            on_slurm = ["--on", "slurm", "--cpus", "1", "--time", "0:20", "--results", str(results)]
            say(f"vistrials run-all {' '.join([*TRIALS, *on_slurm[:6]])} ... (command {number})")
            with disturber:
                ended = subprocess.run(
                    [sys.executable, "-m", "vistrials", "run-all", *options, *on_slurm],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
            errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
            last = ended.stdout.strip().splitlines()[-2:] if ended.stdout.strip() else ended.stderr[-500:].splitlines()
            say(f"  exit code {ended.returncode}: {last[0] if last else ''}; {len(errors)} errors" + _first(errors))
            if ended.returncode == 0:
                break
        say(f"disturbed: {disturber.summary()}")
    undisturbed = folder / "undisturbed"
    say("the same runs in one process, undisturbed")
    subprocess.run(
        [sys.executable, "-m", "vistrials", "run-all", *options, "--results", str(undisturbed)],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    states = Counter(state.state for state in find_run_states(results))
    runs = sorted(undisturbed.glob("tiny/*/seed*"))
    there = [run for run in runs if (results / run.relative_to(undisturbed) / "metrics.json").exists()]
    equal = [run for run in there if what_came_out(run) == what_came_out(results / run.relative_to(undisturbed))]
    left_over = [path for path in results.rglob(".*") if path.is_file() and path.name != ".lock"]
    say(f"{len(runs)} runs: {states[State.DONE]} done, {len(runs) - len(there)} lost, {len(equal)} equal byte for byte")
    say(f"files left over: {len(left_over)}")
    return len(equal) == len(runs) == num_runs and not left_over


def _first(errors: list[str]) -> str:
    return f", the first: {errors[0][:150]}" if errors else ""


def _write_study(folder: Path, num_seeds: int) -> list[str]:
    (folder / "trials" / "profiles").mkdir(parents=True)
    (folder / "trials" / "profiles" / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    for name, text in zip(TRIALS, (FIRST, SECOND), strict=True):
        (folder / "trials" / f"{name}.yaml").write_text(text)
    data = write_tiny_data_set(folder / "data")
    seeds = ",".join(map(str, range(num_seeds)))
    settings = ["--set", f"train.max_iters={NUM_STEPS}", "--set", "train.checkpoint_every_iters=5"]
    return [*TRIALS, "--profile", "tiny", "--data", str(data), "--device", "cpu", "--seeds", seeds, *settings]


class _Disturber:
    """While entered, a thread does to the jobs what users, administrators and machines do."""

    def __init__(self, results: Path, environment: dict[str, str], rng: random.Random, say: Say) -> None:
        self._results, self._environment, self._rng, self._say = results, environment, rng, say
        self._counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = time.monotonic()

    def __enter__(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._disturb)
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def summary(self) -> str:
        """How often what was done."""
        return ", ".join(f"{count} x {what}" for what, count in sorted(self._counts.items()))

    def _disturb(self) -> None:
        node = self._ask("sinfo", "-h", "-N", "-o", "%N").strip()
        while not self._stop.wait(self._rng.uniform(*PAUSE_SECONDS)):
            running = self._ask("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()
            if not running:
                self._repair(node)
                continue
            at_work = [
                state.job for state in find_run_states(self._results) if state.job in running and state.host is not None
            ]
            # Most of the time those that have something to lose.
            job = self._rng.choice(at_work if at_work and self._rng.random() < 0.8 else running)
            kinds: list[tuple[str, list[str]]] = [
                ("scancel --signal=USR2", ["scancel", "--signal=USR2", job]),
                ("scancel --signal=TERM", ["scancel", "--signal=TERM", job]),
                ("scancel --signal=KILL", ["scancel", "--signal=KILL", job]),
                ("scancel", ["scancel", job]),
                ("scontrol requeue", ["scontrol", "requeue", job]),
                ("node drained", ["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"]),
            ]
            what, command = self._rng.choices(kinds, weights=[4, 2, 2, 2, 3, 2])[0]
            self._ask(*command)
            self._counts[what] += 1
            states = Counter(state.state.value for state in find_run_states(self._results))
            shown = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            target = node if what.startswith("node") else job
            self._say(f"  {time.monotonic() - self._began:5.0f} s  {what} {target}    [{shown}]")
            if what.startswith("node"):
                self._stop.wait(self._rng.uniform(2, 6))
                self._repair(node)

    def _repair(self, node: str) -> None:
        """Give a node back that was drained, and jobs that Slurm held because they came back before their end there."""
        if "drain" in self._ask("sinfo", "-h", "-o", "%T"):
            self._ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
        held = [
            line.split()[0] for line in self._ask("squeue", "-h", "-r", "-o", "%i %r").splitlines() if "held" in line
        ]
        for job in held:
            self._say(f"  {time.monotonic() - self._began:5.0f} s  scontrol release {job}, which Slurm held")
            self._ask("scontrol", "release", job)

    def _ask(self, *command: str) -> str:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True).stdout


def main(arguments: list[str]) -> int:
    """Run it; the exit code."""
    missing = missing_programs()
    if missing:
        print(
            f"needs Slurm and munge, found no {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
        )
        return 2
    num_runs, seed = (int(argument) for argument in (*arguments, *("100", "0")[len(arguments) :]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        return 0 if torture(num_runs, seed, folder, lambda line: print(line, flush=True)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
