"""Memory and time of the attention neck against an explicit S x S matrix, at the five levels of a 640 x 384 frame.

Run: python -m benchmarks.attention_neck
Every measurement has a process of its own, the two variants in turn: a warm-up on a tiny input, then one pass over all
levels (256 channels, batch 1, float32). Peak memory is what that pass adds to the highest so far.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records import RESULTS, describe_machine, save_record

if TYPE_CHECKING:
    from torch import Tensor

    from vistrials.models.attention_neck import AttentionNeck

SIZES = [(96, 160), (48, 80), (24, 40), (12, 20), (6, 10)]
CHANNELS = 256
VARIANTS = ("neck", "explicit")
PASSES = ("forward", "forward+backward")
COLUMNS = {
    "pass": "",
    "ours": "s",
    "explicit matrix": "s",
    "memory of ours": "MB",
    "of the matrix": "MB",
    "differ by": "",
}
TOLERANCE = {"outputs": 1e-5, "gradients": 1e-4}  # of the largest magnitude; float32 sums in another order


def explicit(neck: "AttentionNeck", key_levels: "list[Tensor]", reference_levels: "list[Tensor]") -> "list[Tensor]":
    """The neck's formula with the whole correlation of reference cells x key cells in memory."""
    outputs = []
    for x, reference in zip(key_levels, reference_levels, strict=True):
        query, key, value = (f.flatten(2) for f in (neck.conv1(x), neck.conv1(reference), neck.conv2(x)))
        correlation = (key.transpose(1, 2) @ query).softmax(dim=1)
        outputs.append(x + neck.gamma * (value @ correlation).reshape(x.shape))
    return outputs


def measure(variant: str, which: str, results: Path) -> None:
    """One pass in this process; outputs, gradients, seconds and added peak memory go into the folder."""
    import torch

    from vistrials.models.attention_neck import AttentionNeck
    from vistrials.specs.model import NeckSpec

    torch.manual_seed(0)
    neck = AttentionNeck(NeckSpec(), CHANNELS)
    with_backward = which == "forward+backward"
    # Small enough that the softmax is not a choice of one cell.
    levels = [
        [torch.randn(1, CHANNELS, *size).mul_(0.3).requires_grad_(with_backward) for size in SIZES] for _ in range(2)
    ]

    def run(keys: "list[Tensor]", references: "list[Tensor]") -> "list[Tensor]":
        with torch.set_grad_enabled(with_backward):
            outputs = neck(keys, references) if variant == "neck" else explicit(neck, keys, references)
        if with_backward:
            sum(output.square().sum() for output in outputs).backward()
        return outputs

    run(*([torch.ones(1, CHANNELS, 4, 4, requires_grad=with_backward)] * len(SIZES) for _ in range(2)))
    neck.zero_grad()
    before = _peak_mb()
    began = time.perf_counter()
    outputs = run(*levels)
    seconds = time.perf_counter() - began
    figures = {"seconds": seconds, "added_mb": _peak_mb() - before}
    (results / "figures.json").write_text(json.dumps(figures))
    gradients = [x.grad for x in [*levels[0], *levels[1], *neck.parameters()]] if with_backward else []
    tensors = {"outputs": [output.detach() for output in outputs], "gradients": gradients}
    torch.save(tensors, results / f"{variant}.pt")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _worst_differences(results: Path) -> dict[str, float]:
    """Of outputs and gradients the largest difference of the two variants, over the largest magnitude of the tensor."""
    import torch

    ours, theirs = (torch.load(results / f"{variant}.pt") for variant in VARIANTS)
    return {
        kind: max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours[kind], theirs[kind], strict=True))
        for kind in ours
        if ours[kind]
    }


def compare(which: str, repeats: int) -> tuple[bool, dict[str, Any]]:
    """Measure both variants in turn, print medians and ratios. Returns: whether they compute the same; the row."""
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for variant in VARIANTS:
                command = [sys.executable, "-m", "benchmarks.attention_neck", "--measure", variant, which, folder]
                subprocess.run(command, check=True)
                runs[variant].append(json.loads((Path(folder) / "figures.json").read_text()))
        differences = _worst_differences(Path(folder))
    seconds, added_mb = (
        {variant: statistics.median(run[figure] for run in runs[variant]) for variant in VARIANTS}
        for figure in ("seconds", "added_mb")
    )
    for variant in VARIANTS:
        print(f"{which:17s} {variant:9s} {seconds[variant]:6.1f} s  +{added_mb[variant]:6.0f} MB")
    ratios = (figure["neck"] / figure["explicit"] for figure in (seconds, added_mb))
    print(f"{which:17s} {'ratio':9s} {next(ratios):6.2f}     {next(ratios):6.3f}")
    for kind, difference in differences.items():
        print(f"{which:17s} {kind} differ by {difference:.1e} at most (allowed {TOLERANCE[kind]:.0e})")
    row = {
        "pass": which,
        "ours": seconds["neck"],
        "explicit matrix": seconds["explicit"],
        "memory of ours": added_mb["neck"],
        "of the matrix": added_mb["explicit"],
        "differ by": max(differences.values()),
    }
    return all(difference <= TOLERANCE[kind] for kind, difference in differences.items()), row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each variant; medians are printed")
    parser.add_argument("--measure", nargs=3, metavar=("VARIANT", "PASS", "FOLDER"), help="once, in this process")
    parser.add_argument("--out", type=Path, default=RESULTS / "attention_neck.json")
    arguments = parser.parse_args()
    if arguments.measure is not None:
        variant, which, folder = arguments.measure
        measure(variant, which, Path(folder))
        return
    import torch

    print(f"{torch.get_num_threads()} thread(s), medians of {arguments.repeats}", flush=True)
    machine = describe_machine(torch.get_num_threads())
    same, rows = zip(*(compare(which, arguments.repeats) for which in PASSES), strict=True)
    save_record(
        arguments.out,
        "Attention neck at the five levels of 640 × 384, C = 256, float32",
        "python -m benchmarks.attention_neck",
        machine, COLUMNS, rows, [f"Medians of {arguments.repeats}, seconds by the clock."],
    )  # fmt: skip
    if not all(same):
        raise SystemExit("the two variants do not compute the same")


if __name__ == "__main__":
    main()
