"""Run folders as a finished run leaves them, with figures that a test chooses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vistrials.evaluation.average_precision import accumulate, compute_figures
from vistrials.evaluation.stored_matches import StoredMatches, save_matches
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import update_provenance
from vistrials.specs.data import DataSpec, FileSource
from vistrials.specs.trial import TrialSpec

SPLITS = ("minival", "occlusion")


def write_run(
    results: Path,
    trial: str,
    seed: int = 0,
    ap: float | None = None,
    *,
    split: str = "minival",
    losses: Sequence[dict[str, Any]] = (),
    train: dict[str, Any] | None = None,
    init: dict[str, Any] | None = None,
    profile_of_metrics: str = "demo",
    annotations: str = "aaaa",
    version: str = "0.1.0",
    commit: str = "1111111222",
    overrides: Sequence[str] = (),
    network: str | None = None,
    start: str | None = None,
) -> RunDirectory:
    """A run of profile demo. AP50, AP75, AR1 and AR10 are AP plus 0.1, 0.2, 0.3, 0.4; without AP it is unfinished."""
    spec = TrialSpec(
        name=trial,
        profile="demo",
        data=DataSpec(source=FileSource(root="/data"), splits=SPLITS),
        train=train or {},
        init=init or {},
    )
    run = RunDirectory.for_spec(spec, results, seed)
    run.prepare(spec)
    if losses:
        run.losses.write_text("".join(json.dumps(record) + "\n" for record in losses))
    if ap is not None:
        names = ("AP", "AP50", "AP75", "AR1", "AR10", "APs")
        figures = {name: ap if ap < 0 else ap + number / 10 for number, name in enumerate(names)}
        content = {"trial": trial, "profile": profile_of_metrics, "seed": seed, "split": split} | figures
        run.metrics(split).write_text(json.dumps(content))
        update_provenance(
            run.provenance,
            overrides=list(overrides),
            data={"train": {"sha256": "tttt"}, split: {"sha256": annotations}},
            environment={"vistrials": version, "commit": commit, "dirty": False},
        )
        if network is not None:
            update_provenance(run.provenance, stages={f"infer/{split}": {"network_sha256": network}})
        if start is not None:
            update_provenance(run.provenance, initial_weights={"network_sha256": start})
    return run


def write_run_with_matches(
    results: Path, trial: str, seed: int, matches: StoredMatches, **settings: Any
) -> RunDirectory:
    """A run of `write_run` with stored matches, and their AP."""
    ap = compute_figures(*accumulate(matches.records, matches.category_ids))["AP"]
    run = write_run(results, trial, seed, ap, **settings)
    save_matches(run.matches(settings.get("split")), matches)
    return run
