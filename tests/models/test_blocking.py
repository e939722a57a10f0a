"""How often a training step and a frame make the process wait for its device, counted on the CPU."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.small import make_batch, small_model
from vistrials.engine.training import _mean_over_ranks, sum_losses
from vistrials.geometry import boxes as box_ops
from vistrials.models import roi_features
from vistrials.models.folding import for_inference
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import RoISpec
from vistrials.structures.frames import Frame
from vistrials.tracking.online import OnlineTracker, encode_masks

LIMIT = 20

# A result of unknown length, and a number that Python reads, wait for the device.
UNKNOWN_LENGTH = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::is_nonzero", "aten::equal",
    "aten::_unique", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::repeat_interleave",
    "torchvision::nms",
}  # fmt: skip
TO_HOST = ("tolist", "cpu", "item", "__int__", "__float__", "__bool__", "__index__")
"""Methods that copy to the host; on the CPU the dispatcher does not see all of them."""


class _Counting(TorchDispatchMode):
    def __init__(self, found: Counter) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name
        by_mask = name in ("aten::index", "aten::index_put_", "aten::_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in UNKNOWN_LENGTH or by_mask:
            self.found[name] += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def blocking_operations(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Counts them by name, as if tensors were on a device that is not the CPU."""
    found: Counter = Counter()

    def counted(name: str) -> Any:
        method = getattr(torch.Tensor, name)

        def call(self: torch.Tensor, *args: Any) -> Any:
            found[name] += 1
            return method(self, *args)

        return call

    with monkeypatch.context() as patch, _Counting(found):
        patch.setattr(box_ops, "_waits", lambda device: True)
        patch.setattr(roi_features, "_MAX_SEPARABLE_CELLS", 0)
        for name in TO_HOST:
            patch.setattr(torch.Tensor, name, counted(name))
        yield found


class _OneProcess:
    """What `_mean_over_ranks` needs of Fabric."""

    @staticmethod
    def all_reduce(values: torch.Tensor, reduce_op: str) -> torch.Tensor:
        return values


def model_of_all_levels() -> ObjProp:
    return small_model(roi=RoISpec(finest_scale_px=8))


def test_the_count_sees_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([1.0, -1.0])
    with blocking_operations(monkeypatch) as found:
        x[x > 0]
        x.nonzero()
        x.tolist()
        x.cpu()
    assert found == {"aten::index": 1, "aten::nonzero": 1, "tolist": 1, "cpu": 1}
    with blocking_operations(monkeypatch) as found:
        bool((x > 0).any())
        float(x[0])
    assert sum(found.values()) >= 2


@pytest.mark.parametrize("instances", [[2, 1, 3, 2], [0, 0, 1, 0]])
def test_a_training_step_of_four_pairs_waits_twenty_times_at_most(
    monkeypatch: pytest.MonkeyPatch, instances: list[int]
) -> None:
    model, batch = model_of_all_levels().train(), make_batch(instances)
    model(batch)  # anchors come into their cache
    with blocking_operations(monkeypatch) as found:
        scalars = model(batch)
        total = sum_losses(scalars)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35.0).item()
        _mean_over_ranks(_OneProcess(), scalars | {"loss_total": total}, stop=False)  # type: ignore[arg-type]
    print(dict(found))
    assert 0 < sum(found.values()) <= LIMIT


def test_a_frame_waits_twenty_times_at_most_however_many_objects_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    tracker = OnlineTracker(for_inference(model_of_all_levels()), InferenceSpec(score_threshold=0.2))
    images = torch.randn(5, 3, 64, 96)
    images[[1, 3]] = 0  # black frames lose objects, which are then propagated
    seen = 0
    for image in images:
        with blocking_operations(monkeypatch) as found:
            objects = tracker.step(Frame(image, 1.0, (64, 96)))
            encode_masks(list(objects.values()))
        seen = max(seen, sum(o.propagated for o in objects.values()))
        print(len(objects), dict(found))
        assert 0 < sum(found.values()) <= LIMIT
    assert seen > 2
