"""Under mixed precision boxes, attention, match scores and losses stay in 32 bits; in 64 where the network has 64."""

from collections import defaultdict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.models.small import batch_of, make_batch, small_model, small_spec
from vistrials.geometry import boxes as box_ops
from vistrials.models import attention_neck, box_head, mask_head, propagation_head, roi_features, rpn, track_head
from vistrials.models.objprop import ObjProp
from vistrials.models.rpn import RPN
from vistrials.models.track_head import match_scores
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import NeckSpec
from vistrials.structures.frames import Frame
from vistrials.tracking import online
from vistrials.tracking.online import OnlineTracker

SIZE = (64, 96)
SPIED = [
    (rpn, "assign"),
    (box_head, "assign"),
    (box_ops, "encode"),
    (box_ops, "decode"),
    (box_ops, "nms"),
    (box_ops, "pairwise_iou"),
    (roi_features, "align"),
    (roi_features, "_interpolation"),
    (roi_features, "_taps"),
    (roi_features, "embedding_bag"),
    (attention_neck, "scaled_dot_product_attention"),
    (propagation_head, "box_cells"),
    (propagation_head, "attention_at_cells"),
    (track_head, "match_scores"),
    (online, "association_scores"),
    (online, "crop_mask"),
    (rpn, "binary_cross_entropy_with_logits"),
    (rpn, "smooth_l1"),
    (box_head, "cross_entropy"),
    (box_head, "smooth_l1"),
    (track_head, "cross_entropy"),
    (mask_head, "binary_cross_entropy_with_logits"),
    (propagation_head, "binary_cross_entropy_with_logits"),
    (propagation_head, "softplus"),
]
MULTIPLYING = {"scaled_dot_product_attention", "_interpolation", "mass of affinity", "nearby_mass of affinity"}
"""What multiplies large matrices, which autocast would round on the way in."""

Seen = dict[str, set[torch.dtype]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The floating types of tensors that go into and come out of every spied function, by its name."""
    types: Seen = defaultdict(set)

    def watch(name: str, function: Callable) -> Callable:
        def watched(*args, **kwargs):
            result = function(*args, **kwargs)
            inputs = args[1:] if name == "align" else args  # features may come in 16 bits, RoIs may not
            for value in (*inputs, result):
                if isinstance(value, Tensor) and value.is_floating_point():
                    types[name].add(value.dtype)
            if name in MULTIPLYING:
                assert not torch.is_autocast_enabled("cpu"), f"{name} runs under autocast"
            return result

        return watched

    for module, name in SPIED:
        monkeypatch.setattr(module, name, watch(name, getattr(module, name)))
    for name in ("mass", "nearby_mass"):
        method = getattr(propagation_head.Affinity, name)
        monkeypatch.setattr(propagation_head.Affinity, name, watch(f"{name} of affinity", method))
    return types


def _train(model: ObjProp, dtype: torch.dtype) -> dict[str, Tensor]:
    losses = model.train()(make_batch([2, 1]).to(dtype))
    torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum().backward()
    return losses


def _track(model: ObjProp) -> list[dict]:
    """Three frames; the black one in the middle loses objects, which are then propagated."""
    torch.manual_seed(3)
    tracker = OnlineTracker(model.eval(), InferenceSpec(score_threshold=0.2))
    images = torch.randn(3, 3, *SIZE)
    images[1] = 0
    return [tracker.step(Frame(image, 1.0, SIZE)) for image in images]


def _whole_model() -> ObjProp:
    return small_model(neck=NeckSpec(levels=(0, 1)))


@pytest.mark.parametrize("separable", [True, False], ids=["matrix products", "gathering"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=["bf16-mixed", "16-mixed"])
def test_no_box_attention_or_loss_has_16_bits(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, precision: torch.dtype, separable: bool
) -> None:
    monkeypatch.setattr(roi_features, "_MAX_SEPARABLE_CELLS", 10**9 if separable else 0)
    model = _whole_model()
    with torch.autocast("cpu", precision):
        losses = _train(model, torch.float32)
        found = _track(model)
    assert any(o.propagated for objects in found for o in objects.values())
    left_out = {"embedding_bag", "_taps"} if separable else {"_interpolation", "align"}
    assert set(seen) == {name for _, name in SPIED if name not in left_out} | {
        "mass of affinity",
        "nearby_mass of affinity",
    }
    assert {name: types for name, types in seen.items() if types != {torch.float32}} == {}
    assert {name: value.dtype for name, value in losses.items() if value.dtype != torch.float32} == {}
    assert {o.box.dtype for objects in found for o in objects.values()} == {torch.float32}


def test_all_of_them_have_64_bits_where_the_network_has(seen: Seen) -> None:
    model = _whole_model().double()
    losses = _train(model, torch.float64)
    found = _track(model)
    assert any(o.propagated for objects in found for o in objects.values())
    assert {name: types for name, types in seen.items() if types != {torch.float64}} == {}
    assert all(value.dtype == torch.float64 for value in losses.values())
    assert {o.box.dtype for objects in found for o in objects.values()} == {torch.float64}


def test_proposals_and_their_targets_far_to_the_right_are_those_of_full_precision() -> None:
    """With deltas of 0 proposals are anchors; at x = 1000 bfloat16 knows every fourth pixel only."""
    head = RPN(small_spec().rpn, channels=8)
    torch.nn.init.zeros_(head.deltas.weight)
    levels, sizes, image = [torch.randn(1, 8, 16, 272)], [(16, 272)], (64, 1088)
    batch = batch_of(boxes=[torch.tensor([[1003.0, 13.0, 1017.0, 27.0]])], image_sizes=[image])
    logits, deltas = head(levels)
    ((expected, _),) = head.propose(logits, deltas, sizes, [image])
    assert ((expected[:, 0] > 900) & (expected[:, 0] % 4 != 0)).any()
    loss = head.loss(logits, deltas, sizes, batch)["loss_rpn_bbox"]
    with torch.autocast("cpu", torch.bfloat16):
        _, deltas = head(levels)
        ((found, _),) = head.propose(logits, deltas, sizes, [image])
        assert torch.equal(found, expected)
        assert torch.equal(head.loss(logits, deltas, sizes, batch)["loss_rpn_bbox"], loss)


def test_roi_features_far_to_the_right_are_read_where_the_box_is() -> None:
    ramp = torch.arange(272.0).expand(1, 1, 16, 272)  # exact in bfloat16 up to 256
    box = torch.tensor([[1001.0, 13.0, 1006.0, 18.0]])
    expected = roi_features.align(ramp.clamp(max=256), box, torch.tensor([0]), 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = roi_features.align(ramp.clamp(max=256).bfloat16(), box, torch.tensor([0]), 2, 4)
    assert torch.equal(found, expected)


def test_match_scores_are_multiplied_in_32_bits() -> None:
    embeddings = torch.randn(2, 5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = match_scores(*embeddings)
    assert torch.equal(found, match_scores(*embeddings))
