"""A network of random weights on a tiny data set, as a run and as a file of weights."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.engine.tiny_videos import write_tiny_data_set
from vistrials import pipeline
from vistrials.models.objprop import build_model
from vistrials.own_video.network import Network, find_run, load_network
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import dump_spec, load_trial
from vistrials.weights.files import save_weights


class MadeRun(NamedTuple):
    """data: in YouTube-VIS form; video 7 is in data / JPEGImages / 7. The categories are 5 (five) and 9 (nine)."""

    directory: RunDirectory
    data: Path
    predictions: list[dict]


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    folder = tmp_path_factory.mktemp("own_video")
    data = write_tiny_data_set(folder / "data")
    overrides = [
        f"data.source={{kind: files, root: {data}}}",
        "data.splits=[valid]",
        "inference.max_detections=4",
        "inference.min_track_frames=1",
        # Random weights are unsure of everything: no score is far from 1 / 3.
        "inference.score_threshold=0",
    ]
    spec = load_trial("baseline", "smoke", overrides)
    directory = RunDirectory.for_spec(spec, folder / "results", 0)
    directory.prepare(spec)
    torch.manual_seed(0)
    metadata = {
        "trial": spec.name,
        "profile": spec.profile,
        "category_names": json.dumps(["five", "nine"]),
        "category_ids": json.dumps([5, 9]),
        "spec": dump_spec(spec),
    }
    save_weights(directory.weights, build_model(spec.model, 2), metadata)
    pipeline.run(spec, folder / "results", 0, device="cpu", stages=("infer",))
    return MadeRun(directory, data, json.loads(directory.predictions().read_text()))


@pytest.fixture(scope="session")
def network(made_run: MadeRun) -> Network:
    return load_network(find_run(made_run.directory.path), "cpu")
