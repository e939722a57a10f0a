"""Training on a GPU, where there is one: a resumed training equals an uninterrupted one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.small import SmallLoader, SmallModel, files_in, small_spec
from vistrials.engine.devices import build_fabric
from vistrials.engine.reporting import SilentReporter
from vistrials.engine.training import BatchLoader, fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")


class PowerCut(Exception):
    pass


def train(folder: Path, load_batches: Callable[[int], BatchLoader] = SmallLoader) -> dict[str, torch.Tensor]:
    spec = small_spec()
    torch.manual_seed(0)
    model = SmallModel()
    fabric = build_fabric(torch.device("cuda"), spec.precision)
    fit(fabric, model, load_batches, spec, files_in(folder), seed=3, digest="digest", reporter=SilentReporter())
    return {name: value.cpu() for name, value in model.state_dict().items()}


class CutOff(SmallLoader):
    """Fails when the eighth batch is asked for; checkpoints come every fourth step."""

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number == 7:
                raise PowerCut
            yield batch


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(PowerCut):
        train(tmp_path / "cut", CutOff)
    resumed = train(tmp_path / "cut")
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6)
