"""What a benchmark measured, kept as benchmarks/results/NAME.json, of which `benchmarks.write_readme` makes README.md.

A record is a JSON object: `title`; `command`, which measures it again; `machine`, with its date; `columns`, from
heading to unit; `rows`, from heading to value, a number in that unit or a text; and `notes`, paragraphs below it.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.machine import num_cores

RESULTS = Path(__file__).parent / "results"

Row = Mapping[str, Any]


def describe_machine(threads: int) -> dict[str, Any]:
    """Processor, cores, threads used, versions, date, and load: processes that want a core."""
    import torch

    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": num_cores(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "pytorch": torch.__version__,
    }


def save_record(
    path: Path,
    title: str,
    command: str,
    machine: Mapping[str, Any],
    columns: Mapping[str, str],
    rows: Sequence[Row],
    notes: Sequence[str] | None = None,
) -> None:
    """Write a record (see above); without notes those of the file that is there stay, which name their dates.

    Raises:
        ValueError: a row has a value without a column.
    """
    for row in rows:
        if unknown := set(row) - set(columns):
            raise ValueError(f"{path}: no column for {sorted(unknown)}; expected {list(columns)}")
    if notes is None:
        notes = load_json(path)["notes"] if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"title": title, "command": command, "machine": machine, "columns": columns, "rows": rows, "notes": notes}
    save_json_atomic(path, record, indent=1)


def as_table(record: Mapping[str, Any]) -> str:
    """Columns and rows as Markdown; numbers to the right, and a dash where a row says nothing."""
    columns = record["columns"]
    is_text = [any(isinstance(row.get(name), str) for row in record["rows"]) for name in columns]
    lines = [" | ".join(columns), "|".join("---" if text else "---:" for text in is_text)]
    lines += [" | ".join(show(row.get(name), unit) for name, unit in columns.items()) for row in record["rows"]]
    return "\n".join(f"|{line}|" if line.startswith("---") else f"| {line} |" for line in lines)


def show(value: float | str | None, unit: str) -> str:
    """A value of a column: seconds in the unit that suits them, fractions in percent, the rest with its unit."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "s":
        return f"{_digits(1000 * value)} ms" if value < 1 else f"{_digits(value)} s"
    if unit == "%":
        return f"{_digits(100 * value)} %"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three digits, never fewer than those before the point, without zeros behind it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
