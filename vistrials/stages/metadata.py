"""The text that goes along with the weights of a run."""

import json
from collections.abc import Mapping
from typing import Any

from vistrials.formats.files import sha256_of
from vistrials.runs.directory import RunDirectory
from vistrials.specs.data import FileSource
from vistrials.specs.loading import dump_spec
from vistrials.specs.trial import TrialSpec
from vistrials.structures.video import VideoSet

CHOSEN = "validation"
"""Key of the figures of the validation that chose the weights."""


def weights_metadata(spec: TrialSpec, directory: RunDirectory, video_set: VideoSet, iterations: int) -> dict[str, str]:
    """Which run the weights are of, after how many iterations, and the categories that they predict."""
    return {
        "trial": spec.name,
        "profile": spec.profile,
        "seed": str(directory.seed),
        "iteration": str(iterations),
        "spec_sha256": sha256_of(directory.spec),
        "num_categories": str(video_set.num_categories),
        "category_names": json.dumps([category.name for category in video_set.categories]),
        "category_ids": json.dumps([category.id for category in video_set.categories]),
        "spec": dump_spec(_without_place(spec)),
    }


def _without_place(spec: TrialSpec) -> TrialSpec:
    """The spec without the folder of its data, which means nothing elsewhere."""
    if not isinstance(spec.data.source, FileSource):
        return spec
    source = spec.data.source.model_copy(update={"root": None})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})


def how_chosen(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Iteration and figures of weights that validations chose; nothing of those of a last iteration."""
    if CHOSEN not in metadata:
        return {}
    return {"weights_iteration": int(metadata["iteration"]), "weights_chosen_by": json.loads(metadata[CHOSEN])}
