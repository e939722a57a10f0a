"""Studies small enough to be made by processes of their own, on a data set of two videos."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engine.tiny_videos import write_tiny_data_set
from tests.test_study import TINY
from vistrials.formats.files import sha256_of
from vistrials.specs.trial import TrialSpec


def tiny_trial(root: Path, name: str, start: str | None = None, **train: Any) -> TrialSpec:
    """A trial on the data set in a folder, made where it is missing."""
    if not (root / "train.json").exists():
        write_tiny_data_set(root)
    return TrialSpec.model_validate(
        {
            "name": name,
            "profile": "tiny",
            **TINY,
            "data": {**TINY["data"], "source": {"kind": "files", "root": str(root)}, "splits": ["valid"]},
            "init": {"from": start, **TINY["init"]},
            "train": {**TINY["train"], **train},
        }
    )


def what_came_out(folder: Path) -> Mapping[str, Any]:
    """What of a run does not depend on when it was made: digests of its files, and losses without times."""
    names = ("weights.safetensors", "predictions.json", "metrics.json", "spec.yaml")
    losses = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    for record in losses:
        del record["seconds"], record["data_seconds"]
    return {"losses": losses, **{name: sha256_of(folder / name) for name in names}}
