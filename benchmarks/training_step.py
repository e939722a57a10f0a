"""A training step of published networks at 640 x 384 on the CPU: time and memory.

Run: python -m benchmarks.training_step [--trials baseline] [--pairs 1 4] [--rounds 3] [--threads 2]
    [--precision bfloat16] [--out FILE.json]
Random pixels and weights of one seed, four objects in each frame; a step is the losses, their gradients and SGD. Each
row has a process of its own, for its peak of resident memory. The limit is a product of two large matrices
in the same process; the share of it is of seconds of the processor, all threads together.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import NUM_CATEGORIES, PUBLISHED, Scale, random_batch
from benchmarks.records import RESULTS, as_table, describe_machine, save_record
from vistrials.engine.devices import flush_denormals
from vistrials.freed_memory import keep_freed_memory
from vistrials.models.objprop import build_model
from vistrials.specs.loading import load_trial

MATRIX_EDGE = 3072

COLUMNS = {
    "trial": "",
    "precision": "",
    "pairs": "",
    "a step, processor": "s",
    "a step, clock": "s",
    "peak memory": "MiB",
    "arithmetic": "GFLOP",
    "limit of one core": "GFLOP/s",
    "share of the limit": "%",
    "sum of losses": "",
}


def limit_of_one_core(edge: int = MATRIX_EDGE) -> float:
    """FLOP in a second of the processor of a large square matrix product."""
    one, other = torch.randn(2, edge, edge)
    found = []
    for _ in range(4):
        began = time.process_time()
        one @ other
        found.append(time.process_time() - began)
    return 2 * edge**3 / statistics.median(found[1:])


def measure(trial: str, scale: Scale, rounds: int, precision: str) -> dict[str, Any]:
    """A row of the table; the first of `rounds` + 1 steps, whose arithmetic is counted, is not timed."""
    flush_denormals()
    torch.manual_seed(0)
    model = build_model(load_trial(trial, scale.profile).model, NUM_CATEGORIES).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # every step starts from the same weights
    batch = random_batch(scale)
    found: list[tuple[float, float]] = []
    total = torch.zeros(())

    def step() -> None:
        nonlocal total
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            losses = model(batch)
        total = torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    with keep_freed_memory():
        with FlopCounterMode(display=False) as counted:
            step()
        for _ in range(rounds):
            began, began_cpu = time.perf_counter(), time.process_time()
            step()
            found.append((time.perf_counter() - began, time.process_time() - began_cpu))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        limit = limit_of_one_core()
    wall, cpu = (statistics.median(of_kind) for of_kind in zip(*found, strict=True))
    flop = counted.get_total_flops()
    values = (
        trial,
        precision,
        scale.num_pairs,
        cpu,
        wall,
        peak,
        flop / 1e9,
        limit / 1e9,
        flop / cpu / limit,
        float(total.detach()),
    )
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="+", default=["masktrack_rcnn", "baseline", "attention_neck"])
    parser.add_argument("--pairs", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS / "training_step.json")
    parser.add_argument("--one", nargs=3, metavar=("TRIAL", "PRECISION", "PAIRS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        trial, precision, pairs = arguments.one
        print(json.dumps(measure(trial, replace(PUBLISHED, num_pairs=int(pairs)), arguments.rounds, precision)))
        return
    machine, rows = describe_machine(arguments.threads), []
    command = [sys.executable, "-m", "benchmarks.training_step", "--rounds", str(arguments.rounds)]
    for one in product(arguments.trials, arguments.precision, map(str, arguments.pairs)):
        of_one = [*command, "--threads", str(arguments.threads), "--one", *one]
        done = subprocess.run(of_one, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    save_record(
        arguments.out,
        "Training step at 640 × 384, ResNet-50",
        "python -m benchmarks.training_step",
        machine, COLUMNS, rows,
    )  # fmt: skip
    print(as_table({"columns": COLUMNS, "rows": rows}))


if __name__ == "__main__":
    main()
