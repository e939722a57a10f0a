"""Make benchmarks/README.md from the records in benchmarks/results/.

Run: python -m benchmarks.write_readme [--check]
A benchmark leaves its record there; a new row of a record that was filled in by hand is one more object in its `rows`.
With --check nothing is written, and the exit code is 1 where the page is not what the records say.
"""

import argparse
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu import as_record
from benchmarks.records import RESULTS, as_table
from vistrials.formats.json_file import load_json

PAGE = Path(__file__).parent / "README.md"

TOPICS = {
    "Whole commands": ["whole_commands"],
    "Inference on the CPU": ["inference", "inference_scaling", "backbones", "threads", "tried"],
    "Training on the CPU": ["training_step", "attention_neck", "loader"],
    "GPU": ["gpu_h200", "gpu_h100"],
    "The real clip": ["real_clip", "real_clip_h200", "real_clip_track_head"],
    "Files and scores": ["files_and_scores"],
}
"""Headings, and the records below each; one that is not there yet is left out."""

_INTRODUCTION = """\
# Benchmarks

Figures are of the machine and date named; repeat them with the commands given. Two shared CPU cores are noisy: compare
figures of one run with each other rather than with another machine's. This page is made from the records in
[results/](results/) by `python -m benchmarks.write_readme`; change those.
"""

_PROGRAMS = ("python ", "make ")

_MACHINE = {
    "date": "{}",
    "processor": "{}",
    "device": "{}",
    "cores": "{} cores",
    "threads": "threads: {}",
    "situation": "{}",
    "load": "load {}",
    "pytorch": "PyTorch {}",
    "cuda": "CUDA {}",
}


def page(results: Path = RESULTS) -> str:
    """The whole page.

    Raises:
        ValueError: a record belongs to no topic.
    """
    records = {path.stem: path for path in sorted(results.glob("*.json"))}
    if lost := set(records) - {name for names in TOPICS.values() for name in names}:
        raise ValueError(f"{results}: expected every record in TOPICS of {__name__}, found {sorted(lost)} in none")
    parts = [_INTRODUCTION]
    for topic, names in TOPICS.items():
        found = [load_record(records[name]) for name in names if name in records]
        if found:
            parts += [f"## {topic}\n", *map(section, found)]
    return "\n".join(parts)


def load_record(path: Path) -> dict[str, Any]:
    """A record of benchmarks/results/; what `benchmarks.gpu` keeps becomes one."""
    found: dict[str, Any] = load_json(path)
    return as_record(found) if "modes" in found else found


def section(record: Mapping[str, Any]) -> str:
    """Title, how and where it was measured, table and notes."""
    machine = ", ".join(
        form.format(record["machine"][key]) for key, form in _MACHINE.items() if record["machine"].get(key)
    )
    command = f"`{record['command']}`" if record["command"].startswith(_PROGRAMS) else record["command"]
    notes = [
        textwrap.fill(note, 120, break_long_words=False, break_on_hyphens=False) + "\n" for note in record["notes"]
    ]
    heading = textwrap.fill(f"**{record['title']}** ({command}; {machine}):", 120, break_on_hyphens=False)
    return "\n".join([heading + "\n", as_table(record) + "\n", *notes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        raise SystemExit(f"{PAGE.name}: not what results/ says; python -m benchmarks.write_readme")


if __name__ == "__main__":
    main()
