"""Trials that train nothing are compared with the very network that they take: in both sets of the study's runs."""

from pathlib import Path

import pytest

from vistrials.formats.json_file import load_json
from vistrials.runs.directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]


def networks(run: Path) -> set[str]:
    """Digests of the weights that predicted its splits."""
    stages = load_json(run / "provenance.json")["stages"]
    return {stage["network_sha256"] for name, stage in stages.items() if name.startswith("infer/")}


@pytest.mark.parametrize("results", ["results", "results/same_weights"])
def test_what_trains_nothing_has_the_network_of_the_trial_that_it_starts_from(results: str) -> None:
    runs = sorted((ROOT / results / "demo_study").glob("*/seed*"))
    untrained = 0
    for run in runs:
        _, spec = RunDirectory.open(run)
        if spec.train.max_iters == 0 and spec.init.from_trial is not None:
            start = run.parents[1] / spec.init.from_trial / run.name
            assert len(networks(run)) == 1 and networks(run) == networks(start), run
            untrained += 1
    assert untrained >= 3
