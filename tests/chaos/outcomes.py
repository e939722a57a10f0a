"""What a run leaves behind, without its times: two that should be equal are."""

import json
from pathlib import Path
from typing import Any

TIMES = ("seconds", "data_seconds", "started", "calls", "peak_memory_mib", "seconds_per_frame")


def results_of(run: Path) -> dict[str, Any]:
    """Every file of a run by its name, those below it too: its bytes, or what it says besides times."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if name == ".lock" or name.startswith("tensorboard") or path.is_dir():
            continue
        if name == "losses.jsonl":
            found[name] = [_without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif name == "provenance.json":
            found[name] = _of_provenance(json.loads(path.read_text()))
        else:
            found[name] = path.read_bytes()
    return found


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What is missing, left over or other than expected, a line each."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    left_over = [f"{name} is left over" for name in found.keys() - expected.keys()]
    other = [f"{name} differs" for name in expected.keys() & found.keys() if found[name] != expected[name]]
    return sorted(missing + left_over + other)


def _of_provenance(content: dict[str, Any]) -> dict[str, Any]:
    stages = {
        name: _without_times(entry) | {"finished": entry["finished"] is not None}
        for name, entry in content["stages"].items()
    }
    return content | {"stages": stages}


def _without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in TIMES}
