"""A run as it is left after inference, on two tiny videos."""

import json
from pathlib import Path
from typing import Any

from tests.engine.tiny_videos import write_tiny_data_set
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import load_trial


def make_run(folder: Path, predictions: list[dict[str, Any]] | None, annotated: bool) -> RunDirectory:
    """A run of the baseline with seed 4 on two videos (7 and 3, two tracks each) that ends with these predictions.

    Args:
        folder: holds the data and the results.
        predictions: of split valid; None where it is not predicted yet.
        annotated: whether the split has annotations, or has none, as on a server.
    """
    root = write_tiny_data_set(folder / "data", valid_annotated=annotated)
    spec = load_trial("baseline", "demo", [f"data.source={{kind: files, root: {root}}}", "data.splits=[valid]"])
    directory = RunDirectory.for_spec(spec, folder / "results", 4)
    directory.prepare(spec)
    if predictions is not None:
        directory.predictions("valid").write_text(json.dumps(predictions))
    return directory
